"""The host's clock is put back by an hour, or on: nothing gets stuck, and nothing that is over counts as new."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from kemi_routes import (
    accounts,
    admission,
    database,
    digest,
    flood,
    node_life,
    nodes,
    probe_calls,
    settings,
    story,
    talks,
    trunks,
    voice_calls,
    waking,
)
from kemi_routes.pipeline import DONE, NEXT

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]

HOUR_S = 3600.0
NODE = "127.0.0.21"


class Clocks:
    """The time of day, which may be set, and the one that only goes on."""

    def __init__(self) -> None:
        self.of_day_s = 1_790_000_000.0
        self.steady_s = 5_000.0

    def passes(self, seconds: float) -> None:
        """Time passes."""
        self.of_day_s += seconds
        self.steady_s += seconds

    def is_set(self, seconds: float) -> None:
        """NTP puts the clock back (negative), or on."""
        self.of_day_s += seconds


@pytest.fixture
def clocks(monkeypatch: pytest.MonkeyPatch) -> Clocks:
    """Clocks that go when they are told."""
    made = Clocks()
    monkeypatch.setattr(time, "time", lambda: made.of_day_s)
    monkeypatch.setattr(time, "time_ns", lambda: int(made.of_day_s * 1e9))
    monkeypatch.setattr(time, "monotonic", lambda: made.steady_s)
    monkeypatch.setattr(time, "monotonic_ns", lambda: int(made.steady_s * 1e9))
    return made


def test_a_node_that_dies_after_the_clock_was_put_back_is_taken_for_dead(fake: FakeKsr, clocks: Clocks) -> None:
    node_life.Hearing().note(fake.ksr, NODE)
    fake.tables["setup"]["c1"] = f"P {NODE}:5060 rings 1"
    clocks.is_set(-HOUR_S)
    clocks.passes(10)
    fake.message.ruri = f"sip:{NODE}:5060"
    nodes.node_event(fake.ksr, "dispatcher:dst-down")
    nodes.NodeWatch(settings.read(fake.ksr)).tick(fake.ksr)
    assert fake.called("dispatcher.ds_mark_addr") == [], "a dead node was taken up again"
    assert "lost" in str(fake.tables["setup"]["c1"]), "its call was not sent on"


def test_a_node_is_heard_after_the_clock_was_put_back(fake: FakeKsr, clocks: Clocks) -> None:
    hearing = node_life.Hearing()
    hearing.note(fake.ksr, NODE)
    clocks.is_set(-HOUR_S)
    clocks.passes(10)
    hearing.note(fake.ksr, NODE)
    assert len(fake.called("htable.sht_sets")) == 2
    assert node_life.lives(fake.ksr, NODE)


def test_a_database_that_hung_is_asked_again_after_its_rest(
    fake: FakeKsr, clocks: Clocks, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []

    def hangs(text: str) -> int:
        asked.append(text)
        clocks.passes(2)
        return -1

    monkeypatch.setattr(fake, "query", hangs)
    assert database.rows(fake.ksr, "account", "select 1", 1) is None
    clocks.is_set(-HOUR_S)
    clocks.passes(database.REST_S)
    database.rows(fake.ksr, "account", "select 1", 1)
    assert len(asked) == 2, "phones that are not cached would be refused for an hour"


def test_an_address_is_barred_no_longer_than_told(fake: FakeKsr, request_of: Make, clocks: Clocks) -> None:
    request = request_of(fake)
    for _ in range(request.settings.wrong_passwords):
        flood.wrong_password(fake.ksr, request, "p1")
    assert flood.check_barred(fake.ksr, request) is DONE
    clocks.is_set(-HOUR_S)  # Kamailio's table forgets the address an hour later
    clocks.passes(request.settings.bar_s - 2)
    assert flood.check_barred(fake.ksr, request) is DONE
    clocks.passes(2)
    assert flood.check_barred(fake.ksr, request) is NEXT


def test_strangers_are_counted_by_the_minute_that_passes(fake: FakeKsr, request_of: Make, clocks: Clocks) -> None:
    fake.defines["EP_STRANGERS_PER_MINUTE"] = "1"
    fake.message.ruri, fake.message.from_user = "sip:112@entryphone.test", "nobody"
    assert digest.authenticate(fake.ksr, request_of(fake)) is NEXT
    assert digest.authenticate(fake.ksr, request_of(fake)) is DONE
    clocks.is_set(-HOUR_S)
    clocks.passes(60)
    assert digest.authenticate(fake.ksr, request_of(fake)) is NEXT, "112 would be refused for an hour"


def test_an_account_that_is_made_is_found_soon(fake: FakeKsr, clocks: Clocks) -> None:
    fake.database = {}
    assert accounts.find(fake.ksr, "p1", 300) is None
    fake.database["p1"] = ("ha1", "panel", 1)
    clocks.is_set(-HOUR_S)  # Kamailio's table forgets an hour later
    clocks.passes(4)
    assert accounts.find(fake.ksr, "p1", 300) is None
    clocks.passes(1)
    assert accounts.find(fake.ksr, "p1", 300) is not None


def test_a_line_that_failed_once_is_tried_last_for_half_a_minute(fake: FakeKsr, clocks: Clocks) -> None:
    fake.trunk_rows = [(name, "10.0.0.1", "udp", "", "", "", 0, "e164") for name in ("first", "second")]
    trunks.TrunkKeeper().tick(fake.ksr)
    trunks.rest(fake.ksr, "first")
    clocks.is_set(-HOUR_S)  # Kamailio's table forgets an hour later
    clocks.passes(29)
    assert trunks.in_order(fake.ksr, ["first", "second"]) == ["second", "first"]
    clocks.passes(1)
    assert trunks.in_order(fake.ksr, ["first", "second"]) == ["first", "second"], "also when 112 is called"


@pytest.mark.parametrize("jump_s", [-HOUR_S, -2.0, HOUR_S])
def test_calls_count_within_the_second_in_which_they_came(
    fake: FakeKsr, request_of: Make, clocks: Clocks, jump_s: float
) -> None:
    request = request_of(fake)
    for _ in range(int(request.settings.new_calls_per_s)):
        admission.take_token(fake.ksr, request)
    clocks.is_set(jump_s)
    assert admission.check_load(fake.ksr, request) is DONE
    clocks.passes(2)
    assert admission.check_load(fake.ksr, request) is NEXT


@pytest.mark.parametrize("jump_s", [-HOUR_S, -5.0, HOUR_S])
def test_a_setup_that_nobody_ends_counts_for_three_seconds(
    fake: FakeKsr, request_of: Make, clocks: Clocks, jump_s: float
) -> None:
    request = request_of(fake)
    for _ in range(request.settings.silent_calls):
        admission.setup_begins(fake.ksr)
    clocks.is_set(jump_s)
    assert admission.check_load(fake.ksr, request) is DONE
    for _ in range(7):
        clocks.passes(1)
        assert admission.check_load(fake.ksr, request) is (NEXT if clocks.steady_s >= 5003 else DONE)


def test_an_account_grows_old_although_the_clock_was_put_back(fake: FakeKsr, clocks: Clocks) -> None:
    fake.database = {"p1": ("ha1", "panel", 1)}
    accounts.find(fake.ksr, "p1", 300)
    fake.database["p1"] = ("ha1", "app", 1)
    clocks.is_set(-HOUR_S)
    clocks.passes(300)
    found = accounts.find(fake.ksr, "p1", 300)
    assert found is not None
    assert found.kind == "app"


def test_a_probe_is_let_in_soon_after_a_visitor(fake: FakeKsr, request_of: Make, clocks: Clocks) -> None:
    probe_calls.give_way(fake.ksr, settings.read(fake.ksr), "p1")
    clocks.is_set(-HOUR_S)
    clocks.passes(2)
    fake.message.headers = [("X-Entryphone-Target", "handset p1 12 header 7")]
    probe_calls.ring_handset(fake.ksr, request_of(fake))
    assert fake.replies == [(480, "Panel Not Registered")], "not that somebody has just taken it"


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
def test_a_stage_waits_for_sleepers_as_long_as_it_was_said(fake: FakeKsr, clocks: Clocks, jump_s: float) -> None:
    deadline_ms = int((clocks.steady_s + 15) * 1000)
    leg = waking.WakingLeg(waking.RINGS, 1, 2, deadline_ms, 0, "c1", ("a1",))
    waking.begin(fake.ksr, "leg-1", leg)
    clocks.is_set(jump_s)
    clocks.passes(5)
    waking.suspend(fake.ksr, "leg-1", leg)
    ((_, waits_ms),) = fake.called("tm.t_set_fr")
    assert waits_ms == 10_000


def test_a_leg_whose_phone_nobody_calls_goes_on_in_time(fake: FakeKsr, clocks: Clocks) -> None:
    wanted = voice_calls.Wanted(
        "leg-1", "c1", 0, "f1", "+79160000012", 0, "twilio", "+78435550100", f"{NODE}:5060", "channel|0|0|en|c1"
    )
    voice_calls.wait(fake.ksr, wanted)
    clocks.is_set(-HOUR_S)
    clocks.passes(6)
    voice_calls.tick(fake.ksr)
    assert len(fake.called("tmx.t_continue")) == 1


@pytest.mark.parametrize("jump_s", [-HOUR_S, HOUR_S])
def test_a_talk_lasts_as_long_as_it_lasts(
    fake: FakeKsr, clocks: Clocks, jump_s: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[int | None] = []
    monkeypatch.setattr(story, "ended", lambda _ksr, end: told.append(end.talk_ms))
    talks.begins(fake.ksr, "c1", "leg-1", "p1,12")
    clocks.is_set(jump_s)
    clocks.passes(20)
    talks._tell(fake.ksr, "c1", str(fake.tables["talking"]["c1"]), stopped=False)
    assert told == [20_000]


def test_trunks_are_registered_again_when_the_clock_was_put_back(fake: FakeKsr, clocks: Clocks) -> None:
    registering = ("carrier-c", "10.0.0.3:5070", "tcp", "we", "carriers", "1" * 32, 1, "e164")
    silent = ("carrier-d", "10.0.0.4:5070", "udp", "", "", "", 0, "e164")
    keeper = trunks.TrunkKeeper()
    fake.trunk_rows = [registering, silent]
    keeper.tick(fake.ksr)
    fake.registrations.clear()
    clocks.passes(1)
    clocks.is_set(HOUR_S)
    keeper.tick(fake.ksr)
    assert fake.registrations == [], "put on, the module registers by itself"
    clocks.is_set(-HOUR_S)
    for _ in range(3):
        clocks.passes(0.25)
        keeper.tick(fake.ksr)
    assert fake.registrations == [("uac.reg_enable", ["l_uuid", "carrier-c"])]
