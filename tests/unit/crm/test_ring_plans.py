from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_api.domain.numbering import candidate
from crm_api.tables import ring_plan_facts

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town


def accounts(plan: dict[str, Any]) -> list[list[tuple[str, bool]]]:
    return [[(t["account"], t["may_open"]) for t in stage["targets"]] for stage in plan["stages"]]


def test_everybody_rings_at_once_by_default(town: Town) -> None:
    plan = town.plan("p1", "12")
    assert plan["outcome"] == "ring"
    assert accounts(plan) == [[("h12", True), ("a12", True)]]
    assert plan["stages"][0]["ring_timeout_s"] == 25
    assert plan["door"] == {"door_id": 1, "method": "dtmf", "dtmf": "7"}
    assert plan["caller_name"] == "Lenina 1, entrance 1"


def test_the_gate_reaches_both_houses(town: Town) -> None:
    assert town.plan("p2", "2112")["apartment_id"] == town.apartment
    assert town.plan("p2", "2212")["outcome"] == "ring"
    assert town.plan("p2", "2212")["apartment_id"] != town.apartment
    assert town.plan("p2", "2112")["door"]["method"] == "http"


def test_an_unknown_number_and_an_unknown_panel_are_answers(town: Town) -> None:
    assert town.plan("p1", "99")["outcome"] == "unknown_number"
    assert town.plan("nope", "12")["outcome"] == "unknown_number"


def test_emergency_numbers_ring_the_dispatch_centre_and_open_nothing(town: Town) -> None:
    for number in ("112", "101", "102", "103", "104"):
        plan = town.plan("p1", number)
        assert (plan["outcome"], accounts(plan), plan["door"]) == ("emergency", [[("dispatch", False)]], None)


def test_apartment_101_is_an_apartment_where_it_stands_and_112_never_is(town: Town) -> None:
    for number in (101, 112):
        town.platform("POST", "/v1/apartments", {"entrance_id": town.entrance, "number": number})
    assert town.plan("p1", "101")["outcome"] == "ring"
    assert town.plan("p2", "101")["outcome"] == "emergency"
    assert town.plan("p1", "112")["outcome"] == "emergency"
    assert town.plan("p1", "0112")["outcome"] == "ring"


def test_a_disabled_account_does_not_ring(town: Town) -> None:
    town.platform("PATCH", "/v1/accounts/h12", {"enabled": False})
    assert accounts(town.plan("p1", "12")) == [[("a12", True)]]


def test_blocks_stop_what_their_kind_stops_while_they_last(town: Town, clock: Clock) -> None:
    debt = {"company_id": town.company, "name": "debt", "stops_calls": False, "stops_opening": True}
    kind = town.platform("POST", "/v1/block-kinds", debt)["id"]
    block = {"apartment_id": town.apartment, "kind_id": kind, "reason": "owes", "ends_at_ms": clock.now + 60_000}
    town.platform("POST", "/v1/blocks", block)
    assert accounts(town.plan("p1", "12")) == [[("h12", False), ("a12", False)]]
    town.platform("PATCH", f"/v1/block-kinds/{kind}", {"stops_calls": True})
    assert town.plan("p1", "12")["outcome"] == "blocked"
    clock.now += 60_000
    assert accounts(town.plan("p1", "12")) == [[("h12", True), ("a12", True)]]


def test_a_kept_plan_rings_in_stages_and_a_neighbour_may_talk_but_not_open(town: Town) -> None:
    stages = [
        {
            "ring_timeout_s": 10,
            "targets": [{"kind": "handset"}],
            "on_refusal": "next",
            "confirm": False,
            "one_by_one": False,
        },
        {
            "ring_timeout_s": 20,
            "targets": [{"kind": "all"}, {"account": "h13"}],
            "on_refusal": "next",
            "confirm": False,
            "one_by_one": False,
        },
    ]
    plan = town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    assert plan["stages"] == stages
    assert accounts(town.plan("p1", "12")) == [[("h12", True)], [("a12", True), ("h13", False)]]
    assert accounts(town.plan("p1", "13")) == [[("h13", True)]]


def test_the_narrowest_plan_wins(town: Town) -> None:
    def keep(seconds: int, **scope: int) -> int:
        stages = [{"ring_timeout_s": seconds, "targets": [{"kind": "all"}]}]
        return int(town.platform("POST", "/v1/ring-plans", {**scope, "stages": stages})["id"])

    keep(11, company_id=town.company)
    assert town.plan("p1", "12")["stages"][0]["ring_timeout_s"] == 11
    keep(12, house_id=town.house)
    assert town.plan("p1", "12")["stages"][0]["ring_timeout_s"] == 12
    mine = keep(13, apartment_id=town.apartment)
    assert town.plan("p1", "12")["stages"][0]["ring_timeout_s"] == 13
    town.platform("DELETE", f"/v1/ring-plans/{mine}")
    assert town.plan("p1", "12")["stages"][0]["ring_timeout_s"] == 12


def test_panel_and_apartment_by_one_statement_are_those_by_two(town: Town, database: CrmDatabase, clock: Clock) -> None:
    phone = {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": "+79161234567"}
    town.platform("POST", "/v1/accounts", phone)
    town.platform("PATCH", "/v1/accounts/a12", {"quiet_from": "22:00", "quiet_until": "07:00"})
    stages = [{"ring_timeout_s": 20, "targets": [{"kind": kind}]} for kind in ("app", "all")]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    panels = [panel["account"] for panel in town.platform("GET", "/v1/panels")["items"]]
    numbers = [str(n) for n in range(140)] + ["012", "0112", "00012", "99999999"]
    codes = [f"{place}{n}" for place in range(12, 40) for n in (1, 12, 13, 101, 112)]
    read = 0
    for account in (*panels, "nobody"):
        known = ring_plan_facts.known_panel(database, account)
        for dialled in numbers + codes:
            found, home = ring_plan_facts.read_at_once(database, account, dialled, clock.now)
            assert found == known
            meant = None if known is None else candidate(known.places, dialled)
            if known is not None and meant is not None:
                company_id = known.facts.company_id
                by_two = ring_plan_facts.household(database, company_id, meant, clock.now)
                assert ring_plan_facts.household(database, company_id, meant, clock.now, home) == by_two
                assert (home is None) <= (by_two is None), "a second statement is the exception"
                read += by_two is not None
    assert read >= 3
