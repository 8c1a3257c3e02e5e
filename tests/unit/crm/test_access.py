"""Roles, staff, service accounts, tokens: who may do what, and that nobody gives more than he has."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.app import declared
from crm_api.domain.access import ROLES, TABLE
from crm_api.openapi import document_text
from tests.unit.crm.conftest import Api

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

PASSWORD = "correct horse battery"
OPERATIONS = [
    (method.upper(), path)
    for path, methods in json.loads(document_text())["paths"].items()
    for method in methods
]  # fmt: skip

READS, WRITES = "read", "write"
# What each role may do, written down a second time and otherwise: by address. A new address needs a line.
MAY: dict[str, dict[str, str]] = {
    "/v1/cities": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/companies": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/houses": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/entrances": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/apartments": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/apartment-ranges": {"admin": "rw", "operator": "rw"},
    "/v1/gates": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/residents": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/groups": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/accounts": {"admin": "rw", "operator": "rw", "engineer": "rw", "read_only": "r"},
    "/v1/push-tokens": {"admin": "rw", "operator": "rw", "engineer": "rw", "read_only": "r"},
    "/v1/panels": {"admin": "rw", "operator": "rw", "engineer": "rw", "read_only": "r"},
    "/v1/relays": {"admin": "rw", "operator": "rw", "engineer": "rw", "read_only": "r"},
    "/v1/doors": {"admin": "w", "operator": "w", "engineer": "w"},
    "/v1/keys": {"admin": "rw", "operator": "rw", "engineer": "rw", "read_only": "r"},
    "/v1/access-codes": {"admin": "rw", "operator": "rw", "engineer": "r"},
    "/v1/access-codes/{key}/reveal": {"admin": "w", "operator": "w", "engineer": "w"},
    "/v1/key-uses": {"admin": "w", "operator": "w", "engineer": "w", "calls": "w"},
    "/v1/block-kinds": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/blocks": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/ring-plans": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/ring-plans/{key}/{dialled}": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r", "calls": "r"},
    "/v1/concierge-desks": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/door-openings": {"calls": "w"},
    "/v1/code-entries": {"calls": "w"},
    "/v1/recorded-sounds": {"calls": "w"},
    "/v1/call-sounds": {"admin": "rw", "operator": "rw"},
    "/v1/code-locks": {"admin": "rw", "operator": "rw", "engineer": "r"},
    "/v1/calls": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/access-records": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/reports": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/jobs": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/imports": {"admin": "rw", "operator": "rw"},
    "/v1/access-code-rules": {"admin": "rw", "operator": "rw", "engineer": "r"},
    "/v1/entrances/{key}/handsets": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/entrances/{key}/renew-code": {"admin": "w", "operator": "w"},
    "/v1/panel-codes": {"admin": "r", "operator": "r", "engineer": "r"},
    "/v1/code-notices": {"admin": "r", "operator": "r", "engineer": "r"},
    "/v1/probe-campaigns": {"admin": "rw", "operator": "rw", "engineer": "rw", "read_only": "r"},
    "/v1/probe-results": {"calls": "w"},
    "/v1/probe-calls/{key}/recording": {"admin": "r", "operator": "r", "engineer": "r"},
    "/v1/probe-calls": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/scheduled-jobs": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/job-runs": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/trunks": {"admin": "rw"},
    "/v1/webhooks": {"admin": "rw"},
    "/v1/webhook-deliveries": {"admin": "rw", "operator": "rw"},
    "/v1/emergency-centres": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/city-numbers": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/number-leases": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/emergency-test-calls": {"admin": "rw", "operator": "rw", "engineer": "r", "read_only": "r"},
    "/v1/number-pools": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/emergency-calls": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/emergency-checks": {"admin": "w", "operator": "w"},
    "/v1/emergency-findings": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/emergency-notices": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/emergency-leases": {"calls": "w"},
    "/v1/emergency-call-backs": {"calls": "w"},
    "/v1/staff": {"admin": "rw"},
    "/v1/service-accounts": {"admin": "rw"},
    "/v1/tokens": {"admin": "rw"},
    "/v1/sessions": {"admin": "rw"},
    "/v1/audit": {"admin": "r"},
    "/metrics": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/search": {"admin": "r", "operator": "r", "engineer": "r", "read_only": "r"},
    "/v1/me": dict.fromkeys(ROLES, "rw"),
    "/v1/logout": dict.fromkeys(ROLES, "w"),
}
NO_TOKEN = {
    "GET /health",
    "GET /v1/openapi.json",
    "GET /v1/docs",
    "GET /v1/docs/{file}",
    "POST /v1/login",
    "GET /v1/visitor-pictures/{key}",
    "GET /v1/message-pictures/{key}",
    "GET /v1/message-sounds/{key}",
    "POST /v1/twilio/voice-answers/{key}",
    "POST /v1/twilio/voice-events/{key}",
}


def may(path: str, method: str, role: str) -> bool:
    fitting = [known for known in MAY if path == known or path.startswith(known + "/")]
    assert fitting, f"{path} is new: say in MAY who may use it"
    return ("r" if method == "GET" else "w") in MAY[max(fitting, key=len)].get(role, "")


def with_role(town: Town, services: Services, database: CrmDatabase, role: str) -> Api:
    token = services.tokens.create(f"the {role}", "platform")
    database.rows("UPDATE principals SET role = ? WHERE name = ?", (role, f"the {role}"))
    return Api(town.client, token)


@pytest.mark.parametrize("role", ROLES)
def test_every_endpoint_takes_the_roles_of_the_table_and_no_other(
    town: Town, services: Services, database: CrmDatabase, role: str
) -> None:
    api = with_role(town, services, database, role)
    for method, path in OPERATIONS:
        if f"{method} {path}" in NO_TOKEN:
            continue
        address = (
            path.replace("{key}", "999999")
            .replace("{dialled}", "9")
            .replace("{call_id}", "none")
            .replace("{account}", "a1")
        )
        status = town.client.simulate_request(method, address, headers=api._headers).status_code
        if path == "/v1/logout":
            assert status == 422, "a service account has no session, so this is as far as it comes"
        elif may(path, method, role):
            assert status not in {401, 403}, f"{role} should be let in to {method} {path}"
        else:
            assert status == 403, f"{role} should not be let in to {method} {path}"


def test_each_declared_operation_names_roles_of_the_table_or_needs_no_token(services: Services, cache: Any) -> None:
    known = {roles for pair in TABLE.values() for roles in pair}
    endpoints = declared(services, services.sessions.database, cache)
    for endpoint in endpoints:
        for operation in endpoint.operations:
            name = f"{operation.method} {endpoint.plain_path}"
            assert (operation.allowed is None) == (name in NO_TOKEN), name
            assert operation.allowed is None or operation.allowed in known, name


def staff(town: Town, login: str = "anna@homes.example", **more: Any) -> Any:
    body = {"login": login, "name": "Anna", "role": "operator", "companies": [town.company], "password": PASSWORD}
    return town.platform("POST", "/v1/staff", body | more)


def log_in(town: Town, login: str = "anna@homes.example", password: str = PASSWORD, expect: int = 201) -> Any:
    answer = town.client.simulate_post("/v1/login", json={"login": login, "password": password})
    assert answer.status_code == expect, answer.text
    return answer.json


def person(town: Town, login: str = "anna@homes.example", password: str = PASSWORD) -> Api:
    return Api(town.client, log_in(town, login, password)["token"])


def company(town: Town, name: str) -> int:
    return int(town.platform("POST", "/v1/companies", {"name": name})["id"])


def test_staff_see_their_companies_one_or_several(town: Town) -> None:
    second, third = company(town, "Second"), company(town, "Third")
    house = town.platform("POST", "/v1/houses", {"company_id": second, "address": "Sadovaya 9"})["id"]
    town.platform("POST", "/v1/houses", {"company_id": third, "address": "Sadovaya 11"})
    made = staff(town, companies=[second, town.company])
    assert made["companies"] == [town.company, second]
    anna = person(town)
    assert [c["name"] for c in anna("GET", "/v1/companies")["items"]] == ["Homes", "Second"]
    assert len(anna("GET", "/v1/houses")["items"]) == 3
    anna("POST", "/v1/houses", {"address": "Nowhere 1"}, 422)
    anna("POST", "/v1/houses", {"company_id": third, "address": "Nowhere 1"}, 404)
    anna("POST", "/v1/houses", {"company_id": second, "address": "Sadovaya 10"})
    town.platform("PATCH", f"/v1/staff/{made['id']}", {"companies": [town.company]})
    anna("GET", f"/v1/houses/{house}", expect=404)
    assert anna("GET", "/v1/me") | {"id": 0} == {
        "id": 0, "kind": "staff", "name": "Anna", "login": "anna@homes.example", "role": "operator",
        "all_companies": False, "companies": [town.company],
    }  # fmt: skip


def test_a_password_is_made_and_shown_once_or_given_and_never_shown(town: Town, database: CrmDatabase) -> None:
    given = staff(town)
    assert given["password"] is None
    made = staff(town, "boris", password=None)
    assert len(made["password"]) == 24
    person(town, "boris", made["password"])
    assert "password" not in town.platform("GET", f"/v1/staff/{made['id']}")
    kept = str(database.rows("SELECT * FROM principals")) + str(database.rows("SELECT * FROM audit_log"))
    assert PASSWORD not in kept
    assert made["password"] not in kept
    assert "$argon2id$" in kept
    assert "$argon2id$" not in str(database.rows("SELECT * FROM audit_log"))


@pytest.mark.parametrize("key", ["", "once"])
def test_nobody_waits_to_write_while_a_password_is_hashed(
    town: Town, context: Context, monkeypatch: pytest.MonkeyPatch, key: str
) -> None:
    hashed, in_transaction = context.passwords.hashed, []

    def watched(password: str) -> str:
        in_transaction.append(context.database.peewee.in_transaction())
        return hashed(password)

    monkeypatch.setattr(context.passwords, "hashed", watched)
    headers = town.platform._headers | ({"Idempotency-Key": key} if key else {})
    new = {"login": "olga", "name": "Olga", "role": "operator", "all_companies": True}
    made = town.client.simulate_post("/v1/staff", headers=headers, json=new).json
    again = town.platform("POST", f"/v1/staff/{made['id']}/reset-password")
    assert made["password"] != again["password"]
    town.platform("POST", "/v1/staff/999999/reset-password", expect=404)
    assert in_transaction == [False, False]


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({"login": "a b"}, {"login"}),
        ({"login": "x" * 129}, {"login"}),
        ({"login": "anna'; DROP TABLE principals;--"}, {"login"}),
        ({"password": "short"}, {"password"}),
        ({"password": "anna-anna-anna"}, {"password"}),
        ({"password": "aaaaaaaaaaaaaaa"}, {"password"}),
        ({"password": "p" * 129}, {"password"}),
        ({"role": "calls"}, {"role"}),
        ({"role": "root", "name": "", "age": 5}, {"role", "name", "age"}),
        ({"companies": []}, {"companies"}),
        ({"companies": [999]}, {"companies"}),
        ({"companies": None}, {"companies"}),
        ({"all_companies": True}, {"companies"}),
    ],
)
def test_what_is_wrong_with_staff_is_named_and_nothing_is_kept(
    town: Town, database: CrmDatabase, body: Any, fields: set[str]
) -> None:
    right = {"login": "anna", "name": "Anna", "role": "operator", "companies": [town.company], "password": PASSWORD}
    problem = town.platform("POST", "/v1/staff", right | body, 422)
    assert {error["field"] for error in problem["errors"]} == fields
    assert str(body.get("password", "no password at all")) not in json.dumps(problem)
    assert database.rows("SELECT * FROM principals WHERE kind = 'staff'") == []


def test_a_login_is_taken_once_whatever_its_case(town: Town) -> None:
    staff(town)
    body = {"login": "ANNA@homes.example", "name": "x", "role": "operator", "companies": [town.company]}
    assert town.platform("POST", "/v1/staff", body, 409)["errors"][0]["field"] == "login"


def test_an_admin_of_a_company_rules_over_his_company_only(town: Town) -> None:
    second = company(town, "Second")
    staff(town, "chief", role="admin")
    both = staff(town, "both", companies=[town.company, second])["id"]
    everywhere = staff(town, "everywhere", companies=None, all_companies=True)["id"]
    stranger = staff(town, "stranger", companies=[second])["id"]
    chief = person(town, "chief")
    assert [s["login"] for s in chief("GET", "/v1/staff")["items"]] == ["chief"]
    for other in (both, everywhere, stranger):
        chief("GET", f"/v1/staff/{other}", expect=404)
        chief("PATCH", f"/v1/staff/{other}", {"enabled": False}, 404)
        chief("DELETE", f"/v1/staff/{other}", expect=404)
        chief("POST", f"/v1/staff/{other}/reset-password", expect=404)
    mine = chief("POST", "/v1/staff", {"login": "mine", "name": "Mine", "role": "engineer"})
    assert mine["companies"] == [town.company], "left out: his own"
    for body in ({"companies": [second]}, {"companies": [town.company, second]}, {"all_companies": True}):
        chief("PATCH", f"/v1/staff/{mine['id']}", body, 422)
        chief("POST", "/v1/staff", {"login": "more", "name": "More", "role": "admin"} | body, 422)
    program = {"name": "calls", "role": "calls", "companies": [town.company]}
    assert chief("POST", "/v1/service-accounts", program, 422)["errors"][0]["field"] == "role"


def test_one_who_rules_two_companies_sees_those_of_each_and_of_both(town: Town) -> None:
    second = company(town, "Second")
    staff(town, "chief", role="admin", companies=[town.company, second])
    staff(town, "both", companies=[town.company, second])
    staff(town, "one", companies=[second])
    staff(town, "everywhere", companies=None, all_companies=True)
    chief = person(town, "chief")
    assert [s["login"] for s in chief("GET", "/v1/staff")["items"]] == ["chief", "both", "one"]


def test_nobody_raises_or_locks_out_himself(town: Town) -> None:
    made = staff(town, "chief", role="admin")["id"]
    chief = person(town, "chief")
    for body in ({"role": "operator"}, {"enabled": False}, {"companies": [town.company]}, {"all_companies": True}):
        chief("PATCH", f"/v1/staff/{made}", body, 403)
    chief("DELETE", f"/v1/staff/{made}", expect=403)
    chief("PATCH", f"/v1/staff/{made}", {"name": "Chief of Homes"})


def test_who_is_switched_off_or_removed_is_out_at_once(town: Town) -> None:
    made = staff(town)["id"]
    anna = person(town)
    town.platform("PATCH", f"/v1/staff/{made}", {"enabled": False})
    anna("GET", "/v1/houses", expect=401)
    log_in(town, expect=401)
    town.platform("PATCH", f"/v1/staff/{made}", {"enabled": True})
    anna("GET", "/v1/houses")
    town.platform("DELETE", f"/v1/staff/{made}")
    anna("GET", "/v1/houses", expect=401)
    assert town.platform("GET", f"/v1/audit?noun=member of staff&key={made}")["items"][0]["action"] == "remove"


def test_a_service_account_has_tokens_shown_once_listed_and_revoked(
    town: Town, database: CrmDatabase, clock: Clock
) -> None:
    account = town.platform(
        "POST", "/v1/service-accounts", {"name": "billing", "role": "read_only", "companies": [town.company]}
    )["id"]
    made = town.platform("POST", "/v1/tokens", {"service_account_id": account, "name": "server 1"})
    second = town.platform(
        "POST", "/v1/tokens", {"service_account_id": account, "name": "server 2", "expires_at_ms": clock.now + 60_000}
    )
    billing, brief = Api(town.client, made["token"]), Api(town.client, second["token"])
    assert len(billing("GET", "/v1/houses")["items"]) == 2
    billing("POST", "/v1/houses", {"address": "x"}, 403)
    brief("GET", "/v1/houses")
    clock.now += 60_000
    brief("GET", "/v1/houses", expect=401)
    listed = town.platform("GET", f"/v1/tokens?principal_id={account}")["items"]
    assert [t["name"] for t in listed] == ["server 1", "server 2"]
    assert listed[0]["last_used_at_ms"] is not None
    assert all("token" not in t and "token_hash" not in t for t in listed)
    kept = str(database.rows("SELECT * FROM tokens")) + str(database.rows("SELECT * FROM audit_log"))
    assert made["token"] not in kept
    town.platform("DELETE", f"/v1/tokens/{made['id']}")
    billing("GET", "/v1/houses", expect=401)
    assert town.platform("GET", f"/v1/tokens/{made['id']}")["revoked_at_ms"] is not None
    late = {"service_account_id": account, "name": "late", "expires_at_ms": clock.now - 1}
    assert town.platform("POST", "/v1/tokens", late, 422)["errors"][0]["field"] == "expires_at_ms"


def test_a_token_is_for_a_service_account_and_a_session_for_staff(town: Town) -> None:
    made = staff(town)["id"]
    town.platform("POST", "/v1/tokens", {"service_account_id": made, "name": "x"}, 404)
    town.platform("GET", f"/v1/service-accounts/{made}", expect=404)
    session = log_in(town)["id"]
    town.platform("GET", f"/v1/tokens/{session}", expect=404)
    assert town.platform("GET", f"/v1/sessions/{session}")["principal_id"] == made
