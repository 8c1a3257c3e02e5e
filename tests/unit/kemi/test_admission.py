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
MOST, TARGET_MS, LEAST = 80, 100, 8


@dataclass
class Hands:
    """A clock that is set by hand."""

    now_ms: int = 1_790_000_000_250

    def go(self, milliseconds: int) -> None:
        self.now_ms += milliseconds


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Hands:
    hands = Hands()
    monkeypatch.setattr("time.time", lambda: hands.now_ms / 1000)
    monkeypatch.setattr("time.time_ns", lambda: hands.now_ms * 1_000_000)
    return hands


@pytest.fixture
def settings(fake: FakeKsr, request_of: Make) -> Settings:
    return replace(request_of(fake).settings, silent_calls=MOST, setup_ms=TARGET_MS)


def sent(fake: FakeKsr, call_id: str) -> None:
    """A call that is let in goes to a node."""
    nodes.keep_panel_leg(fake.ksr, call_id, nodes.PanelLeg("n:5060", nodes.SENT, admission.setup_begins(fake.ksr)))


def window(fake: FakeKsr, clock: Hands, watch: admission.SetupWatch, *took_ms: int) -> None:
    """Calls whose setups take so long, all dialled within one window; then its end is looked at."""
    begin_ms = clock.now_ms
    for index, milliseconds in enumerate(took_ms):
        clock.now_ms = begin_ms - milliseconds
        sent(fake, f"{begin_ms}-{index}")
        clock.now_ms = begin_ms
        admission.node_dials(fake.ksr, f"{begin_ms}-{index}")
    clock.go(WINDOW_MS)
    watch.tick(fake.ksr)


def bound(fake: FakeKsr) -> int:
    """How many calls may be in setup."""
    kept = fake.tables["shortest_setup"].get("limit", MOST)
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
    assert list(fake.tables["shortest_setup"].values()) == [30]


def test_a_burst_that_is_worked_off_is_let_through(fake: FakeKsr, clock: Hands, settings: Settings) -> None:
    """Some wait long, one does not: no queue stands."""
    watch = admission.SetupWatch(settings)
    window(fake, clock, watch, 900, 20, 800)
    assert bound(fake) == MOST
    assert not admission.is_overloaded(fake.ksr)


def test_a_standing_queue_lets_fewer_in_until_it_is_gone(
    fake: FakeKsr, clock: Hands, settings: Settings, request_of: Make
) -> None:
    watch = admission.SetupWatch(settings)
    for index in range(40):
        sent(fake, f"waiting-{index}")
    window(fake, clock, watch, 250, 400, 150)
    window(fake, clock, watch, 300)
    assert bound(fake) == MOST, "a moment's standstill is no overload"
    window(fake, clock, watch, 250, 400, 101)
    assert bound(fake) == 39, "of the forty in setup as many as are set up within the target"
    window(fake, clock, watch, 200)
    assert bound(fake) == 20
    assert admission.is_overloaded(fake.ksr)
    assert any("fewer calls are let in" in line for line in fake.logs)
    assert admission.check_load(fake.ksr, request_of(fake)) is DONE
    assert fake.reply_headers == ["Retry-After: 2\r\n"]
    fake.message.ruri = "sip:112@entryphone.test"
    assert admission.check_load(fake.ksr, request_of(fake)) is NEXT
    for _ in range(20):
        window(fake, clock, watch, 300)
    assert bound(fake) == LEAST, "so many are always let in"
    window(fake, clock, watch, 70)
    assert bound(fake) == LEAST, "between half the target and the target it stays"
    grown = []
    while admission.is_overloaded(fake.ksr):
        window(fake, clock, watch, 20)
        grown.append(bound(fake))
    assert grown == [11, 14, 18, 23, 29, 37, 47, 59, 74, MOST]
    assert len([line for line in fake.logs if "overload" in line]) == 3, "begin, one refused call, end"


def test_nodes_that_dial_nobody_at_all_are_overloaded(fake: FakeKsr, clock: Hands, settings: Settings) -> None:
    watch = admission.SetupWatch(settings)
    for index in range(LEAST - 1):
        sent(fake, f"few-{index}")
    window(fake, clock, watch)
    assert bound(fake) == MOST, "so few may all be dialling within the next moment"
    for index in range(20):
        sent(fake, f"more-{index}")
    window(fake, clock, watch)
    window(fake, clock, watch)
    assert bound(fake) == MOST
    window(fake, clock, watch)
    assert bound(fake) == 20


def test_a_quiet_time_changes_nothing(fake: FakeKsr, clock: Hands, settings: Settings) -> None:
    watch = admission.SetupWatch(settings)
    for _ in range(5):
        window(fake, clock, watch)
    assert bound(fake) == MOST
    watch.tick(fake.ksr)
    assert fake.logs == []
