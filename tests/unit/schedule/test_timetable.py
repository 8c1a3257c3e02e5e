"""A slot runs exactly once, whatever the clock does and however many schedulers look."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography.fernet import Fernet
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_api.adapters.encryption import Encryption
from crm_api.domain.slots import slot_after, slot_from, slot_named
from crm_api.migrations import migrate
from crm_api.services import timetable
from crm_api.services.context import Context
from crm_api.services.job_runs import ATTEMPTS, SILENT_MS, JobRuns, RunLostError
from crm_api.services.scheduler_lease import LEASE_MS, SchedulerLease
from crm_api.services.timetable import Kind, Timetable
from crm_api.tables.database import CrmDatabase
from tests.unit.crm.conftest import empty_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.domain.slots import Slot

HOUR_MS = 3_600_000
EARLIEST, LATEST = datetime.fromisoformat("2026-03-01"), datetime.fromisoformat("2026-11-10")


def ms(text: str) -> int:
    return int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) * 1000


class SetClock:
    """A clock that stands still until it is set."""

    def __init__(self, now_ms: int = 0) -> None:
        self.now_ms = now_ms

    def __call__(self) -> int:
        return self.now_ms


@pytest.fixture
def clock() -> SetClock:
    return SetClock(ms("2026-11-21T12:00"))


@pytest.fixture
def context(tmp_path: Path, clock: SetClock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Context]:
    monkeypatch.setattr(timetable, "KINDS", (Kind("codes", "0 5 * * 1", of_companies=True),))
    for database in empty_database(tmp_path):
        migrate(database)
        prepare(database, "Asia/Yekaterinburg")
        yield Context(database, "x", Encryption(Fernet.generate_key()), clock)


def prepare(database: CrmDatabase, zone: str) -> None:
    database.rows("INSERT INTO cities (id, name, time_zone) VALUES (1, 'City', ?)", (zone,))
    database.rows(
        "INSERT INTO companies (id, name, city_id, language, active, ring_timeout_s, talk_limit_s, created_at_ms) "
        "VALUES (1, 'Homes', 1, 'en', ?, 30, 60, 1)",
        (True,),
    )


def slots(context: Context) -> list[str]:
    return [slot for (slot,) in context.database.rows("SELECT slot FROM job_runs ORDER BY id")]


def run_through(context: Context, clock: SetClock, until: str, step: timedelta = timedelta(minutes=10)) -> None:
    table = Timetable(context)
    table.fill()
    while clock.now_ms < ms(until):
        table.look()
        clock.now_ms += int(step.total_seconds()) * 1000


def test_every_monday_at_five_of_the_city(context: Context, clock: SetClock) -> None:
    run_through(context, clock, "2026-12-08T00:00")
    assert slots(context) == ["2026-11-23T05:00", "2026-11-30T05:00", "2026-12-07T05:00"]


def test_a_machine_that_was_down_at_five_runs_when_it_is_back(context: Context, clock: SetClock) -> None:
    run_through(context, clock, "2026-11-22T23:50")
    clock.now_ms = ms("2026-11-23T02:10")  # 07:10 there
    assert Timetable(context).look() == 1
    assert Timetable(context).look() == 0
    assert slots(context) == ["2026-11-23T05:00"]


def test_two_schedulers_make_one_run(context: Context, clock: SetClock) -> None:
    first, second = Timetable(context), Timetable(context)
    first.fill()
    second.fill()
    first.look()
    clock.now_ms = ms("2026-11-23T00:00")
    assert first.look() + second.look() == 1


def test_a_clock_put_back_does_not_run_a_slot_again(context: Context, clock: SetClock) -> None:
    run_through(context, clock, "2026-11-23T00:30")
    clock.now_ms = ms("2026-11-22T20:00")
    run_through(context, clock, "2026-11-30T02:00")
    assert slots(context) == ["2026-11-23T05:00", "2026-11-30T05:00"]


def test_a_slot_is_worked_out_again_when_the_clock_was_set_and_not_at_every_look(
    context: Context, clock: SetClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    worked_out: list[str] = []

    def counted(cron: str, zone: str, now_ms: int) -> Slot:
        worked_out.append(cron)
        return slot_from(cron, zone, now_ms)

    monkeypatch.setattr(timetable, "slot_from", counted)
    passed_s = 100.0
    table = Timetable(context, lambda: passed_s)
    table.fill()
    for _ in range(5):
        table.look()
        passed_s += 1
        clock.now_ms += 1000
    once_and_again = len(worked_out)
    assert once_and_again == 2 * len(set(context.database.rows("SELECT id FROM scheduled_jobs")))
    clock.now_ms -= 60_000
    table.look()
    assert len(worked_out) > once_and_again


def test_a_clock_that_was_years_ahead_for_a_moment_costs_no_monday(context: Context, clock: SetClock) -> None:
    run_through(context, clock, "2026-11-22T00:00")
    clock.now_ms = ms("2031-01-01T00:00")
    Timetable(context).look()
    clock.now_ms = ms("2026-11-22T00:10")
    run_through(context, clock, "2026-12-01T00:00")
    assert slots(context)[1:] == ["2026-11-23T05:00", "2026-11-30T05:00"]


@given(
    zone=st.sampled_from(["Europe/Berlin", "America/New_York", "Asia/Yekaterinburg", "Australia/Lord_Howe"]),
    cron=st.sampled_from(["0 5 * * 1", "30 2 * * *", "0 2 * * 0", "15 1,2,3 * * *"]),
    begin=st.datetimes(EARLIEST, LATEST),
    moves=st.lists(
        st.one_of(
            st.timedeltas(timedelta(minutes=1), timedelta(minutes=50)),
            st.timedeltas(timedelta(hours=1), timedelta(days=9)),
            st.timedeltas(timedelta(hours=-30), timedelta(seconds=-1)),
        ),
        max_size=40,
    ),
)
@settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
def test_after_any_moves_of_the_clock_each_slot_has_run_once(
    tmp_path_factory: pytest.TempPathFactory, zone: str, cron: str, begin: datetime, moves: list[timedelta]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timetable, "KINDS", (Kind("codes", cron, of_companies=True),))
        clock = SetClock(int(begin.replace(tzinfo=UTC).timestamp()) * 1000)
        database = CrmDatabase(f"sqlite:///{tmp_path_factory.mktemp('clock')}/crm.db")
        try:
            migrate(database)
            prepare(database, zone)
            context = Context(database, "x", Encryption(Fernet.generate_key()), clock)
            schedulers = [Timetable(context), Timetable(context)]
            schedulers[0].fill()
            for scheduler in schedulers:  # the first look at a job notes its slot, the next one runs it: it may be due
                scheduler.look()
            first_ms = latest_ms = clock.now_ms
            for turn, move in enumerate(moves):
                clock.now_ms += int(move.total_seconds() * 1000)
                schedulers[turn % 2].look()
                schedulers[(turn + 1) % 2].look()
                latest_ms = max(latest_ms, clock.now_ms)
            runs = database.rows("SELECT slot, due_at_ms, slots_missed FROM job_runs ORDER BY id")
            assert len({slot for slot, _, _ in runs}) == len(runs)
            expected, slot = 0, slot_from(cron, zone, first_ms)
            while slot.due_at_ms <= latest_ms:
                expected += 1
                slot = slot_after(cron, zone, slot.name)
            # Every slot that has come was run, or is counted by the run that stands for it. A clock put back far may
            # bring back a slot that another run stood for: it is run then, so nothing is ever left out.
            assert sum(1 + missed for _, _, missed in runs) >= expected
            assert all(due <= latest_ms for _, due, _ in runs)
            if all(move > timedelta(0) for move in moves):
                assert sum(1 + missed for _, _, missed in runs) == expected
        finally:
            database.forget_connection()


# --- another zone ---------------------------------------------------------------------------------------------------


def move_to(context: Context, zone: str) -> None:
    """The platform gives the city another clock."""
    context.database.rows("UPDATE cities SET time_zone = ? WHERE id = 1", (zone,))


def test_a_slot_whose_hour_has_passed_in_the_new_zone_runs_at_once(context: Context, clock: SetClock) -> None:
    run_through(context, clock, "2026-11-22T22:00")  # Monday, 03:00 there
    table = Timetable(context)
    table.look()
    move_to(context, "Asia/Vladivostok")  # 08:00 there
    assert table.look() == 1
    assert table.look() == Timetable(context).look() == 0
    assert slots(context) == ["2026-11-23T05:00"]
    assert context.database.row("SELECT due_at_ms, slots_missed FROM job_runs") == (ms("2026-11-22T19:00"), 0)
    run_through(context, clock, "2026-12-01T00:00")
    assert slots(context) == ["2026-11-23T05:00", "2026-11-30T05:00"]


def test_a_slot_that_is_to_come_in_the_new_zone_waits_also_where_no_scheduler_ran(
    context: Context, clock: SetClock
) -> None:
    move_to(context, "Asia/Vladivostok")
    table = Timetable(context)
    table.fill()
    table.look()
    clock.now_ms = ms("2026-11-22T20:00")  # Monday, 06:00 there
    move_to(context, "Europe/Moscow")  # Sunday, 23:00 there
    assert Timetable(context).look() == table.look() == 0
    run_through(context, clock, "2026-11-23T01:59")
    assert slots(context) == []
    run_through(context, clock, "2026-12-01T00:00")
    assert slots(context) == ["2026-11-23T05:00", "2026-11-30T05:00"]


def test_a_city_that_gets_its_old_zone_back_runs_no_slot_twice(context: Context, clock: SetClock) -> None:
    run_through(context, clock, "2026-11-22T22:00")
    for zone in ("Asia/Vladivostok", "Asia/Yekaterinburg", "Asia/Vladivostok", "Europe/Kaliningrad"):
        move_to(context, zone)
        Timetable(context).look()
    run_through(context, clock, "2026-12-01T00:00")
    assert slots(context) == ["2026-11-23T05:00", "2026-11-30T05:00"]


def test_a_slot_whose_hour_is_to_come_again_in_the_new_zone_does_not_run_again(
    context: Context, clock: SetClock
) -> None:
    run_through(context, clock, "2026-11-23T00:30")  # it has run
    move_to(context, "Europe/Kaliningrad")
    run_through(context, clock, "2026-12-01T00:00")
    # Made for the slot, not for the moment: 05:00 of Kaliningrad is three hours later.
    assert slots(context) == ["2026-11-23T05:00", "2026-11-30T05:00"]


@given(
    cron=st.sampled_from(["0 5 * * 1", "30 2 * * *", "15 1,2,3 * * *"]),
    moves=st.lists(
        st.tuples(
            st.sampled_from(["Pacific/Kiritimati", "Asia/Vladivostok", "Europe/Berlin", "America/New_York"]),
            st.timedeltas(timedelta(minutes=1), timedelta(hours=30)),
        ),
        min_size=1,
        max_size=25,
    ),
)
@settings(max_examples=20, deadline=None, suppress_health_check=list(HealthCheck))
def test_whatever_zones_a_city_gets_no_slot_runs_twice_and_none_is_left_out(
    tmp_path_factory: pytest.TempPathFactory, cron: str, moves: list[tuple[str, timedelta]]
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(timetable, "KINDS", (Kind("codes", cron, of_companies=True),))
        clock = SetClock(ms("2026-11-21T12:00"))
        database = CrmDatabase(f"sqlite:///{tmp_path_factory.mktemp('zones')}/crm.db")
        try:
            migrate(database)
            prepare(database, "Europe/Berlin")
            context = Context(database, "x", Encryption(Fernet.generate_key()), clock)
            table = Timetable(context)
            table.fill()
            table.look()
            (first,) = database.row("SELECT next_slot FROM scheduled_jobs") or ("",)
            for zone, move in moves:
                clock.now_ms += int(move.total_seconds() * 1000)
                table.look()
                move_to(context, zone)
                table.look()
            zone = moves[-1][0]
            runs = database.rows("SELECT slot, slots_missed FROM job_runs ORDER BY id")
            assert len({slot for slot, _ in runs}) == len(runs)
            slot, come = slot_named(zone, first), set[str]()
            while slot.due_at_ms <= clock.now_ms:
                come.add(slot.name)
                slot = slot_after(cron, zone, slot.name)
            assert sum(1 + missed for _, missed in runs) >= len(come)
            assert not come or max(come) <= max(name for name, _ in runs), "the last one has run, or a later one"
        finally:
            database.forget_connection()


# --- the lease ------------------------------------------------------------------------------------------------------


def test_a_standby_takes_over_when_the_first_is_silent(context: Context, clock: SetClock) -> None:
    ticking = [0.0]
    first = SchedulerLease(context, "first", lambda: ticking[0])
    second = SchedulerLease(context, "second", lambda: ticking[0])
    assert first.keep()
    assert not second.keep()
    clock.now_ms += LEASE_MS + 1
    ticking[0] += LEASE_MS / 1000
    assert second.keep()
    assert not first.is_held, "it must not act on a lease that it did not renew"
    assert not first.keep()
    assert second.keep()


def test_a_lease_from_before_the_clock_was_put_back_is_not_waited_for(context: Context, clock: SetClock) -> None:
    assert SchedulerLease(context, "dead").keep()
    clock.now_ms -= 5 * HOUR_MS
    assert SchedulerLease(context, "living").keep()


def test_a_lease_given_back_is_free_at_once(context: Context) -> None:
    first = SchedulerLease(context, "first")
    first.keep()
    first.give_back()
    assert SchedulerLease(context, "second").keep()


# --- runs -----------------------------------------------------------------------------------------------------------


@pytest.fixture
def runs(context: Context, clock: SetClock) -> JobRuns:
    run_through(context, clock, "2026-11-23T00:20")
    return JobRuns(context)


def test_who_finds_no_run_to_take_keeps_no_writer_waiting(runs: JobRuns, monkeypatch: pytest.MonkeyPatch) -> None:
    assert runs.take("a") is not None
    monkeypatch.setattr(runs.database, "transaction", lambda: pytest.fail("it would lock the database"))
    assert runs.take("a") is None


def test_a_run_is_taken_once_told_and_ended(runs: JobRuns) -> None:
    run = runs.take("a")
    assert run is not None
    assert runs.take("b") is None
    runs.tell(run, 3, 10)
    runs.end(run, {"codes": 10})
    row = runs.database.row("SELECT state, done, total, result FROM job_runs")
    assert row == ("done", 3, 10, '{"codes": 10}')
    assert runs.take("b") is None


def test_a_lost_run_goes_to_the_next_and_the_first_can_write_no_more(runs: JobRuns, clock: SetClock) -> None:
    first = runs.take("a")
    assert first is not None
    clock.now_ms += SILENT_MS + 1
    assert runs.take("a", {first.run_id}) is None, "its own run is not lost because the clock jumped"
    second = runs.take("b")
    assert second is not None
    assert second.attempt == 2
    with pytest.raises(RunLostError):
        runs.tell(first, 1, None)
    with pytest.raises(RunLostError):
        runs.end(first, {})
    runs.end(second, {})


def test_a_run_that_fails_is_tried_again_later_and_given_up_in_the_end(runs: JobRuns, clock: SetClock) -> None:
    for attempt in range(1, ATTEMPTS + 1):
        run = runs.take("a")
        assert run is not None
        assert run.attempt == attempt
        runs.fail(run, "billing is away")
        assert runs.take("a") is None, "not at once"
        clock.now_ms += HOUR_MS
    assert runs.take("a") is None
    assert runs.database.row("SELECT state, result FROM job_runs") == ("failed", '{"error": "billing is away"}')


def test_a_run_given_back_costs_no_attempt(runs: JobRuns) -> None:
    run = runs.take("a")
    assert run is not None
    runs.give_back(run)
    again = runs.take("b")
    assert again is not None
    assert again.attempt == run.attempt
