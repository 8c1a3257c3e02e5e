"""A company can neither see nor guess what another one has: every operation of the application is tried.

Two companies get one object of each noun. The stranger, an admin of the other company, then tries to reach them.
"""

from __future__ import annotations

import copy
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import urlencode

import falcon.testing
import pytest
from cryptography.fernet import Fernet

from crm_api.adapters.encryption import Encryption
from crm_api.app import create_app, declared
from crm_api.bootstrap import make_services
from crm_api.migrations import migrate
from crm_api.openapi import document_text
from crm_api.services.context import Context
from tests.unit.crm.conftest import REALM, Api, Clock, empty_database
from tests.unit.crm.fakes import FakeCache, FakePanelDriver, FakeRegistrar
from tests.unit.crm.furnished import address, admin_of, everything_kept, furnish, key_of, upload
from tests.unit.crm.tenancy_table import (
    CHOOSES_A_NAME,
    CREATES_BY_UPLOAD,
    KEYS,
    MAKES,
    NO_REFERENCES,
    NOT_OF_COMPANIES,
    REFERENCES,
    UPLOADS,
    Own,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.tables.database import CrmDatabase

OPERATIONS = [
    (f"{method.upper()} {path}", path, method.upper())
    for path, methods in json.loads(document_text())["paths"].items()
    for method in methods
]
TRIED = [pytest.param(path, method, id=name) for name, path, method in OPERATIONS if name not in NOT_OF_COMPANIES]
MISSING = {int: 987_654_321, str: "nobody-has-this"}


@dataclass
class World:
    """Two companies, each with one object of each noun."""

    client: falcon.testing.TestClient
    database: CrmDatabase
    stranger: Own
    victim: Own
    seen_alone: dict[str, str]
    seen_beside: dict[str, str]
    """Answers to the stranger before the other company had anything, and after."""
    declared: dict[tuple[str, str], Any]

    def ask(self, method: str, path: str, body: Any = None, raw: bytes | None = None) -> Any:
        """Ask as the stranger."""
        if raw is not None:
            return upload(self.client, self.stranger, path, raw)
        headers = {**self.stranger.admin._headers, "If-Match": "*"}
        return self.client.simulate_request(
            method, path.partition("?")[0], query_string=path.partition("?")[2], headers=headers, json=body
        )

    def state(self) -> dict[str, list[str]]:
        """Return all that is kept, but for the time when a token was used last."""
        return everything_kept(self.database)


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    for database in empty_database(tmp_path_factory.mktemp("tenancy")):
        migrate(database)
        driver = FakePanelDriver()
        context = Context(database, REALM, Encryption(Fernet.generate_key()), Clock())
        recordings = tmp_path_factory.mktemp("probes")
        services = make_services(
            context, {"beward": driver, "generic": driver}, registrar=FakeRegistrar(), probe_recordings=recordings
        )
        cache: Any = FakeCache()
        client = falcon.testing.TestClient(create_app(services, database, cache))
        platform = Api(client, services.tokens.create("platform", "platform"))
        owners = []
        for name in ("stranger", "victim"):
            company = platform("POST", "/v1/companies", {"name": name})["id"]
            owners.append(Own(name, company, admin_of(client, database, services, name)))
        operations: dict[tuple[str, str], Any] = {
            (endpoint.plain_path, operation.method): operation
            for endpoint in declared(services, database, cache)
            for operation in endpoint.operations
        }
        furnish(client, owners[0], database)
        world = World(client, database, owners[0], owners[1], {}, {}, operations)
        lists = [path for path, method in operations if method == "GET" and "{" not in path]
        world.seen_alone |= {path: world.ask("GET", path).text for path in lists}
        furnish(client, owners[1], database)
        for owner in owners:
            (recordings / f"{owner['probe-calls']}.wav").write_bytes(b"RIFF of " + owner.name.encode())
        world.seen_beside |= {path: world.ask("GET", path).text for path in lists}
        yield world


def references_in(schema_model: Any) -> set[str]:
    """Return the names of all fields of a model, at any depth, that refer to something of a company."""
    schema = schema_model.model_json_schema()
    names: set[str] = set()
    for part in (schema, *schema.get("$defs", {}).values()):
        names |= set(part.get("properties", {}))
    suspicious = {n for n in names if n.endswith("_id") and n not in NO_REFERENCES and n != "call_id"}
    unknown = suspicious - set(REFERENCES)
    assert not unknown, f"{schema_model.__name__}: say in REFERENCES of the tenancy table what {unknown} refer to"
    return names & set(REFERENCES)


def with_others(body: Any, victim: Own, path: str = "") -> Iterator[tuple[str, Any]]:
    """Yield (field, body) for each reference in a body, with the other company's thing in its place."""
    found: list[tuple[Any, ...]] = []

    def walk(part: Any, place: tuple[Any, ...]) -> None:
        if isinstance(part, dict):
            for name, value in part.items():
                if name in REFERENCES and (path, name) not in CHOOSES_A_NAME:
                    found.append((*place, name))
                else:
                    walk(value, (*place, name))
        elif isinstance(part, list):
            for position, value in enumerate(part):
                walk(value, (*place, position))

    walk(body, ())
    for place in found:
        changed = copy.deepcopy(body)
        part = changed
        for step in place[:-1]:
            part = part[step]
        value = REFERENCES[place[-1]](victim)
        if place[-1] == "account" and path in {"/v1/panels", "/v1/concierge-desks"}:
            value = victim.panel_account() if path == "/v1/panels" else victim.concierge()
        part[place[-1]] = value
        yield ".".join(map(str, place)), changed


def refused(world: World, method: str, path: str, body: Any) -> None:
    """Ask, and expect a refusal that changes nothing and tells nothing of the other company."""
    before = world.state()
    answer = world.ask(method, path, body)
    assert answer.status_code in {403, 404, 422}, f"{method} {path} {body}: {answer.status_code} {answer.text}"
    assert world.state() == before, f"{method} {path} {body} changed something"
    assert "victim" not in answer.text or "victim" in str(body) + path


@pytest.mark.parametrize(("path", "method"), TRIED)
def test_nothing_of_another_company_can_be_reached(world: World, path: str, method: str) -> None:
    operation = world.declared[path, method]
    if "{" in path:
        try_key(world, path, method, operation)
    elif method == "GET":
        try_list(world, path, operation)
    elif operation.upload:
        try_upload(world, path)
    else:
        try_references(world, path, operation)


def try_key(world: World, path: str, method: str, operation: Any) -> None:
    theirs, ours = key_of(path, world.victim), key_of(path, world.stranger)
    assert theirs is not None, "say in KEYS or MAKES of the tenancy table how an object is named here"
    assert ours is not None
    missing = {name: MISSING[type(value)] for name, value in theirs.items()}
    body = None if operation.body is None else operation.body.EXAMPLE
    before = world.state()
    answer = world.ask(method, address(path, theirs), body)
    assert answer.status_code == 404, f"{answer.status_code} {answer.text}"
    assert world.state() == before, "it was refused, yet something changed"
    told, told_of_none = answer.text, world.ask(method, address(path, missing), body).text
    for name in theirs:
        told = re.sub(rf"\b{re.escape(str(theirs[name]))}\b", "KEY", told)
        told_of_none = told_of_none.replace(str(missing[name]), "KEY")
    assert told == told_of_none, "what another company has is told apart from what nobody has"
    if operation.query is not None:
        for name in references_in(operation.query):
            query = urlencode({name: REFERENCES[name](world.victim)})
            assert_empty(world.ask("GET", f"{address(path, ours)}?{query}"))
    if method == "GET":
        assert world.ask(method, address(path, ours)).status_code == 200, "its own must be reached by this address"
    if operation.body is not None:
        bodies = [{name: REFERENCES[name](world.victim)} for name in references_in(operation.body)]
        for other in bodies:
            if any((path.rpartition("/{")[0], name) in CHOOSES_A_NAME for name in other):
                continue
            if set(other) & set(operation.body.model_fields):
                refused(world, method, address(path, ours), {**_needed(operation.body), **other})


def _needed(model: Any) -> dict[str, Any]:
    """Return the fields of the example that must be there."""
    return {n: model.EXAMPLE[n] for n, f in model.model_fields.items() if f.is_required() and n in model.EXAMPLE}


def try_list(world: World, path: str, operation: Any) -> None:
    assert world.ask("GET", path).status_code in {200, 422}
    assert world.seen_beside[path] == world.seen_alone[path], "what another company made is seen"
    if operation.query is None:
        return
    for name in references_in(operation.query):
        value = REFERENCES[name](world.victim)
        assert_empty(world.ask("GET", f"{path}?{urlencode({name: value})}"))


def assert_empty(answer: Any) -> None:
    if answer.status_code == 200 and answer.headers["content-type"].startswith("application/json"):
        assert answer.json["items"] == [], answer.text
    elif answer.status_code == 200:
        assert len(answer.text.splitlines()) <= 1, answer.text  # a CSV's head
    else:
        assert answer.status_code in {404, 422}, answer.text


def try_upload(world: World, path: str) -> None:
    assert path in UPLOADS, "say in UPLOADS of the tenancy table which file is sent here"
    ours, theirs = UPLOADS[path](world.stranger), UPLOADS[path](world.victim)
    before = world.state()
    answer = world.ask("POST", f"{path}?company_id={world.victim.company}", raw=ours.encode())
    assert answer.status_code == 404, answer.text
    assert world.state() == before
    if path not in CREATES_BY_UPLOAD:
        answer = world.ask("POST", path, raw=theirs.encode())
        assert answer.status_code == 200, answer.text
        assert answer.json["state"] == "failed", answer.text
        assert answer.json["result"]["problems"], answer.text
        after = world.state()
        assert {name for name in after if after[name] != before[name]} <= {"jobs", "audit_log"}
    done = world.ask("POST", path, raw=ours.encode())
    assert done.json["state"] == "done", f"its own file is refused for another reason: {done.text}"


def try_references(world: World, path: str, operation: Any) -> None:
    assert path in MAKES, "say in MAKES of the tenancy table how this is made"
    missing = {name for name in references_in(operation.body) if (path, name) not in CHOOSES_A_NAME}
    for body in MAKES[path](world.stranger):
        for field, changed in with_others(body, world.victim, path):
            missing.discard(field.rpartition(".")[2])
            refused(world, "POST", path, changed)
        again = world.ask("POST", path, body)
        assert again.status_code in {200, 201, 202, 409}, f"{body} is refused for another reason: {again.text}"
    assert not missing, f"no body in MAKES of the tenancy table has {missing}"


def test_the_table_has_no_line_for_what_is_not_there() -> None:
    names = {name for name, _, _ in OPERATIONS}
    assert set(NOT_OF_COMPANIES) <= names
    assert set(MAKES) <= {path for _, path, method in OPERATIONS if method == "POST"}
    assert set(KEYS) <= {path for _, path, _ in OPERATIONS}
