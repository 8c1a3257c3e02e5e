"""Every body of every operation is spoilt in every way: a clear problem each, and the database is as it was."""

from __future__ import annotations

import copy
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from crm_api.app import declared
from tests.unit.crm.furnished import address, admin_of, everything_kept, furnish, furnish_platform, key_of
from tests.unit.crm.tenancy_table import MAKES, Own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town

SCRIPT = '\'; DROP TABLE houses; -- <script>alert("1")</script> {{7*7}} %s ${x} ../../etc'
LONG = "x" * 5000
SECRET = frozenset({"password", "current", "token", "credentials"})


SAYS_NOT_WHAT = frozenset({"/v1/login", "/v1/me/password"})
"""Any text may be tried as a login or a password; attempts are counted, and nobody learns what was wrong."""


def state(context: Context) -> dict[str, list[str]]:
    kept = everything_kept(context.database)
    return {table: rows for table, rows in kept.items() if table != "login_attempts"}


class Asked(NamedTuple):
    """One operation with a body that is right."""

    method: str
    path: str
    body: dict[str, Any]
    of_calls: bool
    """Asked by the call path alone; its answers say what to do, and not what was told."""


def places_in(body: Any, place: tuple[Any, ...] = ()) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield every value in a body with its place, the body itself first."""
    yield place, body
    parts = body.items() if isinstance(body, dict) else enumerate(body) if isinstance(body, list) else ()
    for step, part in parts:
        yield from places_in(part, (*place, step))


def replaced(body: Any, place: tuple[Any, ...], value: Any) -> Any:
    if not place:
        return value
    changed = copy.deepcopy(body)
    part = changed
    for step in place[:-1]:
        part = part[step]
    part[place[-1]] = value
    return changed


def wrong_ones(body: dict[str, Any]) -> Iterator[tuple[tuple[Any, ...], Any]]:
    """Yield (place of what is wrong, body)."""
    for place, value in places_in(body):
        wrong: list[Any] = []
        if isinstance(value, bool):
            wrong = ["yes", 2, None, []]
        elif isinstance(value, int):
            wrong = ["1; DROP TABLE houses", 1.5, True, 10**30, -(10**30), {}]
        elif isinstance(value, str):
            wrong = [12, True, [], {}, LONG, "nul\0here"]
        elif isinstance(value, list):
            wrong = [{}, "x", 7]
        elif isinstance(value, dict):
            wrong = [[], "x", 7]
            yield (*place, "colour"), replaced(body, (*place, "colour"), "red")
        for other in wrong:
            yield place, replaced(body, place, other)


@pytest.fixture
def asked(town: Town, services: Services, database: CrmDatabase) -> list[Asked]:
    """Every operation that takes a JSON body, with bodies that are right."""
    own = Own("some", town.company, admin_of(town.client, database, services, "Homes"))
    furnish(town.client, own, database)
    furnish_platform(town.platform, own)
    operations = []
    cache: Any = None
    for endpoint in declared(services, database, cache):
        for operation in endpoint.operations:
            if operation.body is None:
                continue
            path = endpoint.plain_path
            bodies = MAKES[path](own) if path in MAKES else [operation.body.EXAMPLE]
            where = address(path, key_of(path, own) or {})
            of_calls = operation.allowed is not None and "admin" not in operation.allowed
            operations += [Asked(operation.method, where, body, of_calls) for body in bodies]
    return operations


def ask(town: Town, asked: Asked, body: Any) -> Any:
    client = town.service if asked.of_calls else town.platform
    headers = {**client._headers, "If-Match": "*"}
    return town.client.simulate_request(asked.method, asked.path, json=body, headers=headers)


def test_what_is_wrong_is_told_and_changes_nothing(town: Town, asked: list[Asked], context: Context) -> None:
    assert len({operation.path for operation in asked}) > 30
    before = state(context)
    tried = 0
    for operation in asked:
        for place, body in wrong_ones(operation.body):
            answer = ask(town, operation, body)
            told = f"{operation.method} {operation.path} {place}: {answer.status_code} {answer.text[:500]}"
            if operation.path in SAYS_NOT_WHAT and answer.status_code in {401, 422}:
                continue
            assert answer.status_code == 422, told
            assert answer.headers["content-type"] == "application/problem+json", told
            named = {error["field"] for error in answer.json["errors"]}
            where = ".".join(map(str, place)) or "body"
            assert any(name.startswith(where) or where.startswith(name) for name in named), told
            assert all(error["remedy"] for error in answer.json["errors"]), told
            tried += 1
        assert state(context) == before, f"{operation.method} {operation.path} changed something"
    assert tried > 1000


def test_sql_and_script_are_text_or_refused(town: Town, asked: list[Asked], context: Context) -> None:
    taken = set()
    tables = set(everything_kept(context.database))
    for operation in asked:
        for place, value in places_in(operation.body):
            if not isinstance(value, str):
                continue
            before = state(context)
            answer = ask(town, operation, replaced(operation.body, place, SCRIPT))
            told = f"{operation.method} {operation.path} {place}: {answer.status_code} {answer.text[:500]}"
            assert answer.status_code < 500, told
            assert answer.headers["content-type"].startswith("application/"), told
            if answer.status_code >= 400:
                assert state(context) == before, told
                continue
            name = next(step for step in reversed(place) if isinstance(step, str))
            taken.add(name)
            if name not in SECRET and not operation.of_calls:
                assert SCRIPT in _texts(answer.json), told
    assert {"name", "address", "note", "reason"} <= taken
    assert set(everything_kept(context.database)) == tables


def _texts(document: Any) -> set[str]:
    return {value for _, value in places_in(document) if isinstance(value, str)}
