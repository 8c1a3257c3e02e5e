"""Phones, desks, refusals and blocks in ring plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.delivery import Delivery

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Clock, Town
    from tests.unit.crm.fakes import FakeCache


def rung(plan: dict[str, Any]) -> list[list[str]]:
    return [[target["account"] for target in stage["targets"]] for stage in plan["stages"]]


def phone(town: Town, **more: Any) -> Any:
    """A phone of somebody who lives there: no other is dialled."""
    home = {"apartment_id": town.apartment, "role": "owner"}
    owner = {"company_id": town.company, "name": "Anna", "phones": ["8 (912) 345-67-89"], "apartments": [home]}
    town.platform("POST", "/v1/residents", owner)
    body = {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": "8 (912) 345-67-89", **more}
    return town.platform("POST", "/v1/accounts", body)


def test_phones_ring_last_by_default(town: Town) -> None:
    made = phone(town)
    assert made["phone"] == "+79123456789"
    assert "password" not in made
    plan = town.plan("p1", "12")
    assert rung(plan) == [["h12", "a12"], ["f12"]]
    assert plan["stages"][1]["targets"] == [
        {"account": "f12", "kind": "phone", "may_open": True, "number": "+79123456789"}
    ]
    assert "number" not in plan["stages"][0]["targets"][0]


def test_a_phone_only_household(town: Town) -> None:
    phone(town)
    stages = [{"ring_timeout_s": 40, "targets": [{"kind": "phone"}]}]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    assert rung(town.plan("p1", "12")) == [["f12"]]
    town.platform("PATCH", "/v1/accounts/f12", {"enabled": False})
    assert rung(town.plan("p1", "12")) == []


def test_all_means_whatever_is_reached_over_sip(town: Town) -> None:
    phone(town)
    stages = [{"ring_timeout_s": 40, "targets": [{"kind": "all"}]}]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    assert rung(town.plan("p1", "12")) == [["h12", "a12"]]


@pytest.mark.parametrize(
    "wrong",
    [
        {"kind": "phone", "phone": "none"},
        {"kind": "phone"},
        {"kind": "app", "phone": "+79123456789"},
        {"kind": "phone", "phone": "+7912345678900000"},
    ],
)
def test_a_phone_that_is_none(town: Town, wrong: dict[str, Any]) -> None:
    problem = town.platform("POST", "/v1/accounts", {"apartment_id": town.apartment, **wrong}, 422)
    assert problem["errors"][0]["field"] == "phone"


def test_a_phone_is_no_credential(town: Town, context: Context) -> None:
    phone(town)
    town.platform("POST", "/v1/accounts/f12/rotate-password", expect=409)
    assert context.database.rows("SELECT * FROM kamailio_accounts WHERE account = 'f12'") == []
    town.platform("PATCH", "/v1/accounts/h12", {"phone": "+79123456789"}, 422)
    changed = town.platform("PATCH", "/v1/accounts/f12", {"phone": "+7 912 345 67 80"})
    assert changed["phone"] == "+79123456780"
    same = {"kind": "phone", "apartment_id": town.apartment, "phone": "+79123456780"}
    assert town.platform("POST", "/v1/accounts", same, 409)["errors"][0]["field"] == "phone"


def test_what_a_refusal_means_is_kept_and_told(town: Town) -> None:
    stages = [
        {"ring_timeout_s": 10, "targets": [{"kind": "handset"}], "on_refusal": "stop"},
        {"ring_timeout_s": 10, "targets": [{"kind": "app"}]},
    ]
    kept = town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    assert [stage["on_refusal"] for stage in kept["stages"]] == ["stop", "next"]
    assert [stage["on_refusal"] for stage in town.plan("p1", "12")["stages"]] == ["stop", "next"]


def desk(town: Town, name: str, priority: int, **more: Any) -> int:
    town.platform("POST", "/v1/accounts", {"account": name, "kind": "concierge", "company_id": town.company})
    made = town.platform("POST", "/v1/concierge-desks", {"account": name, "name": name, "priority": priority, **more})
    return int(made["id"])


def test_concierge_desks_ring_by_priority_and_open(town: Town) -> None:
    desk(town, "c-duty", 1)
    desk(town, "c-second", 1)
    desk(town, "c-night", 3)
    desk(town, "c-other", 2, house_id=town.second_house)
    lobby = desk(town, "c-lobby", 2, house_id=town.house)
    stages = [
        {"ring_timeout_s": 10, "targets": [{"kind": "handset"}]},
        {"ring_timeout_s": 20, "targets": [{"kind": "app"}, {"kind": "concierge"}]},
    ]
    town.platform("POST", "/v1/ring-plans", {"company_id": town.company, "stages": stages})
    plan = town.plan("p1", "12")
    assert rung(plan) == [["h12"], ["a12", "c-duty", "c-second"], ["c-lobby"], ["c-night"]]
    assert all(target["may_open"] for stage in plan["stages"] for target in stage["targets"])
    assert [stage["ring_timeout_s"] for stage in plan["stages"]] == [10, 20, 20, 20]
    town.platform("PATCH", f"/v1/concierge-desks/{lobby}", {"on_duty": False})
    town.platform("PATCH", "/v1/accounts/c-night", {"enabled": False})
    assert rung(town.plan("p1", "12")) == [["h12"], ["a12", "c-duty", "c-second"]]


def test_every_change_of_a_desk_reaches_calls(town: Town, context: Context, cache: FakeCache) -> None:
    delivery = Delivery(context, cache)
    pair = ("p1", "12")

    def plan_is_dropped_by(method: str, path: str, body: Any = None) -> Any:
        delivery.deliver()
        cache.tombstones.clear()
        cache.put_if_absent(pair, "plan")
        answer = town.platform(method, path, body)
        delivery.deliver()
        assert pair not in cache.plans, (method, path)
        return answer

    town.platform("POST", "/v1/accounts", {"account": "c1", "kind": "concierge", "company_id": town.company})
    made = plan_is_dropped_by("POST", "/v1/concierge-desks", {"account": "c1", "name": "Lobby"})
    path = f"/v1/concierge-desks/{made['id']}"
    plan_is_dropped_by("PATCH", path, {"house_id": town.house})
    plan_is_dropped_by("PATCH", "/v1/accounts/c1", {"enabled": False})
    plan_is_dropped_by("PATCH", path, {"on_duty": False})
    plan_is_dropped_by("PATCH", path, {"house_id": town.second_house})
    plan_is_dropped_by("PATCH", path, {"house_id": None})
    plan_is_dropped_by("DELETE", path)
    plan_is_dropped_by(
        "POST", "/v1/accounts", {"kind": "phone", "apartment_id": town.apartment, "phone": "+79123456789"}
    )
    ranges = {"house_id": town.house, "first": 1, "last": 2, "entrances": [1]}
    plan_is_dropped_by("POST", "/v1/apartment-ranges", ranges)


def test_a_desk_is_a_concierge_of_the_company(town: Town) -> None:
    for wrong in ("h12", "nobody"):
        problem = town.platform("POST", "/v1/concierge-desks", {"account": wrong, "name": "x"}, 422)
        assert problem["errors"][0]["field"] == "account"
    desk(town, "c1", 1)
    town.platform("POST", "/v1/concierge-desks", {"account": "c1", "name": "again"}, 409)
    town.platform("PATCH", "/v1/concierge-desks/1", {"priority": 10}, 422)


def blocked(town: Town, **stops: bool) -> Any:
    kind = town.platform("POST", "/v1/block-kinds", {"company_id": town.company, "name": str(stops), **stops})
    block = {"apartment_id": town.apartment, "kind_id": kind["id"], "reason": "owes"}
    return town.platform("POST", "/v1/blocks", block)


def test_several_blocks_are_put_on_and_lifted_one_by_one(town: Town, clock: Clock) -> None:
    calls = blocked(town, stops_calls=True)
    blocked(town, stops_opening=True, stops_keys=True)
    assert town.plan("p1", "12")["outcome"] == "blocked"
    lifted = town.platform("POST", f"/v1/blocks/{calls['id']}/lift", {"reason": "paid"})
    assert (lifted["lift_reason"], lifted["reason"]) == ("paid", "owes")
    assert calls["starts_at_ms"] < lifted["lifted_at_ms"] == lifted["ends_at_ms"] <= clock.now
    plan = town.plan("p1", "12")
    assert plan["outcome"] == "ring"
    assert not any(target["may_open"] for target in plan["stages"][0]["targets"])
    town.platform("POST", f"/v1/blocks/{calls['id']}/lift", {"reason": "again"}, 409)
    town.platform("PATCH", f"/v1/blocks/{calls['id']}", {"ends_at_ms": None}, 409)
    assert len(town.platform("GET", f"/v1/blocks?apartment_id={town.apartment}")["items"]) == 2


def test_a_block_that_has_not_begun_is_removed_instead_of_lifted(town: Town, clock: Clock) -> None:
    kind = town.platform("POST", "/v1/block-kinds", {"company_id": town.company, "name": "repair", "stops_calls": True})
    later = {"apartment_id": town.apartment, "kind_id": kind["id"], "reason": "x", "starts_at_ms": clock.now + 10_000}
    path = f"/v1/blocks/{town.platform('POST', '/v1/blocks', later)['id']}"
    town.platform("POST", f"{path}/lift", {"reason": "no"}, 409)
    town.platform("DELETE", path)
    town.platform("POST", f"{path}/lift", {"reason": "no"}, 404)
