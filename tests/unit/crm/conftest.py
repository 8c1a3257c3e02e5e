from __future__ import annotations

import contextlib
import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from uuid import uuid4

import falcon.testing
import psycopg
import pytest
from argon2 import PasswordHasher
from cryptography.fernet import Fernet
from hypothesis import HealthCheck

from crm_api.adapters.encryption import Encryption
from crm_api.adapters.password_hashing import PasswordHashing
from crm_api.app import create_app
from crm_api.bootstrap import Services, make_services
from crm_api.domain.outputs.base import Problem
from crm_api.migrations import migrate
from crm_api.resources.declaration import Served, problems_of
from crm_api.services.context import Context
from crm_api.services.delivery import Delivery
from crm_api.tables.database import CrmDatabase
from scheduler import probe_runner
from tests.unit.crm.code_panels import FakePanels
from tests.unit.crm.fakes import FakeCache, FakePanelDriver, FakeRegistrar
from tests.unit.crm.probe_world import World
from tests.unit.crm.served import Server, get

if TYPE_CHECKING:
    import http.client
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from crm_api.adapters.panel_drivers import PanelDriver


POSTGRES_URL = os.environ.get("ENTRYPHONE_TEST_POSTGRES_URL", "")
REALM = "entryphone.test"
OF_A_WHOLE_TOWN = (HealthCheck.function_scoped_fixture, HealthCheck.too_slow)
"""All examples have one database; a list of one's own lets Hypothesis judge by the machine's time again."""


@dataclass
class Clock:
    now: int = 1_790_000_000_000

    def __call__(self) -> int:
        self.now += 1
        return self.now


def empty_database(directory: Path) -> Iterator[CrmDatabase]:
    """A database of its own without a table, in that directory or on PostgreSQL."""
    if not POSTGRES_URL:
        database = CrmDatabase(f"sqlite:///{directory}/crm.db")
        yield database
        database.forget_connection()
        return
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(POSTGRES_URL, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE {name}".encode())
    try:
        database = CrmDatabase(_postgres_url(name))
        yield database
        database.forget_connection()
    finally:
        with psycopg.connect(POSTGRES_URL, autocommit=True) as admin:
            admin.execute(f"DROP DATABASE {name} WITH (FORCE)".encode())


def url_of(database: CrmDatabase) -> str:
    """Where a database of these tests is, for processes that open it, too."""
    place = database.peewee.database
    return _postgres_url(place) if POSTGRES_URL else f"sqlite:///{place}"


def seen_by_postgres(database: CrmDatabase, table: str) -> int | None:
    """How many rows PostgreSQL plans with; None of SQLite."""
    if database.dialect == "sqlite":
        return None
    (found,) = database.rows("SELECT reltuples FROM pg_class WHERE relname = ?", (table,))
    return int(found[0])


def _postgres_url(name: str) -> str:
    return POSTGRES_URL.rpartition("/")[0] + f"/{name}"


class Migrated:
    """A database with all tables and no rows, made once: SQLite's file is copied for each test, PostgreSQL's emptied.

    PostgreSQL takes 0.3 s to make a database even from a template, and some milliseconds to delete what a test left.
    """

    def __init__(self, place: str) -> None:
        """Note the path of the file, or PostgreSQL's name of the database; there, find out what must be emptied."""
        self.place = place
        if not POSTGRES_URL:
            return
        self._admin = psycopg.connect(_postgres_url(place), autocommit=True)
        rows = self._admin.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'public' ORDER BY 1").fetchall()
        tables = [table for (table,) in rows]
        filled = [table for table in tables if self._admin.execute(f"TABLE {table} LIMIT 1".encode()).fetchone()]
        assert filled == ["migrations"], "a migration fills a table: keep its rows here, too"
        counters = self._admin.execute("SELECT sequencename FROM pg_sequences WHERE schemaname = 'public'").fetchall()
        self._admin.execute("SET lock_timeout = '5s'")
        self._admin.execute("SET session_replication_role = replica")  # foreign keys would want an order, and cost
        statements = [f"DELETE FROM {table}" for table in tables if table not in filled]  # noqa: S608 - of the catalogue
        statements += [f"ALTER SEQUENCE {counter} RESTART" for (counter,) in counters]
        self._emptying = ";".join(statements).encode()

    def empty(self) -> None:
        """Delete what a test left."""
        self._admin.execute(self._emptying)

    def close(self) -> None:
        """Leave PostgreSQL."""
        if POSTGRES_URL:
            self._admin.close()


@pytest.fixture(scope="session")
def migrated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Migrated]:
    directory = tmp_path_factory.mktemp("migrated")
    for database in empty_database(directory):
        migrate(database)
        if not POSTGRES_URL:
            database.rows("PRAGMA wal_checkpoint(TRUNCATE)")
        database.forget_connection()
        template = Migrated(database.peewee.database if POSTGRES_URL else str(directory / "crm.db"))
        yield template
        template.close()


@pytest.fixture
def database(tmp_path: Path, migrated: Migrated) -> Iterator[CrmDatabase]:
    if not POSTGRES_URL:
        shutil.copy(migrated.place, tmp_path / "crm.db")
        yield from empty_database(tmp_path)
        return
    database = CrmDatabase(_postgres_url(migrated.place))
    yield database
    database.forget_connection()
    migrated.empty()


@pytest.fixture
def statements(database: CrmDatabase, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The statements that read rows, from now on."""
    read: list[str] = []
    rows = database.rows

    def listen(sql: str, *more: Any) -> Any:
        read.append(sql)
        return rows(sql, *more)

    monkeypatch.setattr(database, "rows", listen)
    return read


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def context(database: CrmDatabase, clock: Clock) -> Context:
    quick = PasswordHashing(PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    return Context(database, REALM, Encryption(Fernet.generate_key()), clock, quick)


@pytest.fixture
def driver() -> FakePanelDriver:
    return FakePanelDriver()


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    """Where recordings of probes are."""
    directory = tmp_path / "probes"
    directory.mkdir()
    return directory


@pytest.fixture
def registrar() -> FakeRegistrar:
    return FakeRegistrar()


@pytest.fixture
def services(context: Context, driver: FakePanelDriver, recordings: Path, registrar: FakeRegistrar) -> Services:
    drivers: dict[str, PanelDriver] = {"beward": driver, "generic": driver}
    address = "sip.door.example:5060"
    return make_services(
        context, drivers, "https://door.example", address, registrar=registrar, probe_recordings=recordings
    )


@pytest.fixture
def cache() -> FakeCache:
    return FakeCache()


@pytest.fixture
def delivery(context: Context, cache: FakeCache) -> Delivery:
    return Delivery(context, cache)


def must_be_as_declared(client: falcon.testing.TestClient, method: str, path: str, answer: Any) -> None:
    """Hold an answer against what its operation declares: status, body, kind of problem."""
    route = client.app._router.find(path.partition("?")[0])
    served = route[0] if route else None
    operation = served.operations.get(method) if isinstance(served, Served) else None
    if operation is None or not isinstance(served, Served):
        assert answer.status_code in {404, 405}
        return
    what = f"{method} {path}: {answer.status_code} {answer.text}"
    if answer.status_code in operation.outcomes:
        operation.outcomes[answer.status_code][1].model_validate(answer.json)
    elif answer.status_code >= 400:
        problem = Problem.model_validate(answer.json)
        assert problem.type.rpartition(":")[2] in problems_of(operation, served.endpoint), what
    else:
        declared = next(a for a in operation.answers if a.status == answer.status_code)
        if declared.document is None:
            assert declared.media_types or not answer.content, what
        elif declared.is_page:
            assert set(answer.json) == {"items", "next"}, what
            for item in answer.json["items"]:
                declared.document.model_validate(item)
        else:
            declared.document.model_validate(answer.json)
            for header in declared.headers:
                assert header in answer.headers, what


class Api:
    """The application called with one token."""

    def __init__(self, client: falcon.testing.TestClient, token: str) -> None:
        self._client = client
        self._headers = {"Authorization": f"Bearer {token}"}

    def __call__(
        self, method: str, path: str, body: Any = None, expect: int | None = None, if_match: str | None = "*"
    ) -> Any:
        answer = self._client.simulate_request(
            method,
            path.partition("?")[0],
            query_string=path.partition("?")[2],
            headers=self._headers | ({"If-Match": if_match} if method in {"PATCH", "PUT"} and if_match else {}),
            json=body,
        )
        allowed = {200, 201, 202, 204} if expect is None else {expect}
        assert answer.status_code in allowed, (method, path, answer.status_code, answer.text)
        must_be_as_declared(self._client, method, path, answer)
        return answer.json if answer.content else None


@dataclass
class Town:
    """A small town made over REST: one entrance panel by DTMF, one gate by HTTP, a few apartments."""

    platform: Api
    service: Api
    client: falcon.testing.TestClient
    company: int
    house: int
    second_house: int
    entrance: int
    apartment: int
    neighbour: int
    passwords: dict[str, str]

    def plan(self, panel: str, dialled: str) -> Any:
        return self.service("GET", f"/v1/ring-plans/{panel}/{dialled}")


@pytest.fixture
def client(services: Services, database: CrmDatabase, cache: Any) -> falcon.testing.TestClient:
    return falcon.testing.TestClient(create_app(services, database, cache))


@pytest.fixture
def town(services: Services, client: falcon.testing.TestClient) -> Town:
    api = Api(client, services.tokens.create("test", "platform"))
    passwords: dict[str, str] = {}

    def account(name: str, kind: str, **more: Any) -> None:
        made = api("POST", "/v1/accounts", {"account": name, "kind": kind, **more})
        passwords[name] = made["password"]

    account("dispatch", "trunk")
    city = api("POST", "/v1/cities", {"name": "Riverside", "dispatch_account": "dispatch"})["id"]
    company = api("POST", "/v1/companies", {"name": "Homes", "city_id": city, "ring_timeout_s": 25})["id"]
    house = api("POST", "/v1/houses", {"company_id": company, "address": "Lenina 1", "city_id": city})["id"]
    second = api("POST", "/v1/houses", {"company_id": company, "address": "Sadovaya 7"})["id"]
    entrance = api("POST", "/v1/entrances", {"house_id": house, "number": 1})["id"]
    other = api("POST", "/v1/entrances", {"house_id": second, "number": 1})["id"]
    apartment = api("POST", "/v1/apartments", {"entrance_id": entrance, "number": 12})["id"]
    neighbour = api("POST", "/v1/apartments", {"entrance_id": entrance, "number": 13})["id"]
    api("POST", "/v1/apartments", {"entrance_id": other, "number": 12})
    account("h12", "handset", apartment_id=apartment)
    account("a12", "app", apartment_id=apartment)
    account("h13", "handset", apartment_id=neighbour)
    account("p1", "panel", company_id=company)
    account("p2", "panel", company_id=company)
    api(
        "POST",
        "/v1/panels",
        {
            "account": "p1",
            "name": "Lenina 1, entrance 1",
            "places": [{"entrance_id": entrance}],
            "doors": [{"method": "dtmf", "dtmf": "7"}],
        },
    )
    api(
        "POST",
        "/v1/panels",
        {
            "account": "p2",
            "name": "Gate",
            "driver": "beward",
            "address": "127.0.1.2",
            "credentials": {"user": "admin", "password": "secret"},
            "places": [{"house_id": house, "code": "21"}, {"house_id": second, "code": "22"}],
            "doors": [{"method": "http", "output": 2}],
        },
    )
    service = Api(client, services.tokens.create("agi", "service"))
    return Town(api, service, client, company, house, second, entrance, apartment, neighbour, passwords)


@pytest.fixture
def world(town: Town, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    """A campaign of probes, and a scheduler that does not wait between its looks, but for its plans."""
    monkeypatch.setattr(probe_runner, "STEP_S", 0.02)
    monkeypatch.setattr(probe_runner, "LOOK_S", 0.01)
    monkeypatch.setattr(probe_runner, "PLANNED_AT_ONCE_S", 10.0)
    return World(town, services, tmp_path)


@pytest.fixture
def panels() -> FakePanels:
    return FakePanels()


@pytest.fixture
def beward(town: Town) -> str:
    """Make the entrance's panel one that keeps codes, and a second one beside it; return the addresses."""
    town.platform("PATCH", "/v1/panels/1", {"driver": "beward", "address": "10.0.0.1"})
    return "10.0.0.1"


@pytest.fixture
def server(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Server]:
    """The server; with a parameter it waits so many seconds for its clients, else one."""
    server = Server(tmp_path, getattr(request, "param", 1.0))
    try:
        with contextlib.closing(server.connect()) as first:
            get(first, "/now")
        yield server
    finally:
        server.process.kill()
        server.process.wait()


@pytest.fixture
def connect(server: Server) -> Iterator[Callable[[], http.client.HTTPConnection]]:
    with contextlib.ExitStack() as closing:

        def connect() -> http.client.HTTPConnection:
            connection = server.connect()
            closing.callback(connection.close)
            return connection

        yield connect
