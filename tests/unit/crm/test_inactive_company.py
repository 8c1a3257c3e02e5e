"""A company that is not active: the doors go on, its own people look and change nothing, nothing new is told to it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.app import declared
from crm_api.openapi import document_text
from crm_api.services.call_recording import CallRecording
from tests.unit.crm.conftest import Api
from tests.unit.crm.furnished import admin_of, everything_kept, furnish
from tests.unit.crm.tenancy_table import Own
from tests.unit.crm.test_call_records import entry, story
from tests.unit.crm.test_webhooks import Company, tell

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

CHANGING = [
    (method.upper(), path)
    for path, methods in json.loads(document_text())["paths"].items()
    for method in methods
    if method != "get"
]
OF_ONESELF = {"POST /v1/logout", "POST /v1/me/password"}


@pytest.fixture
def admin(town: Town, services: Services, database: CrmDatabase) -> Api:
    """An admin of the town's company alone."""
    return admin_of(town.client, database, services, "Homes")


def switch(town: Town, *, active: bool) -> None:
    town.platform("PATCH", f"/v1/companies/{town.company}", {"active": active})


def test_its_people_can_change_nothing_by_any_operation(
    town: Town, services: Services, database: CrmDatabase, cache: Any, admin: Api
) -> None:
    furnish(town.client, Own("homes", town.company, admin), database)
    switch(town, active=False)
    before = everything_kept(database)
    allowed = {
        (operation.method, endpoint.plain_path): operation.allowed
        for endpoint in declared(services, database, cache)
        for operation in endpoint.operations
    }
    tried = 0
    for method, path in CHANGING:
        roles = allowed[method, path]
        if roles is None or "admin" not in roles or f"{method} {path}" in OF_ONESELF:
            continue
        address = path.replace("{key}", "1").replace("{dialled}", "12").replace("{call_id}", "x")
        answer = town.client.simulate_request(method, address, headers={**admin._headers, "If-Match": "*"})
        assert answer.status_code == 403, f"{method} {path}: {answer.status_code} {answer.text}"
        assert "not active" in answer.json["detail"]
        tried += 1
    assert tried > 90
    assert everything_kept(database) == before


def test_they_look_and_log_out_and_are_let_in_again(town: Town, admin: Api) -> None:
    switch(town, active=False)
    assert admin("GET", f"/v1/houses/{town.house}")["address"] == "Lenina 1"
    assert [company["active"] for company in admin("GET", "/v1/companies")["items"]] == [False]
    assert admin("GET", "/v1/me")["name"] == "admin of Homes"
    admin("POST", "/v1/logout", expect=422)  # a service account has no session: this is as far as it comes
    switch(town, active=True)
    admin("PATCH", f"/v1/houses/{town.house}", {"address": "Lenina 1A"})


def test_the_doors_go_on_and_the_platform_works_for_it(town: Town) -> None:
    before = town.plan("p1", "12")
    switch(town, active=False)
    after = town.plan("p1", "12")
    assert after["outcome"] == "ring"
    assert {**after, "issued_at_ms": 0} == {**before, "issued_at_ms": 0}
    asked = {"call_id": "c1", "panel": "p1", "dialled": "12", "account": "h12", "key": "#"}
    assert town.service("POST", "/v1/door-openings", asked)["result"] == "granted"
    assert town.plan("p1", "112")["outcome"] == "emergency"
    town.platform("PATCH", f"/v1/houses/{town.house}", {"address": "Lenina 1A"})


def test_who_has_an_active_company_besides_goes_on_with_that_one(
    town: Town, services: Services, database: CrmDatabase
) -> None:
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    both = Api(town.client, services.tokens.create("of both", "operator", "Homes"))
    database.rows(
        "INSERT INTO principal_companies (principal_id, company_id) SELECT id, ? FROM principals WHERE name = ?",
        (other, "of both"),
    )
    switch(town, active=False)
    assert len(both("GET", "/v1/companies")["items"]) == 2
    made = both("POST", "/v1/houses", {"company_id": other, "address": "Elsewhere 1"})
    assert both("POST", "/v1/houses", {"address": "Elsewhere 2"})["company_id"] == other
    both("PATCH", f"/v1/houses/{made['id']}", {"address": "Elsewhere 3"})
    both("PATCH", f"/v1/houses/{town.house}", {"address": "Lenina 1A"}, 404)
    both("POST", "/v1/houses", {"company_id": town.company, "address": "Lenina 9"}, 404)


@pytest.mark.parametrize(
    "field", [{"active": False}, {"billing_id": "10045"}, {"name": "Homes"}, {"name": "Nobody has this"}]
)
def test_its_own_people_do_not_decide_whether_it_is_a_customer(town: Town, admin: Api, field: dict[str, Any]) -> None:
    admin("PATCH", f"/v1/companies/{town.company}", field, 403)
    admin("PATCH", f"/v1/companies/{town.company}", {"ring_timeout_s": 20})


def test_its_webhooks_are_told_nothing_more_and_what_waited_is_told(town: Town, context: Context, clock: Clock) -> None:
    hook = town.platform("POST", "/v1/webhooks", {"company_id": town.company, "url": "https://homes.example/hook"})
    there = Company()
    there.secret = hook["secret"]
    recording = CallRecording(context)
    recording.record([entry(1, story("before"))])
    switch(town, active=False)
    recording.record([entry(2, story("after"))])
    clock.now += 10_000
    assert tell(context, there) == 2
    assert {body["data"]["call_id"] for body in there.told} == {"before"}
