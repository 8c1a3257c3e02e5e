"""Overload: what bounds new calls, how the bound follows what setups take, and whom it never concerns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import pytest

from kemi_routes import admission, nodes
from kemi_routes.pipeline import DONE, NEXT

if TYPE_CHECKING:
    from kemi_routes.pipeline import Request
    from kemi_routes.settings import Settings
    from tests.unit.kemi.fake_ksr import FakeKsr

Make = Callable[["FakeKsr"], "Request"]
WINDOW_MS = 200
MOST, TARGET_MS, LEAST = 80, 100, 30


@dataclass
class Hands:
    """A clock that is set by hand."""

    now_ms: int = 1_790_000_000_250

    def go(self, milliseconds: int) -> None:
        self.now_ms += milliseconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr("time.monotonic_ns", lambda: hands.now_ms * 1_000_000)
    return hands


@pytest.fixture
def settings(fake: FakeKsr, request_of: Make) -> Settings:
    return replace(request_of(fake).settings, silent_calls=MOST, setup_ms=TARGET_MS)


def sent(fake: FakeKsr, call_id: str) -> None:
    """A call that is let in goes to a node."""
    leg = nodes.PanelLeg(nodes.asking(fake.ksr), nodes.SENT, admission.setup_begins(fake.ksr))
    nodes.keep_panel_leg(fake.ksr, call_id, leg)


def window(fake: FakeKsr, clock: Hands, watch: admission.SetupWatch, dialled: int, waiting: int) -> None:
    """A fifth of a second: so many calls come out of their setup, and so many are in it when it ends."""
    begin_ms = clock.now_ms
    fake.tables["silent"].clear()
    for index in range(dialled):
        sent(fake, f"{begin_ms}-{index}")
        admission.node_dials(fake.ksr, f"{begin_ms}-{index}")
    for index in range(waiting):
        sent(fake, f"{begin_ms}-waiting-{index}")
    clock.go(WINDOW_MS)
    watch.tick(fake.ksr)


def bound(fake: FakeKsr) -> int:
    """How many calls may be in setup."""
    kept = fake.tables["dialled_calls"].get("limit", MOST)
    assert isinstance(kept, int)
    return kept


def test_calls_in_setup_bound_admission_and_expire(fake: FakeKsr, request_of: Make, clock: Hands) -> None:
    receipts = [admission.setup_begins(fake.ksr) for _ in range(request_of(fake).settings.silent_calls)]
    assert admission.check_load(fake.ksr, request_of(fake)) is DONE
    admission.setup_ends(fake.ksr, receipts[0])
    assert admission.check_load(fake.ksr, request_of(fake)) is NEXT
    admission.setup_begins(fake.ksr)
    assert admission.check_load(fake.ksr, request_of(fake)) is DONE
    clock.go(4000)
    assert admission.check_load(fake.ksr, request_of(fake)) is NEXT
    admission.setup_ends(fake.ksr, receipts[1])
    assert min(value for value in fake.tables["silent"].values() if isinstance(value, int)) >= 0


def test_a_setup_is_over_when_the_node_dials_and_is_counted_once(fake: FakeKsr, clock: Hands) -> None:
    sent(fake, "c1")
    clock.go(30)
    admission.node_dials(fake.ksr, "c1")
    admission.node_dials(fake.ksr, "c1")
    admission.node_dials(fake.ksr, "nobody's")
    assert sum(value for value in fake.tables["silent"].values() if isinstance(value, int)) == 0
    leg = nodes.panel_leg(fake.ksr, "c1")
    assert leg is not None
    assert leg.state == nodes.DIALS
    assert list(fake.tables["dialled_calls"].values()) == [1]


def test_a_burst_that_is_worked_off_is_let_through(fake: FakeKsr, clock: Hands, settings: Settings) -> None:
    watch = admission.SetupWatch(settings)
    window(fake, clock, watch, dialled=20, waiting=60)
    window(fake, clock, watch, dialled=60, waiting=5)
    assert bound(fake) == MOST
    assert not admission.is_overloaded(fake.ksr)


def test_as_many_may_be_in_setup_as_come_out_of_it_in_time(
    fake: FakeKsr, clock: Hands, settings: Settings, request_of: Make
) -> None:
    """70 a window are 350 a second: of 80 in setup each waits 230 ms; 35 may be."""
    watch = admission.SetupWatch(settings)
    for _ in range(3):
        window(fake, clock, watch, dialled=70, waiting=20)
    window(fake, clock, watch, dialled=70, waiting=80)
    assert bound(fake) == MOST, "a moment's standstill is no overload"
    window(fake, clock, watch, dialled=70, waiting=80)
    assert bound(fake) == 35
    for _ in range(3):
        window(fake, clock, watch, dialled=20, waiting=80)
    assert bound(fake) == LEAST, "10 would come out in time, but so many are always let in"
    assert admission.is_overloaded(fake.ksr)
    assert any("fewer calls are let in" in line for line in fake.logs)
    assert admission.check_load(fake.ksr, request_of(fake)) is DONE
    assert fake.reply_headers == ["Retry-After: 2\r\n"]
    fake.message.ruri = "sip:112@entryphone.test"
    assert admission.check_load(fake.ksr, request_of(fake)) is NEXT
    for _ in range(3):
        window(fake, clock, watch, dialled=60, waiting=LEAST)
    assert bound(fake) == LEAST, "those in setup take between half the time and all of it"
    grown = []
    while admission.is_overloaded(fake.ksr):
        window(fake, clock, watch, dialled=10, waiting=1)
        grown.append(bound(fake))
    assert grown == [38, 48, 61, 77, MOST]
    assert len([line for line in fake.logs if "overload" in line]) == 3, "begin, one refused call, end"


def test_a_quick_and_busy_platform_is_not_overloaded(fake: FakeKsr, clock: Hands, settings: Settings) -> None:
    watch = admission.SetupWatch(settings)
    for _ in range(10):
        window(fake, clock, watch, dialled=60, waiting=20)
    assert bound(fake) == MOST, "300 a second, each in 67 ms"


def test_nodes_that_dial_nobody_at_all_are_overloaded(fake: FakeKsr, clock: Hands, settings: Settings) -> None:
    watch = admission.SetupWatch(settings)
    for _ in range(3):
        window(fake, clock, watch, dialled=0, waiting=LEAST - 1)
    assert bound(fake) == MOST, "so few may all be dialling within the next moment"
    for _ in range(2):
        window(fake, clock, watch, dialled=0, waiting=40)
    assert bound(fake) == LEAST


def test_a_quiet_time_changes_nothing(fake: FakeKsr, clock: Hands, settings: Settings) -> None:
    watch = admission.SetupWatch(settings)
    for _ in range(5):
        window(fake, clock, watch, dialled=0, waiting=0)
    assert bound(fake) == MOST
    watch.tick(fake.ksr)
    assert fake.logs == []
