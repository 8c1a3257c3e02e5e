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
from tests.unit.crm.fakes import FakeCache
from tests.unit.crm.furnished import address, entries, furnished_company, key_of
from tests.unit.crm.tenancy_table import MAKES

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Api, Town
    from tests.unit.crm.tenancy_table import Own

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
    "POST /v1/login": "test_audit_people.py",
    "POST /v1/logout": "test_audit_people.py",
    "POST /v1/me/password": "test_audit_people.py",
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


@pytest.fixture
def own(town: Town, database: CrmDatabase, services: Services) -> Own:
    return furnished_company(town, database, services)


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


def test_no_endpoint_changes_the_log() -> None:
    for method, path in CHANGING:
        assert not path.startswith("/v1/audit"), (method, path)


def test_the_application_of_this_test_is_the_whole_one(services: Services, database: CrmDatabase) -> None:
    cache: Any = FakeCache()
    client = falcon.testing.TestClient(create_app(services, database, cache))
    declared = json.loads(document_text())
    assert client.simulate_get("/v1/openapi.json").json["paths"].keys() == declared["paths"].keys()
