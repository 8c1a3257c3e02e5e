"""`unlock`: who may open which door, by whom it is opened, and what is recorded of it."""

from __future__ import annotations

import threading
from concurrent import futures
from dataclasses import replace
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agi_apps.applications import ring_all, unlock
from agi_apps.crm_client import Opening
from agi_apps.plan_lookup import FoundPlan, vouched_at_ms
from agi_apps.prompts import Prompt
from agi_apps.ring_plan import Door
from agi_apps.variables import Decision, Variable
from tests.unit.agi.stand_ins import NOW_MS, Crm, Events, Plans, ring_plan, services, taken

if TYPE_CHECKING:
    from collections.abc import Mapping
    from concurrent.futures._base import DoneAndNotDoneFutures

PRESS = ("call-1", "p10001", "12", "h10012a", "#", "")
TONE_WAIT_S = 0.2
"""How long a resident waits for a relay before he hears the tone: less than what a permission for DTMF may take."""


def press(plans: Plans, crm: Crm | None = None, args: tuple[str, ...] = PRESS) -> tuple[Mapping[Variable, str], Events]:
    events = Events()
    return taken(unlock.run(args, replace(services(plans, crm, events), opening_wait_s=TONE_WAIT_S))), events


def test_a_fresh_permission_opens_without_the_crm() -> None:
    crm = Crm()
    outputs, events = press(Plans(ring_plan()), crm)
    assert (outputs[Variable.DECISION], outputs[Variable.DOOR_DTMF]) == (Decision.DTMF, "1")
    assert not crm.asked
    assert [event["result"] for event in events.kept] == ["sent"]


@pytest.mark.parametrize("account", ["h10012b", "c2", ""])
def test_another_account_is_refused(account: str) -> None:
    outputs, events = press(Plans(ring_plan()), args=("call-1", "p10001", "12", account, "#", ""))
    assert outputs[Variable.DECISION] == Decision.REFUSED
    assert Variable.DOOR_DTMF not in outputs
    assert events.kept[0]["result"] == "refused"


def test_a_stale_permission_without_the_crm_keeps_the_door_shut() -> None:
    crm = Crm()
    outputs, events = press(Plans(ring_plan(), NOW_MS - 300_001), crm)
    assert outputs == unlock.FAILED
    assert crm.asked == [PRESS[:5]]
    assert events.kept[0]["result"] == "failed"


def test_a_stale_permission_is_renewed_by_the_crm() -> None:
    granted = Opening("granted", door=Door(3, "dtmf", "77"))
    outputs, _ = press(Plans(ring_plan(), NOW_MS - 300_001), Crm(granted))
    assert (outputs[Variable.DECISION], outputs[Variable.DOOR_DTMF]) == (Decision.DTMF, "77")


def test_the_crm_can_refuse() -> None:
    outputs, events = press(Plans(ring_plan(), 0), Crm(Opening("refused", "blocked")))
    assert outputs[Variable.DECISION] == Decision.REFUSED
    assert events.kept[0]["reason"] == "blocked"


def test_nobody_knows_the_number_so_the_door_stays_shut() -> None:
    assert press(Plans(None))[0] == unlock.FAILED


def test_a_door_with_http_is_opened_by_the_crm() -> None:
    plan = ring_plan(door={"door_id": 3, "method": "http", "dtmf": None})
    outputs, events = press(Plans(plan), Crm(Opening("opened")))
    assert outputs[Variable.DECISION] == Decision.OPENED
    assert events.kept[0]["result"] == "opened"


@pytest.mark.parametrize(
    ("opening", "result"),
    [
        (Opening("granted", door=Door(3, "dtmf", "77"), access_record_id=17), "sent"),
        (Opening("opened", access_record_id=17), "opened"),
        (Opening("refused", "blocked", access_record_id=17), "refused"),
        (Opening("failed", "relay stuck", access_record_id=17), "failed"),
    ],
)
def test_what_came_of_an_opening_names_the_record_that_the_crm_has_made(opening: Opening, result: str) -> None:
    """Else it is looked for by time, and clocks apart make one opening two records."""
    _, events = press(Plans(ring_plan(), 0), Crm(opening))
    assert [(event["result"], event.get("access_record_id")) for event in events.kept] == [(result, 17)]


class Passing:
    """Time that passes while somebody waits, and only then: for the CRM, which answers when `answers_at_s` has come."""

    def __init__(self) -> None:
        self.now_s, self.answers_at_s = 0.0, 0.0
        self.answers = threading.Event()

    def wait(self, requests: tuple[futures.Future[Any]], longest_s: float) -> DoneAndNotDoneFutures[Any]:
        """As `concurrent.futures.wait`."""
        if self.answers_at_s <= self.now_s + longest_s:
            self.now_s = max(self.now_s, self.answers_at_s)
            self.answers.set()
            return futures.wait(requests, 60)
        self.now_s += longest_s
        return futures.wait(requests, 0)


@pytest.fixture(autouse=True)
def passing(monkeypatch: pytest.MonkeyPatch) -> Passing:
    made = Passing()
    monkeypatch.setattr(unlock, "time", SimpleNamespace(monotonic=lambda: made.now_s))
    monkeypatch.setattr(unlock, "wait", made.wait)
    return made


class LateCrm(Crm):
    """Says what it says after a while."""

    def __init__(self, opening: Opening, passing: Passing, late_s: float) -> None:
        super().__init__(opening)
        self._passing = passing
        passing.answers_at_s += late_s

    def open_door(self, call_id: str, panel: str, dialled: str, account: str, key: str) -> Opening:
        assert self._passing.answers.wait(60)
        return super().open_door(call_id, panel, dialled, account, key)


GRANTED = Opening("granted", door=Door(3, "dtmf", "77"), access_record_id=17)


@pytest.mark.parametrize("door", [{"door_id": 3, "method": "dtmf", "dtmf": "1"}, None])
def test_a_permission_that_comes_later_than_a_tone_still_opens_by_dtmf(
    passing: Passing, door: dict[str, object] | None
) -> None:
    """Nobody opens such a door beside the call: "on its way" was a door that stays shut."""
    outputs, events = press(Plans(ring_plan(door=door), 0), LateCrm(GRANTED, passing, 1.5))
    assert (outputs[Variable.DECISION], outputs[Variable.DOOR_DTMF]) == (Decision.DTMF, "77")
    assert [event["result"] for event in events.kept] == ["sent"]


def test_a_permission_that_comes_too_late_for_dtmf_is_told_as_a_failure_in_time(passing: Passing) -> None:
    """The next key within two seconds must not be answered as if the door had been opened."""
    outputs, events = press(Plans(ring_plan(), 0), LateCrm(GRANTED, passing, 1.9))
    assert passing.now_s < unlock.APPLICATION.deadline_s - 0.5
    assert outputs == unlock.FAILED
    assert not events.kept
    passing.answers.set()
    assert events.arrived.wait(60)
    assert [(event["result"], event["access_record_id"]) for event in events.kept] == [("failed", 17)]


def test_a_plan_that_was_long_in_coming_leaves_less_time_for_a_permission(passing: Passing) -> None:
    class SlowPlans(Plans):
        def find(self, panel: str, dialled: str) -> FoundPlan:
            passing.now_s += 1.5  # Redis away and the CRM slow
            return super().find(panel, dialled)

    outputs, events = press(SlowPlans(ring_plan(), 0), LateCrm(GRANTED, passing, 1.5 + 1.2))
    assert outputs == unlock.FAILED
    assert passing.now_s < unlock.APPLICATION.deadline_s - 0.1
    passing.answers.set()
    assert events.arrived.wait(60)


def test_a_slow_panel_does_not_keep_the_resident_waiting(passing: Passing) -> None:
    plan = ring_plan(door={"door_id": 3, "method": "http", "dtmf": None})
    outputs, events = press(
        Plans(plan), LateCrm(Opening("failed", "relay stuck", access_record_id=17), passing, 2 * TONE_WAIT_S)
    )
    assert passing.now_s == TONE_WAIT_S
    assert outputs[Variable.PROMPT] == Prompt.DOOR_ON_ITS_WAY.value.sound
    assert not events.kept
    passing.answers.set()
    assert events.arrived.wait(60)
    (event,) = events.kept
    assert (event["result"], event["reason"], event["access_record_id"]) == ("failed", "relay stuck", 17)


@pytest.mark.parametrize(
    ("ago_ms", "decision"), [(0, Decision.OPENED), (1_999, Decision.OPENED), (2_000, Decision.DTMF)]
)
def test_a_key_pressed_again_at_once_sends_no_second_command(ago_ms: int, decision: Decision) -> None:
    outputs, events = press(Plans(ring_plan()), args=(*PRESS[:5], str(NOW_MS - ago_ms)))
    assert outputs[Variable.DECISION] == decision
    assert len(events.kept) == (0 if decision is Decision.OPENED else 1)


@given(issued=st.integers(0, 2 * NOW_MS), heartbeat=st.integers(0, 2 * NOW_MS), fresh_s=st.integers(0, 10_000))
def test_a_permission_is_fresh_after_the_later_of_issue_and_heartbeat(
    issued: int, heartbeat: int, fresh_s: int
) -> None:
    plan = ring_plan(issued_at_ms=issued)
    found = FoundPlan(plan, "redis", vouched_at_ms(plan, str(heartbeat).encode()))
    later = max(issued, heartbeat)
    assert found.is_fresh(later, fresh_s)
    assert found.is_fresh(later + fresh_s * 1_000, fresh_s)
    assert not found.is_fresh(later + fresh_s * 1_000 + 1, fresh_s)
    assert not found.is_fresh(later - 60_000, fresh_s)


def test_a_panel_that_is_called_leaves_the_keys_to_the_caller() -> None:
    look = ring_plan(
        caller="resident",
        caller_may_open=True,
        stages=[{"ring_timeout_s": 15, "targets": [{"account": "p9", "kind": "panel", "may_open": False}]}],
    )
    assert ring_all.run(PRESS[:3], services(Plans(look)))[Variable.DECISION] == Decision.LOOK
    assert press(Plans(look), args=("call-1", "p10001", "12", "p10001", "#", ""))[0][Variable.DECISION] == Decision.DTMF
    assert press(Plans(look), args=("call-1", "p10001", "12", "p9", "#", ""))[0][Variable.DECISION] == Decision.REFUSED


@pytest.mark.parametrize(
    ("args", "whose"),
    [
        (PRESS, ("p10001", "12", "h10012a")),
        # Passed on by a desk: the number that rings now, and the same panel.
        (("call-1", "p10001", "13", "h10013", "#", ""), ("p10001", "13", "h10013")),
        # A resident and a desk look through a panel: the caller is none, and has the keys.
        (("call-1", "h10012a", "p10001", "h10012a", "#", ""), ("p10001", "p10001", "h10012a")),
        (("call-1", "c1", "p10001", "c1", "#", ""), ("p10001", "p10001", "c1")),
    ],
)
@pytest.mark.parametrize("known", [True, False])
def test_what_came_of_a_key_tells_panel_and_number(
    args: tuple[str, ...], whose: tuple[str, str, str], *, known: bool
) -> None:
    """Whose opening it was cannot wait for other events of the call: they are recorded long before."""
    _, events = press(Plans(ring_plan() if known else None), args=args)
    assert [(event["panel"], event["dialled"], event["account"]) for event in events.kept] == [whose]
