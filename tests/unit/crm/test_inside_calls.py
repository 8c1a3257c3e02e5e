"""Whom residents and desks reach, and what the panel's concierge button does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.delivery import Delivery
from crm_api.tables import dialled_numbers

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Clock, Town
    from tests.unit.crm.fakes import FakeCache


def accounts(plan: dict[str, Any]) -> list[list[tuple[str, bool]]]:
    return [[(t["account"], t["may_open"]) for t in stage["targets"]] for stage in plan["stages"]]


def desk(town: Town, account: str, **more: Any) -> int:
    town.platform("POST", "/v1/accounts", {"account": account, "kind": "concierge", "company_id": town.company})
    return int(town.platform("POST", "/v1/concierge-desks", {"account": account, "name": account, **more})["id"])


@pytest.fixture
def desks(town: Town) -> dict[str, int]:
    return {
        "c1": desk(town, "c1", priority=1, house_id=town.house),
        "c2": desk(town, "c2", priority=2),
        "c3": desk(town, "c3", priority=3, phone="+7 900 123-45-67"),
    }


def allow(town: Town, what: str) -> None:
    town.platform("PATCH", f"/v1/companies/{town.company}", {"neighbour_calls": what})


def test_the_concierge_button_rings_desks_by_priority_and_at_last_the_duty_phone(
    town: Town, desks: dict[str, int]
) -> None:
    plan = town.plan("p1", "0")
    assert plan == town.plan("p1", "concierge") | {"dialled": "0", "issued_at_ms": plan["issued_at_ms"]}
    assert (plan["outcome"], plan["caller"], accounts(plan)) == (
        "ring", "panel", [[("c1", True)], [("c2", True)], [("c3", True)]],
    )  # fmt: skip
    assert plan["door"]["dtmf"] == "7"
    assert plan["stages"][2]["targets"][0] | {} == {
        "account": "c3", "kind": "phone", "may_open": True, "number": "+79001234567",
    }  # fmt: skip
    town.platform("PATCH", f"/v1/concierge-desks/{desks['c1']}", {"on_duty": False})
    assert accounts(town.plan("p1", "0")) == [[("c2", True)], [("c3", True)]]


def woken(plan: dict[str, Any]) -> list[str]:
    return [target["account"] for stage in plan["stages"] for target in stage["targets"] if target.get("wakes")]


def test_a_desk_with_a_device_that_sleeps_is_woken_wherever_it_rings_but_on_a_phone(
    town: Town, desks: dict[str, int]
) -> None:
    stages = [{"ring_timeout_s": 9, "targets": [{"kind": "concierge"}]}]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    assert [woken(town.plan("p1", number)) for number in ("0", "12")] == [[], []]
    for account in desks:
        device = {"account": account, "device": "tablet", "platform": "fcm", "token": f"token-of-{account}-{'x' * 20}"}
        town.platform("POST", "/v1/push-tokens", device)
    assert [woken(town.plan("p1", number)) for number in ("0", "12")] == [["c1", "c2"]] * 2


def test_a_gate_rings_the_desks_of_all_its_houses(town: Town, desks: dict[str, int]) -> None:
    del desks
    desk(town, "c4", priority=1, house_id=town.second_house)
    assert accounts(town.plan("p2", "0"))[0] == [("c1", True), ("c4", True)]
    assert accounts(town.plan("p1", "0"))[0] == [("c1", True)]


def test_a_desk_that_goes_off_duty_drops_the_plans_of_the_button(
    town: Town, desks: dict[str, int], services: Services
) -> None:
    database = services.planning._context.database
    pairs = set(dialled_numbers.of_scope(database, "company", town.company))
    assert {("p1", "0"), ("p2", "concierge")} <= pairs
    before = database.row("SELECT max(id) FROM outbox")
    town.platform("PATCH", f"/v1/concierge-desks/{desks['c2']}", {"on_duty": False})
    assert before is not None
    told = database.rows("SELECT scope, payload FROM outbox WHERE id > ?", before)
    assert ("company", str(town.company)) in told


def test_a_resident_reaches_the_desks_and_opens_nothing_there(town: Town, desks: dict[str, int]) -> None:
    del desks
    plan = town.plan("a12", "concierge")
    assert (plan["caller"], plan["caller_name"], plan["door"]) == ("resident", "Lenina 1, 12", None)
    assert accounts(plan) == [[("c1", False)], [("c2", False)], [("c3", False)]]


def test_neighbours_are_reached_where_the_company_allows_it(town: Town) -> None:
    assert town.plan("a12", "13")["outcome"] == "forbidden"
    allow(town, "house")
    plan = town.plan("a12", "13")
    assert (plan["outcome"], accounts(plan), plan["door"]) == ("ring", [[("h13", False)]], None)
    assert plan["apartment_id"] == town.neighbour
    assert town.plan("a12", "2212")["outcome"] == "unknown_number"
    allow(town, "estate")
    assert town.plan("a12", "2212")["outcome"] == "ring"
    assert town.plan("a12", "99")["outcome"] == "unknown_number"


def test_a_neighbour_is_never_put_through_to_a_phone(town: Town) -> None:
    allow(town, "house")
    home = {"apartment_id": town.neighbour, "role": "owner"}
    owner = {"company_id": town.company, "name": "Oleg", "phones": ["+79001234567"], "apartments": [home]}
    town.platform("POST", "/v1/residents", owner)
    phone = {"account": "f13", "kind": "phone", "apartment_id": town.neighbour, "phone": "+79001234567"}
    town.platform("POST", "/v1/accounts", phone)
    assert accounts(town.plan("p1", "13")) == [[("h13", True)], [("f13", True)]]
    assert accounts(town.plan("a12", "13")) == [[("h13", False)]]
    stages = [{"ring_timeout_s": 20, "targets": [{"account": "f13"}, {"kind": "phone"}]}]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.neighbour, "stages": stages})
    assert accounts(town.plan("a12", "13")) == []


def test_a_desk_that_reaches_a_phone_is_connected_when_its_key_is_pressed(town: Town, desks: dict[str, int]) -> None:
    """As a visitor is: an answering machine answers, too."""
    assert desks
    home = {"apartment_id": town.neighbour, "role": "owner"}
    owner = {"company_id": town.company, "name": "Oleg", "phones": ["+79001234567"], "apartments": [home]}
    town.platform("POST", "/v1/residents", owner)
    phone = {"account": "f13", "kind": "phone", "apartment_id": town.neighbour, "phone": "+79001234567"}
    town.platform("POST", "/v1/accounts", phone)
    stages = [
        {"ring_timeout_s": 20, "targets": [{"account": "h13"}], "on_refusal": "stop"},
        {"ring_timeout_s": 25, "targets": [{"account": "f13"}], "confirm": True},
    ]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.neighbour, "stages": stages})

    def how(plan: dict[str, Any]) -> list[tuple[Any, ...]]:
        return [(s["ring_timeout_s"], s["on_refusal"], s["confirm"]) for s in plan["stages"]]

    assert how(town.plan("p1", "13")) == how(town.plan("c1", "13")) == [(20, "stop", False), (25, "next", True)]


def test_ones_own_other_phones_are_reached_but_not_the_one_that_calls(town: Town) -> None:
    allow(town, "house")
    assert accounts(town.plan("a12", "12")) == [[("h12", False)]]


def test_a_blocked_neighbour_is_not_reached(town: Town) -> None:
    allow(town, "house")
    kind = {"company_id": town.company, "name": "repair", "stops_calls": True}
    kind_id = town.platform("POST", "/v1/block-kinds", kind)["id"]
    town.platform("POST", "/v1/blocks", {"apartment_id": town.neighbour, "kind_id": kind_id, "reason": "repair"})
    assert town.plan("a12", "13")["outcome"] == "blocked"


def test_a_resident_looks_through_his_own_panels_and_opens_there(town: Town) -> None:
    plan = town.plan("a12", "p1")
    assert (plan["outcome"], plan["caller"], plan["caller_may_open"]) == ("ring", "resident", True)
    assert plan["stages"][0]["targets"] == [{"account": "p1", "kind": "panel", "may_open": False}]
    assert (plan["talk_limit_s"], plan["door"]["dtmf"]) == (60, "7")
    assert town.plan("a12", "p2")["outcome"] == "ring"
    town.platform("PATCH", f"/v1/companies/{town.company}", {"look_limit_s": 20})
    assert town.plan("a12", "p1")["talk_limit_s"] == 20

    def opens(account: str, panel: str) -> str:
        wish = {"call_id": "c@1", "panel": account, "dialled": panel, "account": account, "key": "#"}
        return str(town.service("POST", "/v1/door-openings", wish)["result"])

    assert opens("a12", "p1") == "granted"


def test_a_panel_of_another_door_is_none_of_his(town: Town) -> None:
    entrance = town.platform("POST", "/v1/entrances", {"house_id": town.house, "number": 2})["id"]
    town.platform("POST", "/v1/accounts", {"account": "p3", "kind": "panel", "company_id": town.company})
    places = [{"entrance_id": entrance}]
    town.platform("POST", "/v1/panels", {"account": "p3", "name": "Entrance 2", "places": places})
    assert town.plan("a12", "p3")["outcome"] == "unknown_number"


def test_a_debtor_may_look_but_not_open(town: Town) -> None:
    kind = {"company_id": town.company, "name": "debt", "stops_opening": True}
    kind_id = town.platform("POST", "/v1/block-kinds", kind)["id"]
    town.platform("POST", "/v1/blocks", {"apartment_id": town.apartment, "kind_id": kind_id, "reason": "owes"})
    assert town.plan("a12", "p1")["caller_may_open"] is False
    wish = {"call_id": "c@1", "panel": "a12", "dialled": "p1", "account": "a12", "key": "#"}
    assert town.service("POST", "/v1/door-openings", wish)["result"] == "refused"


def test_a_desk_reaches_apartments_and_panels_of_its_house_or_company(town: Town, desks: dict[str, int]) -> None:
    del desks
    assert accounts(town.plan("c1", "12")) == [[("h12", False), ("a12", False)]]
    assert town.plan("c1", "2212")["outcome"] == "ring"
    assert town.plan("c2", "2112")["apartment_id"] == town.apartment
    assert town.plan("c2", "12")["outcome"] == "unknown_number", "two houses: which 12?"
    for who in ("c1", "c2"):
        look = town.plan(who, "p1")
        assert (look["caller"], look["caller_may_open"], look["caller_name"]) == ("desk", True, who)
    desk(town, "c9", house_id=town.second_house)
    assert town.plan("c9", "p1")["outcome"] == "unknown_number"
    assert accounts(town.plan("c2", "0")) == [[("c3", False)]], "not itself"


def test_a_guest_whose_time_is_over_calls_nobody(town: Town, clock: Clock) -> None:
    home = {"apartment_id": town.apartment, "role": "guest", "ends_at_ms": clock.now + 60_000}
    guest = {"company_id": town.company, "name": "Guest", "apartments": [home]}
    resident = town.platform("POST", "/v1/residents", guest)["id"]
    body = {"account": "a12g", "kind": "app", "apartment_id": town.apartment, "resident_id": resident}
    town.platform("POST", "/v1/accounts", body)
    assert town.plan("a12g", "p1")["outcome"] == "ring"
    clock.now += 60_000
    assert town.plan("a12g", "p1")["outcome"] == "forbidden"


def test_limits_of_a_panel_go_before_those_of_its_company(town: Town) -> None:
    assert (town.plan("p1", "12")["talk_limit_s"], town.plan("p1", "12")["ring_limit_s"]) == (60, 120)
    town.platform("PATCH", "/v1/panels/1", {"talk_limit_s": 90, "ring_limit_s": 45})
    assert (town.plan("p1", "12")["talk_limit_s"], town.plan("p1", "12")["ring_limit_s"]) == (90, 45)
    assert town.plan("p2", "2112")["talk_limit_s"] == 60


def test_a_gate_gets_a_separator_and_its_numbers_change(town: Town, services: Services) -> None:
    town.platform("PATCH", "/v1/panels/2", {"separator": "*"})
    assert town.plan("p2", "21*12")["apartment_id"] == town.apartment
    assert town.plan("p2", "2112")["outcome"] == "unknown_number"
    dial = town.platform("GET", f"/v1/apartments/{town.apartment}")["dial"]
    assert dial == {"p1": "12", "p2": "21*12"}
    places = [{"house_id": town.house, "code": "1"}, {"house_id": town.second_house, "code": "7"}]
    town.platform("PATCH", "/v1/panels/2", {"places": places})
    assert town.plan("p2", "1*12")["apartment_id"] == town.apartment
    allow(town, "estate")
    assert town.plan("a12", "7*12")["outcome"] == "ring"
    town.platform("PATCH", "/v1/panels/2", {"separator": None}, expect=422)
    pairs = set(dialled_numbers.of_scope(services.planning._context.database, "panel", 2))
    assert ("p2", "7*12") in pairs


def test_a_desk_of_a_kept_plan_opens_at_its_table_and_on_its_phone_and_a_trunk_does_not(
    town: Town, desks: dict[str, int]
) -> None:
    del desks
    trunk = {"account": "t9", "kind": "trunk", "company_id": town.company}
    town.platform("POST", "/v1/accounts", trunk)
    stages = [{"ring_timeout_s": 20, "targets": [{"account": "t9"}, {"kind": "concierge"}]}]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    assert accounts(town.plan("p1", "12")) == [[("t9", False), ("c1", True)], [("c2", True)], [("c3", True)]]


@pytest.mark.parametrize("meanwhile", ["removed", "moved", "never"])
@pytest.mark.parametrize("scope", ["apartment", "house", "company"])
def test_an_account_that_a_plan_names_opens_only_while_its_desk_answers_there(
    town: Town, context: Context, cache: FakeCache, meanwhile: str, scope: str
) -> None:
    """It rings all the same: the plan says so. A plan that is in the cache is dropped when the desk goes."""
    town.platform("POST", "/v1/accounts", {"account": "c9", "kind": "concierge", "company_id": town.company})
    stages = [{"ring_timeout_s": 20, "targets": [{"account": "c9"}]}]
    of = {"apartment": town.apartment, "house": town.house, "company": town.company}[scope]
    town.platform("POST", "/v1/ring-plans", {f"{scope}_id": of, "stages": stages})
    if meanwhile != "never":
        body = {"account": "c9", "name": "c9", "house_id": town.house, "on_duty": False}
        made = town.platform("POST", "/v1/concierge-desks", body)["id"]
        assert accounts(town.plan("p1", "12")) == [[("c9", True)]], "off duty it rings where it is named, and opens"
        delivery = Delivery(context, cache)
        delivery.deliver()
        cache.plans["p1", "12"] = "with its desk"
        if meanwhile == "removed":
            town.platform("DELETE", f"/v1/concierge-desks/{made}")
        else:
            town.platform("PATCH", f"/v1/concierge-desks/{made}", {"house_id": town.second_house})
        delivery.deliver()
        assert ("p1", "12") not in cache.plans
    assert accounts(town.plan("p1", "12")) == [[("c9", False)]]
    wish = {"call_id": "c@1", "panel": "p1", "dialled": "12", "account": "c9", "key": "#"}
    answer = town.service("POST", "/v1/door-openings", wish)
    assert (answer["result"], answer["reason"]) == ("refused", "account c9 may talk but not open here")


def test_a_desk_of_the_whole_company_opens_wherever_a_plan_names_it(town: Town, desks: dict[str, int]) -> None:
    del desks
    stages = [{"ring_timeout_s": 20, "targets": [{"account": "c2"}, {"account": "c1"}]}]
    town.platform("POST", "/v1/ring-plans", {"company_id": town.company, "stages": stages})
    assert accounts(town.plan("p1", "12")) == [[("c2", True), ("c1", True)]]
    assert accounts(town.plan("p2", "2212")) == [[("c2", True), ("c1", False)]], "c1 answers for the other house"


@pytest.mark.parametrize("lost", ["desk", "house", "never"])
def test_an_account_without_a_desk_reaches_other_desks_and_nothing_else(
    town: Town, desks: dict[str, int], lost: str
) -> None:
    """Also where its house was all that it answered for: it does not answer for the whole company from then on."""
    house = town.platform("POST", "/v1/houses", {"company_id": town.company, "address": "Mira 3"})["id"]
    if lost == "never":
        town.platform("POST", "/v1/accounts", {"account": "c9", "kind": "concierge", "company_id": town.company})
    else:
        desk_id = desk(town, "c9", house_id=house)
        town.platform("DELETE", f"/v1/concierge-desks/{desk_id}" if lost == "desk" else f"/v1/houses/{house}")
    # `2112` is an apartment at the gate, `p2` the gate, which opens by HTTP; both of another house.
    assert [town.plan("c9", dialled)["outcome"] for dialled in ("p1", "p2", "12", "2112", "99")] == ["forbidden"] * 5
    for panel in ("p1", "p2"):
        wish = {"call_id": "c@1", "panel": "c9", "dialled": panel, "account": "c9", "key": "#"}
        assert town.service("POST", "/v1/door-openings", wish)["result"] == "refused"
    assert accounts(town.plan("c9", "0")) == [[("c2", False)], [("c3", False)]]
    assert desks.keys() == {"c1", "c2", "c3"}
    assert town.plan("c2", "p1")["caller_may_open"], "a desk of the whole company is one as ever"
