"""Whom a ring plan leaves out, and why; the plan that a call told in its story."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.call_recording import CallRecording
from tests.unit.crm.test_call_records import T, entry, story
from tests.unit.crm.test_inside_calls import allow, desk

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Clock, Town


def names(plan: dict[str, Any]) -> list[list[str]]:
    return [[target["account"] for target in stage["targets"]] for stage in plan["stages"]]


def apps(town: Town, count: int) -> list[str]:
    made = [f"app{number:03}" for number in range(count)]
    for name in made:
        town.platform("POST", "/v1/accounts", {"account": name, "kind": "app", "apartment_id": town.apartment})
    return made


def keep(town: Town, *kinds: str, **more: Any) -> None:
    stages = [{"ring_timeout_s": 20, "targets": [{"kind": kind}], **more} for kind in kinds]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})


def with_phone(town: Town, number: str = "+79161234567", *, is_residents: bool = True) -> None:
    body = {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": number}
    town.platform("POST", "/v1/accounts", body)
    home = {"apartment_id": town.apartment, "role": "owner"}
    phones = [number] if is_residents else []
    resident = {"company_id": town.company, "name": "Anna", "phones": phones, "apartments": [home]}
    town.platform("POST", "/v1/residents", resident)


def test_a_plan_that_rings_everybody_leaves_nobody_out(town: Town) -> None:
    assert town.plan("p1", "12")["left_out"] == {}
    assert town.plan("p1", "99")["left_out"] == {}


def test_an_account_that_is_switched_off_is_named_as_such(town: Town) -> None:
    town.platform("PATCH", "/v1/accounts/a12", {"enabled": False})
    assert town.plan("p1", "12")["left_out"] == {"disabled": ["a12"]}


def test_a_guest_whose_time_is_over_is_not_said_to_be_switched_off(town: Town, clock: Clock) -> None:
    home = {"apartment_id": town.apartment, "role": "guest", "ends_at_ms": clock.now + 60_000}
    guest = {"company_id": town.company, "name": "Guest", "apartments": [home]}
    resident_id = town.platform("POST", "/v1/residents", guest)["id"]
    account = {"account": "guest", "kind": "app", "apartment_id": town.apartment, "resident_id": resident_id}
    town.platform("POST", "/v1/accounts", account)
    assert town.plan("p1", "12")["left_out"] == {}
    clock.now += 60_000
    assert town.plan("p1", "12")["left_out"] == {"residency_over": ["guest"]}


def test_without_a_plan_the_thirty_first_rings_with_the_phones(town: Town) -> None:
    """It never rang, and nobody said so."""
    with_phone(town)
    made = apps(town, 57)
    plan = town.plan("p1", "12")
    assert names(plan) == [["h12", "a12", *made[:28]], ["f12", *made[28:]]]
    assert plan["left_out"] == {}


def test_without_a_plan_sixty_ring_and_the_others_are_named(town: Town) -> None:
    made = apps(town, 60)
    plan = town.plan("p1", "12")
    assert [len(stage) for stage in names(plan)] == [30, 30]
    assert plan["left_out"] == {"too_many": made[58:]}


def test_whom_a_full_stage_of_a_kept_plan_leaves_out_is_named(town: Town) -> None:
    made = apps(town, 30)
    keep(town, "all")
    plan = town.plan("p1", "12")
    assert names(plan) == [["h12", "a12", *made[:28]]]
    assert plan["left_out"] == {"too_many": made[28:]}


def test_whom_a_full_stage_leaves_out_and_a_later_one_rings_is_not_left_out(town: Town) -> None:
    made = apps(town, 30)
    keep(town, "all", "app")
    plan = town.plan("p1", "12")
    assert names(plan)[1] == made[28:]
    assert plan["left_out"] == {}


def test_whom_the_kept_plan_does_not_name_is_told(town: Town) -> None:
    keep(town, "handset")
    assert town.plan("p1", "12")["left_out"] == {"not_named": ["a12"]}


@pytest.mark.parametrize(
    ("rules", "is_residents", "why"),
    [
        ({"phone_countries": "KZ"}, True, "country_not_allowed"),
        ({"phone_minutes": 0}, True, "minutes_used_up"),
        ({"apartment_phone_minutes": 0}, True, "minutes_used_up"),
        ({}, False, "not_a_residents_number"),
    ],
)
def test_a_phone_that_may_not_be_dialled_is_left_out_for_what_forbids_it(
    town: Town, rules: dict[str, Any], why: str, *, is_residents: bool
) -> None:
    with_phone(town, is_residents=is_residents)
    town.platform("PATCH", f"/v1/companies/{town.company}", rules)
    plan = town.plan("p1", "12")
    assert names(plan) == [["h12", "a12"]]
    assert plan["left_out"] == {why: ["f12"]}


def test_a_neighbour_leaves_the_phones_out_and_not_himself(town: Town) -> None:
    with_phone(town)
    allow(town, "house")
    assert town.plan("h13", "12")["left_out"] == {"not_for_neighbours": ["f12"]}
    assert town.plan("a12", "12")["left_out"] == {"not_for_neighbours": ["f12"]}


def test_a_desk_that_is_not_on_duty_is_named(town: Town) -> None:
    desk(town, "c1", priority=1)
    off = desk(town, "c2", priority=1)
    assert town.plan("p1", "0")["left_out"] == {}
    town.platform("PATCH", f"/v1/concierge-desks/{off}", {"on_duty": False})
    plan = town.plan("p1", "0")
    assert (names(plan), plan["left_out"]) == ([["c1"]], {"off_duty": ["c2"]})
    town.platform("PATCH", "/v1/accounts/c1", {"enabled": False})
    plan = town.plan("p1", "0")
    assert (names(plan), plan["left_out"]) == ([], {"disabled": ["c1"], "off_duty": ["c2"]})
    keep(town, "handset", "concierge")
    assert town.plan("p1", "12")["left_out"] == {"not_named": ["a12"], "disabled": ["c1"], "off_duty": ["c2"]}


def test_of_thirty_one_desks_thirty_ring_and_the_last_is_named(town: Town) -> None:
    """The call side took such a plan for broken, and nobody rang."""
    desks = [f"c{number:02}" for number in range(31)]
    for name in desks:
        desk(town, name, priority=1)
    plan = town.plan("p1", "0")
    assert (names(plan), plan["left_out"]) == ([desks[:30]], {"too_many": desks[30:]})


def plan_of(call: str, **more: Any) -> dict[str, Any]:
    return {
        "event": "plan", "call_id": call, "at_ms": T + 5, "outcome": "ring", "plan_source": "last_known",
        "issued_at_ms": T - 9000, "stage": 0, "ring_limit_s": 120,
        "stages": [{"ring_timeout_s": 30, "accounts": ["h12", "a12"]}], "left_out": {"too_many": ["x13"]}, **more,
    }  # fmt: skip


@pytest.mark.parametrize("first", [0, -1])
def test_the_story_of_a_call_has_its_plan_and_the_record_is_as_without(
    town: Town, context: Context, first: int
) -> None:
    passed_on = plan_of("c1", stage=100, dialled="13", at_ms=T + 6)
    events = story("c1")
    events[first:first] = [passed_on, plan_of("c1")]
    CallRecording(context).record([entry(1, events)])
    shown = town.platform("GET", "/v1/calls/c1")
    assert (shown["panel"], shown["dialled"], shown["plan_source"]) == ("p1", "12", "redis")
    told = {name: value for name, value in plan_of("c1").items() if name != "call_id"}
    assert shown["story"][1] == told
    assert [line["event"] for line in shown["story"]][:4] == ["dialled", "plan", "plan", "branch"]


def test_why_is_answered_by_the_plan_of_the_call_whatever_the_account_is_now(town: Town, context: Context) -> None:
    second = [{"ring_timeout_s": 30, "accounts": ["a12"]}, {"ring_timeout_s": 30, "accounts": ["h12"]}]
    answered = [event for event in story("c1") if event.get("account") != "h12"]
    CallRecording(context).record([entry(1, [*answered, plan_of("c1", stages=second)])])
    town.platform("PATCH", "/v1/accounts/h12", {"enabled": False})
    told = town.platform("GET", "/v1/calls/c1/why/h12")
    assert (told["rang"], told["sentence"]) == (
        False, "h12 was not called: its turn, stage 2, did not come, as a12 answered in stage 1.",
    )  # fmt: skip
    apps(town, 1)
    told = town.platform("GET", "/v1/calls/c1/why/app000")
    assert told["sentence"] == "app000 was not called: it was made after this call."


def test_an_event_that_a_newer_release_tells_spoils_no_other_of_its_entry(town: Town, context: Context) -> None:
    events = [*story("c1"), {"event": "omen", "call_id": "c1", "at_ms": T}, plan_of("c1", omens=["a crow"])]
    CallRecording(context).record([entry(1, events)])
    shown = town.platform("GET", "/v1/calls/c1")
    assert shown["result"] == "answered"
    assert "plan" in [line["event"] for line in shown["story"]]
