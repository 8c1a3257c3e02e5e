"""Every change is in the audit log: each operation that changes something is done once, and its entry looked for."""

from __future__ import annotations

import json
from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

import falcon.testing
import pytest

from crm_api.app import create_app
from crm_api.domain.problems import ConflictError
from crm_api.openapi import document_text
from crm_api.services.audit import HIDDEN
from crm_api.services.context import Tenant
from crm_api.services.tokens import HERE
from crm_api.tables.people import AuditEntry
from tests.unit.crm.fakes import FakeCache
from tests.unit.crm.furnished import address, admin_of, furnish, furnish_platform, key_of
from tests.unit.crm.tenancy_table import MAKES, Own
from tests.unit.crm.test_access import PASSWORD, company, log_in, person, staff
from tests.unit.crm.test_call_sounds import kept

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Api, Clock, Town

CHANGING = [
    (method.upper(), path)
    for path, methods in json.loads(document_text())["paths"].items()
    for method in methods
    if method != "get"
]

CHANGES: dict[str, Callable[[Own], Any]] = {
    "PATCH /v1/cities/{key}": lambda _: {"name": "Lakeside"},
    "PATCH /v1/companies/{key}": lambda _: {"ring_timeout_s": 44},
    "PATCH /v1/houses/{key}": lambda _: {"address": "Moved 1"},
    "PATCH /v1/entrances/{key}": lambda _: {"number": 98},
    "PATCH /v1/apartments/{key}": lambda _: {"number": 9000},
    "PATCH /v1/gates/{key}": lambda _: {"name": "Other gate"},
    "PATCH /v1/residents/{key}": lambda _: {"phones": ["+79123456700"]},
    "PATCH /v1/groups/{key}": lambda _: {"name": "Other group"},
    "POST /v1/groups/{key}/members": lambda o: {"add": [o["houses"]]},
    "POST /v1/groups/{key}/jobs": lambda o: {
        "action": {"do": "put_block", "kind_id": o["block-kinds"], "reason": "risers"}
    },
    "PATCH /v1/accounts/{key}": lambda _: {"enabled": False},
    "POST /v1/accounts/{key}/rotate-password": lambda _: None,
    "PATCH /v1/push-tokens/{key}": lambda _: {"token": "another token"},
    "POST /v1/push-tokens/{key}/invalidate": lambda _: {"reason": "gone"},
    "PATCH /v1/panels/{key}": lambda _: {"credentials": {"user": "admin", "password": "panels password"}},
    "PATCH /v1/relays/{key}": lambda _: {"credentials": {"user": "admin", "password": "relays password"}},
    "PATCH /v1/probe-campaigns/{key}": lambda _: {"tries": 3},
    "POST /v1/probe-campaigns/{key}/start": lambda _: None,
    "POST /v1/probe-campaigns/{key}/pause": lambda _: None,
    "POST /v1/probe-campaigns/{key}/resume": lambda _: None,
    "POST /v1/probe-campaigns/{key}/stop": lambda _: None,
    "PATCH /v1/access-code-rules/{key}": lambda _: {"length": 6},
    "POST /v1/entrances/{key}/renew-code": lambda _: None,
    "PATCH /v1/scheduled-jobs/{key}": lambda _: {"cron": "30 5 * * 1"},
    "POST /v1/scheduled-jobs/{key}/start": lambda _: None,
    "PATCH /v1/keys/{key}": lambda _: {"note": "blue"},
    "POST /v1/access-codes/{key}/end": lambda _: {"reason": "lost"},
    "POST /v1/call-sounds/{key}/heard": lambda _: None,
    "POST /v1/access-codes/{key}/reveal": lambda _: None,
    "PATCH /v1/block-kinds/{key}": lambda _: {"stops_calls": False},
    "PATCH /v1/blocks/{key}": lambda _: {"reason": "other"},
    "POST /v1/blocks/{key}/lift": lambda _: {"reason": "paid"},
    "PATCH /v1/ring-plans/{key}": lambda _: {"stages": [{"ring_timeout_s": 11, "targets": [{"kind": "all"}]}]},
    "PATCH /v1/webhooks/{key}": lambda _: {"enabled": False},
    "POST /v1/webhook-deliveries/{key}/replay": lambda _: None,
    "PATCH /v1/trunks/{key}": lambda _: {"enabled": False},
    "PATCH /v1/emergency-centres/{key}": lambda _: {"webhook_secret": "a centre's webhook secret"},
    "PATCH /v1/city-numbers/{key}": lambda _: {"in_service": False},
    "PUT /v1/companies/{key}/emergency-rules": lambda _: {"sos_number": "911"},
    "POST /v1/number-leases/{key}/release": lambda _: {"reason": "panel was stolen"},
    "PATCH /v1/concierge-desks/{key}": lambda _: {"priority": 7},
    "PATCH /v1/staff/{key}": lambda _: {"role": "engineer"},
    "POST /v1/staff/{key}/reset-password": lambda _: None,
    "PATCH /v1/service-accounts/{key}": lambda _: {"role": "read_only"},
}
"""How each operation with a key is done; bodies without one are in `MAKES`."""
TOLD_OTHERWISE = {
    "POST /v1/doors/{key}/open": "an access record tells who opened",
    "POST /v1/recorded-sounds": "the call path records it",
    "POST /v1/code-entries": "an access record tells which code was typed",
    "POST /v1/door-openings": "an access record tells who opened",
    "POST /v1/probe-results": "the probe call itself tells",
    "POST /v1/key-uses": "an access record tells whose key opened",
    "POST /v1/emergency-leases": "number_leases and emergency_calls tell each",
    "POST /v1/emergency-call-backs": "emergency_calls tell each",
    "POST /v1/emergency-checks": "its findings tell",
    "POST /v1/cities/{key}/numbers": "test_emergency.py",
    "POST /v1/cities/{key}/twilio-numbers": "test_emergency_recording.py",
    "POST /v1/twilio/voice-answers/{key}": "the story of the call tells",
    "POST /v1/twilio/voice-events/{key}": "the story of the call tells",
    "POST /v1/login": "test_a_login_its_end_and_a_new_password_are_told",
    "POST /v1/logout": "test_a_login_its_end_and_a_new_password_are_told",
    "POST /v1/me/password": "test_a_login_its_end_and_a_new_password_are_told",
    "POST /v1/imports/houses": "test_import_audit.py",
    "POST /v1/imports/apartments": "test_import_audit.py",
    "POST /v1/imports/residents": "test_import_audit.py",
    "POST /v1/imports/keys": "test_import_audit.py",
}


class Deed(NamedTuple):
    """One operation, done once."""

    name: str
    path: str
    body: Any


SECRET = (
    "$argon2",
    '"ep_',
    "panels password",
    "relays password",
    "another token",
    "token-homes",
    "a centre's webhook secret",
)


def entries(database: CrmDatabase) -> list[dict[str, Any]]:
    assert database
    return [dict(row.__data__) for row in AuditEntry.select().order_by(AuditEntry.id)]


@pytest.fixture
def own(town: Town, database: CrmDatabase, services: Services) -> Own:
    """A company with one object of each noun, and its admin."""
    made = Own("homes", town.company, admin_of(town.client, database, services, "Homes"))
    furnish(town.client, made, database)
    furnish_platform(town.platform, made)
    return made


def of_the_platform(path: str) -> bool:
    return path.startswith(("/v1/cities", "/v1/companies", "/v1/trunks", "/v1/emergency-centres", "/v1/city-numbers"))


def platform_body(path: str, own: Own, platform: Api) -> dict[str, Any]:
    """What makes an object of the platform's."""
    name = f"n{own.fresh()}"
    if path.startswith("/v1/trunks"):
        return {"name": name, "address": "127.0.3.9"}
    if path.startswith("/v1/city-numbers"):
        return {"city_id": own["cities"], "number": f"+7495111{own.made:04}", "trunk": "line"}
    if path.startswith("/v1/emergency-centres"):
        return {"city_id": platform("POST", "/v1/cities", {"name": f"city {name}"})["id"], "name": name}
    return {"name": name}


def makings_and_changes(own: Own, platform: Api) -> Iterator[Deed]:
    """Yield how each POST and PATCH is done."""
    for method, path in CHANGING:
        name = f"{method} {path}"
        if name in TOLD_OTHERWISE or method == "DELETE":
            continue
        if "{" not in path:
            body = platform_body(path, own, platform) if of_the_platform(path) else MAKES[path](own)[0]
            yield Deed(name, path, body)
        else:
            assert name in CHANGES, f"{name} is new: say in CHANGES how it is done, so that its entry is looked for"
            yield Deed(name, address(path, key_of(path, own) or {}), CHANGES[name](own))


def removals(own: Own, platform: Api) -> Iterator[Deed]:
    """Yield how each DELETE is done, on something that was made for it and that nothing refers to."""
    empty = own.admin("POST", "/v1/houses", {"company_id": own.company, "address": "Empty 1"})["id"]
    keys = {
        "entrances": own.admin("POST", "/v1/entrances", {"house_id": empty, "number": 1})["id"],
        "houses": empty,
        "sessions": own["sessions"],
        "jobs": own["jobs"],
        "code-locks": own["code-locks"],
        "call-sounds": own["call-sounds"],
    }
    for noun, key in keys.items():
        yield Deed(f"DELETE /v1/{noun}/{{key}}", f"/v1/{noun}/{key}", None)
    for method, path in CHANGING:
        collection, _, rest = path.rpartition("/")
        noun = collection.removeprefix("/v1/")
        if method != "DELETE" or noun in keys:
            continue
        assert rest == "{key}", f"DELETE {path} is new: do it here, so that its entry is looked for"
        if of_the_platform(path):
            made = platform("POST", collection, platform_body(collection, own, platform))
        else:
            made = own.admin("POST", collection, MAKES[collection](own)[0])
        yield Deed(f"DELETE {path}", f"{collection}/{made['account' if noun == 'accounts' else 'id']}", None)


def test_each_operation_that_changes_something_is_in_the_log(own: Own, town: Town, database: CrmDatabase) -> None:
    done = set(TOLD_OTHERWISE)
    for deed in chain(makings_and_changes(own, town.platform), removals(own, town.platform)):
        before = len(entries(database))
        admin = town.platform if of_the_platform(deed.path) else own.admin
        admin(deed.name.partition(" ")[0], deed.path, deed.body)
        fresh = entries(database)[before:]
        assert fresh, f"{deed.name} is not in the audit log"
        assert {e["who"] for e in fresh} == {"test" if admin is town.platform else "admin of Homes"}, deed.name
        assert None not in {e["principal_id"] for e in fresh}
        assert admin is town.platform or {e["company_id"] for e in fresh} == {own.company}, deed.name
        done.add(deed.name)
    assert done == {f"{method} {path}" for method, path in CHANGING}
    log = str(entries(database))
    assert not [secret for secret in SECRET if secret in log]
    kept = [row[0] for row in database.rows("SELECT ha1 FROM accounts WHERE ha1 IS NOT NULL")]
    assert not [ha1 for ha1 in kept if ha1 in log]


def test_an_entry_tells_who_what_before_and_after(town: Town, database: CrmDatabase) -> None:
    town.platform("PATCH", f"/v1/houses/{town.house}", {"address": "Lenina 1A"})
    newest = town.platform("GET", "/v1/audit?limit=1")["items"][0]
    assert newest | {"id": 0, "at_ms": 0, "principal_id": 0} == {
        "id": 0, "at_ms": 0, "principal_id": 0, "company_id": town.company, "who": "test", "action": "change",
        "noun": "house", "key": str(town.house),
        "before": {"address": "Lenina 1", "version": 1}, "after": {"address": "Lenina 1A", "version": 2},
    }  # fmt: skip
    town.platform("DELETE", "/v1/accounts/h13")
    removed = town.platform("GET", "/v1/audit?limit=1")["items"][0]
    assert (removed["action"], removed["noun"], removed["key"], removed["after"]) == ("remove", "account", "h13", None)
    assert removed["before"]["kind"] == "handset"
    made = town.platform("POST", "/v1/accounts", {"kind": "app", "apartment_id": town.apartment})
    created = town.platform("GET", f"/v1/audit?noun=account&key={made['account']}")["items"]
    assert [(e["action"], e["before"], e["after"]["password"]) for e in created] == [("create", None, HIDDEN)]
    assert made["password"] not in str(entries(database))


def test_a_changed_secret_is_told_without_the_secret(town: Town, database: CrmDatabase) -> None:
    panel = town.platform("GET", "/v1/panels")["items"][0]["id"]
    body = {
        "credentials": {"user": "root", "password": "a panel's password"},
        "doors": [{"method": "dtmf", "dtmf": "95"}],
    }
    town.platform("PATCH", f"/v1/panels/{panel}", body)
    after = town.platform("GET", "/v1/audit?limit=1")["items"][0]["after"]
    assert after["credentials"] == HIDDEN
    assert after["doors"][0]["dtmf"] == HIDDEN
    town.platform("POST", "/v1/accounts/h12/rotate-password")
    rotated = town.platform("GET", "/v1/audit?limit=1")["items"][0]
    assert (rotated["action"], rotated["after"]["password"]) == ("rotate password", HIDDEN)
    assert "a panel's password" not in str(entries(database))
    assert "root" not in str(entries(database))


def test_what_is_refused_leaves_no_entry_and_what_fails_late_takes_its_entry_back(
    town: Town, database: CrmDatabase, services: Services
) -> None:
    before = entries(database)
    town.platform("POST", "/v1/houses", {"company_id": town.company, "address": "Lenina 1"}, 409)
    town.platform("PATCH", f"/v1/houses/{town.house}", {"address": "Sadovaya 7"}, 409)
    town.platform("DELETE", f"/v1/houses/{town.house}", expect=409)
    town.platform("PATCH", "/v1/houses/999", {"address": "x"}, 404)
    with pytest.raises(ConflictError), database.transaction():  # noqa: PT012
        services.houses.change(Tenant(None), town.house, {"address": "Lenina 1B"})
        assert len(entries(database)) == len(before) + 1
        raise ConflictError("something later fails")
    assert entries(database) == before


def test_the_log_is_listed_by_company_person_thing_and_time(town: Town, database: CrmDatabase) -> None:
    second = company(town, "Second")
    made = staff(town, "chief", role="admin")["id"]
    chief = person(town, "chief")
    chief("PATCH", f"/v1/houses/{town.house}", {"address": "Lenina 3"})
    town.platform("POST", "/v1/houses", {"company_id": second, "address": "Secret street 1"})

    def found(api: Api, query: str) -> list[str]:
        return [f"{e['action']} {e['noun']} {e['key']}" for e in api("GET", f"/v1/audit?{query}")["items"]]

    assert found(town.platform, f"principal_id={made}&noun=house") == [f"change house {town.house}"]
    assert found(town.platform, f"noun=house&key={town.house}") == [
        f"change house {town.house}",
        f"create house {town.house}",
    ]
    assert found(town.platform, f"company_id={second}&noun=house") == ["create house 3"]
    assert "Secret street" not in str(chief("GET", "/v1/audit?limit=200"))
    assert {e["company_id"] for e in chief("GET", "/v1/audit?limit=200")["items"]} == {town.company}
    assert chief("GET", f"/v1/audit?company_id={second}")["items"] == []
    moment = entries(database)[3]["at_ms"]
    early = town.platform("GET", f"/v1/audit?until_ms={moment}&sort=id")["items"]
    late = town.platform("GET", f"/v1/audit?from_ms={moment}&sort=id&limit=200")["items"]
    assert [e["id"] for e in early + late] == [e["id"] for e in entries(database)]
    newest_first = [e["id"] for e in town.platform("GET", "/v1/audit?limit=200")["items"]]
    assert newest_first == sorted(newest_first, reverse=True)


def test_a_login_its_end_and_a_new_password_are_told(town: Town) -> None:
    made = staff(town)["id"]
    anna = person(town)
    anna("POST", "/v1/me/password", {"current": PASSWORD, "password": "another long pass phrase"})
    anna("POST", "/v1/logout")
    log_in(town, password="wrong wrong wrong", expect=401)
    told = town.platform("GET", f"/v1/audit?principal_id={made}&sort=id")["items"]
    assert [(e["action"], e["noun"], e["who"]) for e in told] == [
        ("log in", "session", "Anna"),
        ("change password", "member of staff", "Anna"),
        ("log out", "session", "Anna"),
    ]


def test_no_endpoint_changes_the_log() -> None:
    for method, path in CHANGING:
        assert not path.startswith("/v1/audit"), (method, path)


def test_an_import_or_a_task_without_a_person_is_told_too(
    services: Services, town: Town, database: CrmDatabase
) -> None:
    services.houses.change(Tenant(None), town.house, {"address": "Lenina 5"})
    assert entries(database)[-1]["who"] == "platform"
    assert entries(database)[-1]["principal_id"] is None


def test_the_application_of_this_test_is_the_whole_one(services: Services, database: CrmDatabase) -> None:
    cache: Any = FakeCache()
    client = falcon.testing.TestClient(create_app(services, database, cache))
    declared = json.loads(document_text())
    assert client.simulate_get("/v1/openapi.json").json["paths"].keys() == declared["paths"].keys()


def newest(town: Town, query: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = town.platform("GET", f"/v1/audit?{query}")["items"]
    return found


def test_accounts_that_go_with_something_else_are_told(town: Town) -> None:
    api = town.platform
    home = {"apartment_id": town.apartment, "role": "owner"}
    ann = api("POST", "/v1/residents", {"company_id": town.company, "name": "Ann", "apartments": [home]})["id"]
    api("POST", "/v1/accounts", {"account": "ann", "kind": "app", "apartment_id": town.apartment, "resident_id": ann})
    panel = api("GET", "/v1/panels?account=p1")["items"][0]["id"]
    api("DELETE", f"/v1/residents/{ann}")
    api("DELETE", f"/v1/apartments/{town.apartment}")
    api("DELETE", f"/v1/panels/{panel}")
    for account, kind in (("ann", "app"), ("a12", "app"), ("h12", "handset"), ("p1", "panel")):
        told = newest(town, f"noun=account&key={account}")[0]
        assert (told["action"], told["after"], told["who"]) == ("remove", None, "test"), account
        assert (told["before"]["kind"], told["company_id"]) == (kind, town.company)


def test_all_that_goes_with_something_else_is_told(own: Own, town: Town, database: CrmDatabase) -> None:
    """Whatever has a noun and is there no more after a removal has an entry; each is asked for by its address."""
    for path, make in MAKES.items():
        for body in make(own):
            town.client.simulate_post(path, json=body, headers=own.admin._headers)
    plan = {"apartment_id": own["apartments"], "stages": [{"ring_timeout_s": 20, "targets": [{"kind": "all"}]}]}
    own.admin("POST", "/v1/ring-plans", plan)
    desk = own.concierge()
    own.admin("POST", "/v1/concierge-desks", {"account": desk, "name": "Desk"})
    house = own.house()
    own.admin("POST", "/v1/keys", {"number": "00AA0001", "house_id": house})
    addresses = {path for method, path in CHANGING if method == "DELETE"}
    collections = sorted(path.rpartition("/")[0] for path in addresses)

    def there() -> set[tuple[str, str]]:
        return {
            (collection, str(item["account" if collection == "/v1/accounts" else "id"]))
            for collection in collections
            for item in town.platform("GET", f"{collection}?limit=200")["items"]
        }

    keys_of_nouns = {"/v1/code-locks", "/v1/call-sounds", "/v1/jobs", "/v1/sessions"}  # they end by themselves
    gone: set[str] = set()
    own.admin("DELETE", f"/v1/panels/{own['panels']}")
    for removed in (
        f"/v1/accounts/{own['accounts']}",
        f"/v1/accounts/{desk}",
        f"/v1/houses/{house}",
        f"/v1/residents/{own['residents']}",
        f"/v1/apartments/{own['apartments']}",
        f"/v1/service-accounts/{own['service-accounts']}",
    ):
        before, known = there(), len(entries(database))
        own.admin("DELETE", removed)
        told = [(e["noun"], e["key"]) for e in entries(database)[known:]]
        assert len(told) == len(set(told))
        assert {e["action"] for e in entries(database)[known:]} == {"remove"}
        lost = {thing for thing in before - there() if thing[0] not in keys_of_nouns}
        assert len(told) == len(lost), (removed, told, lost)
        assert sorted(key for _, key in told) == sorted(key for _, key in lost), removed
        assert {e["company_id"] for e in entries(database)[known:]} == {own.company}
        assert None not in {e["state_before"] for e in entries(database)[known:]}
        gone |= {noun for noun, _ in told}
    assert gone == {
        "account", "push token", "resident", "key", "apartment", "ring plan", "block", "access code",
        "service account", "token", "concierge desk", "house",
    }  # fmt: skip


def test_whoever_moves_between_companies_is_told_to_neither_of_them(town: Town) -> None:
    """His states name the companies that he had: only who sees them all reads that."""
    second = company(town, "Second")
    staff(town, "chief", role="admin")
    chief = person(town, "chief")

    def moved(before: dict[str, Any], after: dict[str, Any]) -> None:
        body = {"name": "program", "role": "operator", **before}
        key = town.platform("POST", "/v1/service-accounts", body)["id"]
        town.platform("PATCH", f"/v1/service-accounts/{key}", after)
        query = f"noun=service%20account&key={key}&action=change"
        (told,) = town.platform("GET", f"/v1/audit?{query}")["items"]
        assert told["before"].get("companies", []) == sorted(before.get("companies", []))
        assert told["company_id"] is None
        assert chief("GET", f"/v1/audit?{query}")["items"] == []

    moved({"companies": [second]}, {"companies": [town.company]})
    moved({"companies": [town.company]}, {"companies": [second]})
    moved({"companies": [second, town.company]}, {"companies": [town.company]})
    moved({"all_companies": True}, {"companies": [town.company]})
    body = {"name": "program", "role": "operator", "companies": [town.company]}
    key = town.platform("POST", "/v1/service-accounts", body)["id"]
    town.platform("PATCH", f"/v1/service-accounts/{key}", {"name": "other"})
    assert [e["action"] for e in chief("GET", f"/v1/audit?noun=service%20account&key={key}")["items"]] == [
        "change",
        "create",
    ]


def test_tokens_that_are_made_outside_the_api_are_told(town: Town, services: Services, database: CrmDatabase) -> None:
    def told() -> list[tuple[str, str, str]]:
        found = newest(town, "sort=id&limit=200")
        return [(e["action"], e["noun"], (e["after"] or e["before"])["name"]) for e in found if e["who"] == HERE.name]

    at_first = told()
    token = services.tokens.create("backdoor", "operator", "Homes")
    made = [("create", "service account", "backdoor"), ("create", "token", "backdoor")]
    assert told() == [*at_first, *made]
    assert [e["company_id"] for e in newest(town, "limit=2")] == [town.company] * 2
    services.tokens.create("backdoor", "platform", replace=True, token="ep_given" + "x" * 32)
    assert told() == [*at_first, *made, ("remove", "service account", "backdoor"), *made]
    assert newest(town, "limit=2")[1]["after"]["role"] == "admin"
    services.tokens.create("backdoor", "platform", replace=True, token="ep_given" + "x" * 32)
    assert len(told()) == len(at_first) + 5, "the same token: nothing has changed"
    assert not [secret for secret in (token, "ep_given") if secret in str(entries(database))]


def test_a_changed_secret_of_a_webhook_is_told_without_the_secret(town: Town, database: CrmDatabase) -> None:
    api, hook = town.platform, {"webhook_url": "https://x.example/h"}
    first, second = "0123456789abcdef", "fedcba9876543210"
    centre = api("POST", "/v1/emergency-centres", {"city_id": 1, "name": "c", **hook, "webhook_secret": first})["id"]
    api("PATCH", f"/v1/emergency-centres/{centre}", {"webhook_secret": second})
    told = newest(town, "limit=1")[0]
    assert (told["noun"], told["after"]["webhook_secret"]) == ("emergency centre", HIDDEN)
    rules = f"/v1/companies/{town.company}/emergency-rules"
    secrets = []
    for secret in (first, first, second, None):
        api("PUT", rules, {**hook, "webhook_secret": secret})
        told = newest(town, "limit=1")[0]
        secrets.append((told["before"].get("webhook_secret", "same"), told["after"].get("webhook_secret", "same")))
    assert secrets == [(None, HIDDEN), ("same", "same"), (HIDDEN, HIDDEN), (HIDDEN, None)]
    assert not [secret for secret in (first, second) if secret in str(entries(database))]


@pytest.mark.parametrize("kind", ["message", "recording"])
def test_who_hears_a_sound_of_a_call_is_told(town: Town, clock: Clock, kind: str) -> None:
    sound = kept(town, clock.now, kind=kind).json["id"]
    answer = town.client.simulate_get(f"/v1/call-sounds/{sound}/audio", headers=town.platform._headers)
    assert answer.status_code == 200
    told = newest(town, "limit=1")[0]
    assert (told["action"], told["noun"], told["key"], told["who"]) == ("hear", "sound of a call", str(sound), "test")
    assert (told["after"]["kind"], told["company_id"]) == (kind, town.company)
