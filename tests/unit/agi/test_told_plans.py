"""The event that tells which plan a call goes by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import msgspec
import pytest

from agi_apps.applications import passed_on, ring_all
from agi_apps.plan_lookup import FoundPlan
from agi_apps.told_plans import plan_event
from tests.unit.agi.stand_ins import NOW_MS, Events, Plans, ring_plan, services

if TYPE_CHECKING:
    from agi_apps.ring_plan import RingPlan

RING = ("call-1", "p10001", "12")


def told(plan: RingPlan, counted_from: int = 0) -> dict[str, Any]:
    event = plan_event("call-1", FoundPlan(plan, "redis", NOW_MS), NOW_MS, counted_from)
    decoded: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(event))
    return decoded


def target(account: str, **more: Any) -> dict[str, Any]:
    return {"account": account, "kind": "app", "may_open": True, **more}


def test_a_call_tells_who_its_plan_names_and_where_that_is_from() -> None:
    assert told(ring_plan()) == {
        "event": "plan", "call_id": "call-1", "at_ms": NOW_MS, "outcome": "ring", "plan_source": "redis",
        "issued_at_ms": NOW_MS - 1_000, "stage": 0, "ring_limit_s": 120,
        "stages": [
            {"ring_timeout_s": 30, "accounts": ["h10012a", "h10012b"]},
            {"ring_timeout_s": 20, "accounts": ["c1"]},
        ],
    }  # fmt: skip


@pytest.mark.parametrize(("caller", "told_at_once"), [("panel", None), ("resident", 7), ("desk", 7)])
def test_the_apartment_is_told_where_the_number_of_the_call_does_not_tell_it(
    caller: str, told_at_once: int | None
) -> None:
    """Of a call from inside, and of one that a desk has passed on."""
    plan = ring_plan(caller=caller, apartment_id=7)
    assert told(plan).get("apartment_id") == told_at_once
    assert told(plan, 100)["apartment_id"] == 7
    assert "apartment_id" not in told(ring_plan(caller=caller, apartment_id=None), 100)


def test_a_call_to_nobody_tells_why_in_a_word() -> None:
    event = told(ring_plan(outcome="blocked", stages=[]))
    assert (event["outcome"], "stages" in event, "left_out" in event) == ("blocked", False, False)


def test_who_keeps_quiet_and_phones_without_a_trunk_are_told_beside_those_that_the_plan_leaves_out() -> None:
    quiet = [[NOW_MS - 1, NOW_MS + 1]]
    stages = [
        {"ring_timeout_s": 30, "targets": [target("a1", quiet=quiet), target("a2")], "on_refusal": "stop"},
        {"ring_timeout_s": 30, "targets": [target("f1", kind="phone", number="+79001234567")]},
    ]
    event = told(ring_plan(stages=stages, left_out={"disabled": ["a3"]}))
    assert event["left_out"] == {"disabled": ["a3"], "quiet_hours": ["a1"], "no_trunk": ["f1"]}
    assert event["stages"] == [
        {"ring_timeout_s": 30, "accounts": ["a2"], "on_refusal": "stop"},
        {"ring_timeout_s": 30, "accounts": []},
    ]
    trunks = [{"trunk": "carrier-a", "kind": "sip", "caller_number": None}]
    assert told(ring_plan(stages=stages, trunks=trunks))["stages"][1]["accounts"] == ["f1"]


def test_telling_leaves_the_plan_as_it_is() -> None:
    stages = [{"ring_timeout_s": 30, "targets": [target("a1", quiet=[[NOW_MS - 1, NOW_MS + 1]])]}]
    plan = ring_plan(stages=stages, left_out={"quiet_hours": ["a2"]})
    assert told(plan) == told(plan)


def test_the_call_tells_its_plan_at_once_and_that_of_the_number_it_is_passed_on_to() -> None:
    events = Events()
    given = services(Plans(ring_plan()), events=events)
    ring_all.run(RING, given)
    passed_on.run(RING, given)
    first, second = events.kept
    assert (first["event"], first["call_id"], first["stage"], "dialled" in first) == ("plan", "call-1", 0, False)
    assert (second["event"], second["stage"], second["dialled"]) == ("plan", 100, "12")


def test_thirty_accounts_and_ten_left_out_take_less_than_a_kilobyte() -> None:
    stages = [{"ring_timeout_s": 30, "targets": [target(f"a{number:08}") for number in range(30)]}]
    plan = ring_plan(stages=stages, left_out={"too_many": [f"a{number:08}" for number in range(10)]})
    event = plan_event("3f1c9a0e@10.20.30.40", FoundPlan(plan, "redis", NOW_MS), NOW_MS)
    assert len(msgspec.json.encode(event)) < 1_000
