from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.phones import e164
from crm_api.services.delivery import Delivery

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town
    from tests.unit.crm.fakes import FakeCache


def resident(town: Town, **more: Any) -> Any:
    body = {"name": "Anna", "apartments": [{"apartment_id": town.apartment, "role": "owner"}], **more}
    return town.platform("POST", "/v1/residents", body)


def rings(town: Town) -> list[str]:
    plan = town.plan("p1", "12")
    return [t["account"] for stage in plan["stages"] for t in stage["targets"]]


@pytest.mark.parametrize(
    ("written", "kept"),
    [
        ("+7 (912) 345-67-89", "+79123456789"),
        ("8 912 345-67-89", "+79123456789"),
        ("9123456789", "+79123456789"),
        (" +7\u00a0912\u00a0345\u201367\u201389 ", "+79123456789"),
        ("tel:+49 30 901820", "+4930901820"),
    ],
)
def test_a_phone_is_kept_in_e164_however_it_is_written(written: str, kept: str) -> None:
    assert e164(written) == kept
    assert e164(kept) == kept


@pytest.mark.parametrize(
    ("wrong", "remedy"),
    [
        ("", "digits"),
        ("call me", "digits"),
        ("+1-800-FLOWERS", "digits"),
        ("+7 912 345-67-89 ext. 5", "digits"),
        ("+7 912 345-67-89, +7 912 345-67-80", "digits"),
        ("\uff17\uff19\uff11\uff12", "digits"),
        ("0" * 33, "digits"),
        ("+999 123 456", "country"),
        ("+7 912 345-67-8", "check its digits"),
        ("112", "check its digits"),
        ("+", "digits"),
        ("1", "whole"),
    ],
)
def test_what_is_no_phone_is_refused_with_what_would_be_one(wrong: str, remedy: str) -> None:
    with pytest.raises(ValueError, match=remedy):
        e164(wrong)


def test_a_resident_has_phones_in_their_order_and_several_apartments(town: Town) -> None:
    homes = [
        {"apartment_id": town.apartment, "role": "owner"},
        {"apartment_id": town.neighbour, "role": "tenant"},
    ]
    made = resident(town, phones=["8 912 345-67-89", "+7 495 123-45-67"], apartments=homes)
    assert made["phones"] == ["+79123456789", "+74951234567"]
    assert made["company_id"] == town.company
    path = f"/v1/residents/{made['id']}"
    assert town.platform("GET", path) == made
    changed = town.platform("PATCH", path, {"phones": ["+74951234567", "+79123456789"], "apartments": homes[:1]})
    assert changed["phones"] == ["+74951234567", "+79123456789"]
    assert [home["apartment_id"] for home in changed["apartments"]] == [town.apartment]
    assert changed["version"] == made["version"] + 1


def test_residents_are_found_by_phone_in_any_notation_by_apartment_and_name(town: Town) -> None:
    anna = resident(town, phones=["+79123456789"])["id"]
    boris = resident(town, name="Boris", apartments=[{"apartment_id": town.neighbour, "role": "tenant"}])["id"]

    def found(query: str) -> list[int]:
        return [r["id"] for r in town.platform("GET", f"/v1/residents?{query}")["items"]]

    assert found("phone=8(912)345-67-89") == [anna]
    assert found("phone=%2B79123456780") == []
    assert found(f"apartment_id={town.neighbour}") == [boris]
    assert found("name=Boris") == [boris]
    assert found(f"company_id={town.company}") == [anna, boris]
    problem = town.platform("GET", "/v1/residents?phone=hello", expect=422)
    assert problem["errors"][0]["field"] == "phone"


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"phones": ["hello", "+79123456789", "112"]}, {"phones.0", "phones.2"}),
        ({"phones": ["+79123456789", "8 912 345-67-89"]}, {"phones"}),
        ({"phones": "+79123456789"}, {"phones"}),
        ({"phones": [79123456789]}, {"phones.0"}),
        ({"phones": [f"+791234567{n:02}" for n in range(11)]}, {"phones"}),
        ({"name": "x" * 201, "note": "y" * 1001, "colour": "red"}, {"name", "note", "colour"}),
        ({"apartments": [{"apartment_id": 1, "role": "guest"}]}, {"apartments.0"}),
        ({"apartments": [{"apartment_id": 1, "role": "owner", "ends_at_ms": 5}]}, {"apartments.0"}),
        ({"apartments": [{"apartment_id": 1, "role": "king"}]}, {"apartments.0.role"}),
        ({"apartments": [{"apartment_id": 1, "role": "owner"}] * 2}, {"apartments"}),
        ({"apartments": [{"apartment_id": 999, "role": "owner"}]}, {"apartments.0.apartment_id"}),
    ],
)
def test_what_is_wrong_with_a_resident_is_named_and_nothing_is_kept(
    town: Town, database: CrmDatabase, body: Any, fields: set[str]
) -> None:
    before = database.rows("SELECT count(*) FROM audit_log")
    problem = town.platform("POST", "/v1/residents", {"company_id": town.company, "name": "Anna"} | body, 422)
    assert {error["field"] for error in problem["errors"]} == fields
    assert all(error["remedy"] for error in problem["errors"])
    assert database.rows("SELECT * FROM residents") == []
    assert database.rows("SELECT count(*) FROM audit_log") == before


def test_an_account_of_a_guest_rings_and_opens_until_his_end(town: Town, clock: Clock, database: CrmDatabase) -> None:
    end = clock.now + 3_600_000
    guest = resident(town, apartments=[{"apartment_id": town.apartment, "role": "guest", "ends_at_ms": end}])["id"]
    body = {"account": "guest", "kind": "app", "apartment_id": town.apartment, "resident_id": guest}
    town.platform("POST", "/v1/accounts", body)
    stages = [{"ring_timeout_s": 9, "targets": [{"account": "guest"}, {"account": "h12"}]}]
    assert rings(town) == ["h12", "a12", "guest"]
    ends = "SELECT due_at_ms FROM outbox WHERE scope = 'apartments' AND payload = ?", (f"[{town.apartment}]",)
    due = {at_ms for (at_ms,) in database.rows(*ends)}
    assert end in due, "plans in Redis are dropped when his time is over"
    clock.now = end
    assert rings(town) == ["h12", "a12"]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    assert rings(town) == ["h12"], "nor by name"
    wish = {"call_id": "c", "panel": "p1", "dialled": "12", "account": "guest", "key": "#"}
    assert town.service("POST", "/v1/door-openings", wish)["result"] == "refused"
    later = {"apartment_id": town.apartment, "role": "guest", "ends_at_ms": clock.now + 1000}
    town.platform("PATCH", f"/v1/residents/{guest}", {"apartments": [later]})
    assert rings(town) == ["guest", "h12"]
    due = {at_ms for (at_ms,) in database.rows(*ends)}
    assert later["ends_at_ms"] in due


def test_who_moves_out_takes_his_rights_along(town: Town) -> None:
    anna = resident(town)["id"]
    town.platform("PATCH", "/v1/accounts/a12", {"resident_id": anna})
    assert rings(town) == ["h12", "a12"]
    town.platform("PATCH", f"/v1/residents/{anna}", {"apartments": []})
    assert rings(town) == ["h12"]


def test_a_removed_resident_takes_his_accounts_along(town: Town, database: CrmDatabase) -> None:
    anna = resident(town)["id"]
    town.platform("PATCH", "/v1/accounts/a12", {"resident_id": anna})
    town.platform("DELETE", f"/v1/residents/{anna}")
    assert rings(town) == ["h12"]
    assert database.rows("SELECT account FROM kamailio_changes ORDER BY id DESC LIMIT 1") == [("a12",)]
    town.platform("GET", "/v1/accounts/a12", expect=404)


def test_an_account_belongs_to_nobody_who_lives_elsewhere(town: Town) -> None:
    boris = resident(town, apartments=[{"apartment_id": town.neighbour, "role": "owner"}])["id"]
    town.platform("PATCH", "/v1/accounts/a12", {"resident_id": boris}, 422)
    town.platform("PATCH", "/v1/accounts/p1", {"resident_id": boris}, 422)
    body = {"kind": "app", "apartment_id": town.apartment, "resident_id": boris}
    assert town.platform("POST", "/v1/accounts", body, 422)["errors"][0]["field"] == "resident_id"


def test_the_homes_of_a_resident_are_of_one_company(town: Town) -> None:
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    body = {"company_id": other, "name": "Anna", "apartments": [{"apartment_id": town.apartment, "role": "owner"}]}
    assert town.platform("POST", "/v1/residents", body, 422)["errors"][0]["field"] == "apartments.0.apartment_id"
    town.platform("POST", "/v1/residents", {"name": "Anna"}, 422)


PHONE = "+79123456789"


def phone_of(town: Town, **home: Any) -> int:
    """Anna lives in the apartment, whose telephone is hers; return her id."""
    there = {"apartment_id": town.apartment, "role": "owner", **home}
    anna = resident(town, phones=[PHONE], apartments=[there])["id"]
    town.platform(
        "POST", "/v1/accounts", {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": PHONE}
    )
    return int(anna)


@pytest.mark.parametrize(
    ("method", "change"), [("PATCH", {"phones": []}), ("PATCH", {"apartments": []}), ("DELETE", None)]
)
def test_a_phone_that_is_a_residents_no_more_is_dropped_from_plans_that_are_kept(
    town: Town, context: Context, cache: FakeCache, method: str, change: Any
) -> None:
    anna = phone_of(town)
    delivery = Delivery(context, cache)
    delivery.deliver()
    assert "f12" in rings(town)
    cache.plans[("p1", "12")] = "rings Anna's telephone"
    town.platform(method, f"/v1/residents/{anna}", change)
    delivery.deliver()
    assert "f12" not in rings(town)
    assert cache.plans == {}


def test_a_new_residents_phone_rings_at_once(town: Town, context: Context, cache: FakeCache) -> None:
    town.platform(
        "POST", "/v1/accounts", {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": PHONE}
    )
    delivery = Delivery(context, cache)
    delivery.deliver()
    cache.plans[("p1", "12")] = "rings no telephone"
    resident(town, phones=[PHONE])
    delivery.deliver()
    assert "f12" in rings(town)
    assert cache.plans == {}


def test_a_guests_phone_leaves_kept_plans_when_his_time_is_over(
    town: Town, context: Context, cache: FakeCache, clock: Clock
) -> None:
    phone_of(town, role="guest", ends_at_ms=clock.now + 60_000)
    delivery = Delivery(context, cache)
    delivery.deliver()
    cache.plans[("p1", "12")] = "rings the guest's telephone"
    delivery.deliver()
    assert cache.plans != {}
    clock.now += 60_000
    delivery.deliver()
    assert "f12" not in rings(town)
    assert cache.plans == {}
