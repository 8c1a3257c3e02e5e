"""Who holds which number: any interleaving of call, end, call back, expiry, release and crash, against a model."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)

from crm_api.domain.problems import ConflictError
from crm_api.services.context import Context, Tenant
from crm_api.services.number_leases import LONGEST_CALL_MS, Leasing, NumberLeases
from crm_api.tables.models import Account, City, Company, Panel

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town

KEEP_MS = 3_600_000
PANELS = ("p1", "p2", "p3", "p4")
MINUTE_MS = 60_000


class Stopped(Exception):  # noqa: N818 - states the fact
    """The process died here."""


@dataclass
class Hands:
    """A clock that is set by hand."""

    now: int = 1_790_000_000_000

    def __call__(self) -> int:
        return self.now


@dataclass
class Held:
    """What the model knows of one number."""

    panel: str | None = None
    call_id: str | None = None
    until_ms: int = 0
    in_call: bool = False


@dataclass
class World:
    """A city with a few numbers and panels."""

    context: Context
    clock: Hands
    city: int
    panels: dict[str, int]
    numbers: list[str] = field(default_factory=list)


def furnished(context: Context, numbers: int, shared: bool) -> World:
    clock = Hands()
    context = Context(context.database, context.realm, context.encryption, clock, context.passwords)
    database = context.database
    for table in ("number_leases", "city_numbers", "emergency_centres", "panels", "accounts", "companies", "cities"):
        database.rows(f"DELETE FROM {table}")  # noqa: S608 - names of our own tables
    city = City.create(name="Riverside", time_zone="UTC")
    company = Company.create(
        name="Homes", city_id=city.id, language="en", active=True, ring_timeout_s=30, talk_limit_s=120, created_at_ms=0
    )
    panels = {}
    for name in PANELS:
        account = Account.create(
            company_id=company.id, account=name, kind="panel", ha1="0" * 32, enabled=True, created_at_ms=0
        )
        panels[name] = Panel.create(company_id=company.id, account_id=account.id, name=name, driver="generic").id
    database.rows(
        "INSERT INTO emergency_centres (city_id, name, number, records_calls, keep_s, low_percent) "
        "VALUES (?, 'Centre', '112', ?, ?, 20)",
        (city.id, False, KEEP_MS // 1000),
    )
    world = World(context, clock, city.id, panels)
    for index in range(numbers):
        number = f"+7495111{index:04}"
        world.numbers.append(number)
        add_number(database, city.id, number)
    if shared:
        add_number(database, city.id, "+74951119999", shared=True)
    return world


def add_number(database: CrmDatabase, city: int, number: str, *, shared: bool = False) -> None:
    database.rows(
        "INSERT INTO city_numbers (city_id, number, trunk, shared, in_service) VALUES (?, ?, 'line', ?, ?)",
        (city, number, shared, True),
    )


class LeaseMachine(RuleBasedStateMachine):
    """Everything that may happen, in any order; the model below says what must come of it."""

    make: Callable[[int], World]

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    @initialize(numbers=st.integers(0, 3))
    def begin(self, numbers: int) -> None:
        self.world = self.make(numbers)
        self.leasing = Leasing(self.world.context)
        self.history = NumberLeases(self.world.context)
        self.model = {number: Held() for number in self.world.numbers}

    @property
    def now(self) -> int:
        return self.world.clock.now

    def of(self, panel: str) -> str | None:
        """The number that the panel holds."""
        return next((n for n, h in self.model.items() if h.panel == panel and h.until_ms > self.now), None)

    def fresh_call(self) -> str:
        self.calls += 1
        return f"call-{self.calls}"

    @rule(panel=st.sampled_from(PANELS))
    def call(self, panel: str) -> None:
        call_id = self.fresh_call()
        lease = self.leasing.lease(panel, call_id)
        assert lease is not None
        held = self.of(panel)
        if held is not None:
            assert (lease.number, lease.source) == (held, "renewed")
        else:
            for old in self.model.values():
                if old.panel == panel:
                    old.panel = None
            free = [n for n, h in self.model.items() if h.until_ms <= self.now]
            oldest = min(free, key=lambda n: (self.model[n].until_ms, n), default=None)
            expected = ("+74951119999", "shared") if oldest is None else (oldest, "leased")
            assert (lease.number, lease.source) == expected
            if oldest is None:
                return
            held = oldest
        self.model[held] = Held(panel, call_id, self.now + LONGEST_CALL_MS + KEEP_MS, in_call=True)

    @rule(data=st.data())
    def end(self, data: Any) -> None:
        """Any call ends, also one that was followed by another, or twice."""
        call_id = f"call-{data.draw(st.integers(1, self.calls + 1))}"
        self.leasing.ended(call_id, self.now)
        for held in self.model.values():
            if held.call_id == call_id and held.in_call and held.panel is not None:
                held.in_call, held.until_ms = False, self.now + KEEP_MS

    @rule(data=st.data())
    def goes_on(self, data: Any) -> None:
        """An end is taken back, also of a call that was followed by another, or has not ended."""
        call_id = f"call-{data.draw(st.integers(1, self.calls + 1))}"
        with self.world.context.database.transaction():
            self.leasing.goes_on(call_id, self.now)
        for held in self.model.values():
            if held.call_id == call_id and held.panel is not None:
                held.in_call, held.until_ms = True, max(held.until_ms, self.now + LONGEST_CALL_MS + KEEP_MS)

    @rule(data=st.data())
    @precondition(lambda self: self.model)
    def call_back(self, data: Any) -> None:
        number = data.draw(st.sampled_from(sorted(self.model)))
        call_id = self.fresh_call()
        panel_id = self.leasing.called_back(number, call_id)
        held = self.model[number]
        if held.panel is None or held.until_ms <= self.now:
            assert panel_id is None
            return
        assert panel_id == self.world.panels[held.panel]
        held.call_id, held.in_call = call_id, True
        held.until_ms = max(held.until_ms, self.now + LONGEST_CALL_MS)

    @rule(minutes=st.sampled_from([1, 30, 61, 360]))
    def time_passes(self, minutes: int) -> None:
        self.world.clock.now += minutes * MINUTE_MS

    @rule()
    def expire(self) -> None:
        self.leasing.expire()
        for held in self.model.values():
            if held.panel is not None and held.until_ms <= self.now:
                held.panel = held.call_id = None
                held.in_call = False

    @rule(data=st.data())
    @precondition(lambda self: self.model)
    def release(self, data: Any) -> None:
        number = data.draw(st.sampled_from(sorted(self.model)))
        held = self.model[number]
        open_leases = self.world.context.database.rows(
            "SELECT id FROM number_leases WHERE number = ? AND ended_at_ms IS NULL", (number,)
        )
        if held.panel is None:
            assert not open_leases or held.until_ms <= self.now
            return
        self.history.release(Tenant(None), open_leases[0][0], "by hand")
        self.model[number] = Held(until_ms=self.now)
        with pytest.raises(ConflictError):
            self.history.release(Tenant(None), open_leases[0][0], "again")

    @rule(panel=st.sampled_from(PANELS))
    def crash(self, panel: str) -> None:
        """A process dies in the middle of a lease: nothing has happened."""
        database = self.world.context.database
        with pytest.raises(Stopped), database.transaction():  # noqa: PT012
            self.leasing.lease(panel, "never")
            raise Stopped

    @invariant()
    def nobody_shares(self) -> None:
        if not hasattr(self, "model"):
            return
        database = self.world.context.database
        rows = database.rows("SELECT number, panel_id, held_until_ms FROM city_numbers WHERE shared = ?", (False,))
        ids = self.world.panels
        for number, panel_id, until_ms in rows:
            held = self.model[number]
            if held.panel is not None:
                assert (panel_id, until_ms) == (ids[held.panel], held.until_ms), number
            else:
                assert panel_id is None
        holders = [panel_id for _, panel_id, _ in rows if panel_id is not None]
        assert len(holders) == len(set(holders))
        open_ones = database.rows("SELECT number, panel_id FROM number_leases WHERE ended_at_ms IS NULL")
        assert len(open_ones) == len({number for number, _ in open_ones})
        assert set(open_ones) == {(number, panel_id) for number, panel_id, _ in rows if panel_id is not None}
        ends_before_it_begins = database.rows("SELECT id FROM number_leases WHERE ended_at_ms < leased_at_ms")
        assert ends_before_it_begins == []


def test_any_interleaving_keeps_one_panel_a_number(context: Context) -> None:
    class Machine(LeaseMachine):
        def make(self, numbers: int) -> World:
            return furnished(context, numbers, shared=True)

    run_state_machine_as_test(
        Machine,
        settings=settings(
            max_examples=40, stateful_step_count=30, deadline=None, database=None,
            suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        ),
    )  # fmt: skip


def test_many_at_once_never_get_one_number_twice(context: Context) -> None:
    world = furnished(context, 3, shared=True)
    got: list[tuple[str, str | None]] = []
    begin = threading.Barrier(4)

    def caller(panel: str) -> None:
        leasing = Leasing(world.context)
        begin.wait()
        for turn in range(10):
            lease = leasing.lease(panel, f"{panel}-{turn}")
            assert lease is not None
            got.append((panel, lease.number))
        world.context.database.forget_connection()

    threads = [threading.Thread(target=caller, args=(panel,)) for panel in PANELS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(got) == 40
    holders = {number: {panel for panel, of in got if of == number} for number in world.numbers}
    assert all(len(panels) <= 1 for panels in holders.values()), holders
    assert {panel for panel, number in got if number == "+74951119999"} <= set(PANELS)
    # A panel that holds a number goes on with it.
    for panel in PANELS:
        assert len({number for name, number in got if name == panel and number in world.numbers}) <= 1


def test_one_panel_calling_from_two_threads_holds_one_number(context: Context) -> None:
    world = furnished(context, 3, shared=True)
    numbers: set[str | None] = set()
    begin = threading.Barrier(4)

    def call(turn: int) -> None:
        begin.wait()
        lease = Leasing(world.context).lease("p1", f"c{turn}")
        numbers.add(None if lease is None else lease.number)
        world.context.database.forget_connection()

    threads = [threading.Thread(target=call, args=(turn,)) for turn in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(numbers) == 1
    assert numbers <= set(world.numbers)


def test_an_exhausted_pool_takes_the_least_recently_used_expired_lease_then_the_shared_number(
    context: Context,
) -> None:
    """Nobody has swept the expired ones yet."""
    world = furnished(context, 2, shared=True)
    leasing = Leasing(world.context)
    first, second = world.numbers
    for panel in ("p1", "p2"):
        leasing.lease(panel, f"{panel}-1")
    assert (leasing.lease("p3", "early") or _none()).source == "shared"
    leasing.ended("p2-1", world.clock.now)  # its time runs out first
    world.clock.now += MINUTE_MS
    leasing.ended("p1-1", world.clock.now)
    world.clock.now += KEEP_MS
    taken = leasing.lease("p3", "late") or _none()
    assert (taken.number, taken.source) == (second, "leased")
    taken = leasing.lease("p4", "later") or _none()
    assert (taken.number, taken.source) == (first, "leased")
    ended = context.database.rows(
        "SELECT panel, end_reason FROM number_leases WHERE ended_at_ms IS NOT NULL ORDER BY id"
    )
    assert ended == [("p1", "expired"), ("p2", "expired")]
    assert leasing.called_back(second, "back") == world.panels["p3"]
    assert (leasing.lease("p1", "again") or _none()).source == "shared"


def test_a_panel_that_moved_to_another_city_gets_a_number_there(context: Context) -> None:
    world = furnished(context, 1, shared=False)
    leasing = Leasing(world.context)
    assert (leasing.lease("p1", "a") or _none()).number == "+74951110000"
    other = City.create(name="Hillside", time_zone="UTC")
    Company.update(city_id=other.id).execute()
    add_number(context.database, other.id, "+78431110000")
    lease = leasing.lease("p1", "b") or _none()
    assert (lease.number, lease.city_id) == ("+78431110000", other.id)
    ended = context.database.row("SELECT end_reason FROM number_leases WHERE number = '+74951110000'")
    assert ended == ("moved",)


def test_a_number_out_of_service_is_given_to_nobody(context: Context) -> None:
    world = furnished(context, 2, shared=False)
    leasing = Leasing(world.context)
    assert (leasing.lease("p1", "a") or _none()).number == "+74951110000"
    context.database.rows("UPDATE city_numbers SET in_service = ? WHERE number = '+74951110000'", (False,))
    assert leasing.called_back("+74951110000", "back") == world.panels["p1"]
    assert (leasing.lease("p1", "b") or _none()).number == "+74951110001"
    assert (leasing.lease("p2", "c") or _none()).source is None


def test_who_is_no_panel_uses_the_shared_number_and_who_is_nobody_none(context: Context, town: Town) -> None:
    assert town
    leasing = Leasing(context)
    city = City.get(City.name == "Riverside").id
    add_number(context.database, city, "+74951110001")
    assert leasing.lease("nobody", "a") is None
    assert (leasing.lease("a12", "b") or _none()).source is None
    add_number(context.database, city, "+74951119999", shared=True)
    assert (leasing.lease("a12", "c") or _none())[2:5] == (city, "+74951119999", "line")
    assert (leasing.lease("p1", "d") or _none()).source == "leased"


def _none() -> Any:
    raise AssertionError("no lease")
