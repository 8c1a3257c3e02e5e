"""What holds for every operation of its kind: changes say which state they mean, creations may be sent again.

What is new is tried without a line here; what cannot be tried so stands in a table with its reason.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.app import declared
from tests.unit.crm.furnished import address, everything_kept, furnished_company, key_of
from tests.unit.crm.tenancy_table import MAKES
from tests.unit.crm.test_audit import CHANGES, of_the_platform, platform_body, removals

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.resources.declaration import Operation
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Api, Town
    from tests.unit.crm.tenancy_table import Own

NO_STATE = {
    "DELETE /v1/sessions/{key}": "a session has none: it is there or gone",
    "DELETE /v1/jobs/{key}": "a job has none that an operator changes",
    "DELETE /v1/code-locks/{key}": "a lock has none: it is there or gone",
    "DELETE /v1/call-sounds/{key}": "a sound has none that an operator changes",
}
NO_KEY = {
    "POST /v1/login": "each login is a session of its own",
    "POST /v1/recorded-sounds": "a sound is named by its call and moment: sent again it is kept once",
}


@pytest.fixture
def own(town: Town, database: CrmDatabase, services: Services) -> Own:
    """A company with one object of each noun, and its admin."""
    return furnished_company(town, database, services)


@pytest.fixture
def operations(services: Services, database: CrmDatabase) -> dict[str, Operation]:
    """Every operation by `METHOD path`."""
    cache: Any = None
    return {
        f"{operation.method} {endpoint.plain_path}": operation
        for endpoint in declared(services, database, cache)
        for operation in endpoint.operations
    }


def asked(town: Town, api: Api, method: str, path: str, body: Any = None, **headers: str) -> Any:
    given = {**api._headers, **{name.replace("_", "-"): value for name, value in headers.items()}}
    path, _, query = path.partition("?")
    return town.client.simulate_request(method, path, query_string=query, json=body, headers=given)


def test_each_change_says_which_state_it_means_and_meets_no_other(
    town: Town, own: Own, database: CrmDatabase, operations: dict[str, Operation]
) -> None:
    changed = 0
    for name, body_of in CHANGES.items():
        method, _, path = name.partition(" ")
        if method not in {"PATCH", "PUT"} or name not in operations:
            continue
        assert "If-Match" in operations[name].headers, name
        api = town.platform if of_the_platform(path) else own.admin
        where, body = address(path, key_of(path, own) or {}), body_of(own)
        etag = asked(town, api, "GET", where).headers["ETag"]
        before = everything_kept(database)
        assert asked(town, api, method, where, body).status_code == 428, name
        assert asked(town, api, method, where, body, If_Match='"1-999999"').status_code == 412, name
        assert everything_kept(database) == before, name
        answer = asked(town, api, method, where, body, If_Match=etag)
        assert (answer.status_code, answer.headers["ETag"] == etag) == (200, False), f"{name}: {answer.text}"
        after = everything_kept(database)
        again = asked(town, api, method, where, body, If_Match=etag)
        assert (again.status_code, everything_kept(database) == after) == (412, True), name
        changed += 1
    assert changed == sum(name.startswith(("PATCH", "PUT")) for name in operations)


def test_each_removal_may_say_which_state_it_means(
    town: Town, own: Own, database: CrmDatabase, operations: dict[str, Operation]
) -> None:
    tried = set(NO_STATE)
    for deed in removals(own, town.platform):
        if deed.name in NO_STATE:
            continue
        tried.add(deed.name)
        api = town.platform if of_the_platform(deed.path) else own.admin
        before = everything_kept(database)
        answer = asked(town, api, "DELETE", deed.path, If_Match='"1-999999"')
        assert answer.status_code == 412, f"{deed.name}: {answer.status_code}"
        assert everything_kept(database) == before, deed.name
        etag = asked(town, api, "GET", deed.path).headers["ETag"]
        assert asked(town, api, "DELETE", deed.path, If_Match=etag).status_code == 204, deed.name
    assert tried == {name for name in operations if name.startswith("DELETE")}


def test_each_creation_is_made_once_however_often_it_is_sent(
    town: Town, own: Own, database: CrmDatabase, operations: dict[str, Operation]
) -> None:
    made = 0
    for name, operation in operations.items():
        method, _, path = name.partition(" ")
        if method != "POST" or not any(answer.status == 201 for answer in operation.answers):
            continue
        if name in NO_KEY:
            assert "Idempotency-Key" not in operation.headers, name
            continue
        assert "Idempotency-Key" in operation.headers, name
        api = town.platform if of_the_platform(path) else own.admin
        body, other = (
            platform_body(path, own, town.platform) if of_the_platform(path) else MAKES[path](own)[0] for _ in range(2)
        )
        first = asked(town, api, "POST", path, body, Idempotency_Key=f"key of {path}".replace(" ", "-"))
        assert first.status_code == 201, f"{name}: {first.text}"
        after = everything_kept(database)
        again = asked(town, api, "POST", path, body, Idempotency_Key=f"key of {path}".replace(" ", "-"))
        assert (again.status_code, again.json, again.headers.get("ETag")) == (
            201,
            first.json,
            first.headers.get("ETag"),
        )
        if body != other:
            another = asked(town, api, "POST", path, other, Idempotency_Key=f"key of {path}".replace(" ", "-"))
            assert another.json["type"] == "urn:entryphone:problem:idempotency-key-reused", name
        assert everything_kept(database) == after, name
        made += 1
    assert made > 25
