from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

import falcon.testing
import pytest
from cryptography.fernet import Fernet

from crm_api import migrations
from crm_api.adapters.encryption import Encryption
from crm_api.app import create_app
from crm_api.bootstrap import make_services
from crm_api.domain.problems import ConflictError
from crm_api.services.context import Context
from tests.unit.crm.conftest import REALM, Api, Clock, empty_database
from tests.unit.crm.fakes import FakeCache, FakePanelDriver

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.tables.database import CrmDatabase

FILLED = (
    """INSERT INTO companies (id, name, language, active, ring_timeout_s, talk_limit_s, created_at_ms)
    VALUES (1, 'Homes', 'en', {true}, 30, 60, 1)""",
    "INSERT INTO houses (id, company_id, address) VALUES (1, 1, 'Lenina 1')",
    "INSERT INTO entrances (id, company_id, house_id, number) VALUES (1, 1, 1, 1)",
    "INSERT INTO apartments (id, company_id, house_id, entrance_id, number) VALUES (1, 1, 1, 1, 12)",
    """INSERT INTO accounts (company_id, apartment_id, account, kind, ha1, enabled, created_at_ms)
    VALUES (1, 1, 'h12', 'handset', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', {true}, 1),
    (1, NULL, 'p1', 'panel', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', {true}, 1),
    (1, NULL, 'gone', 'panel', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', {true}, 1)""",
    "DELETE FROM accounts WHERE account = 'gone'",
    "INSERT INTO panels (id, company_id, account_id, name, driver) VALUES (1, 1, 2, 'Panel', 'beward')",
    "INSERT INTO panel_places (panel_id, company_id, house_id, entrance_id, code) VALUES (1, 1, 1, 1, '')",
    "INSERT INTO doors (company_id, panel_id, output, name, method, dtmf) VALUES (1, 1, 1, 'Door', 'dtmf', '1')",
    "INSERT INTO ring_plans (id, company_id, apartment_id, name) VALUES (1, 1, 1, 'Plan')",
    "INSERT INTO ring_stages (id, plan_id, position, ring_timeout_s) VALUES (1, 1, 0, 9)",
    "INSERT INTO ring_targets (stage_id, position, account_id) VALUES (1, 0, 1)",
    "INSERT INTO call_records (call_id, company_id, apartment_id, started_at_ms) VALUES ('c', 1, 1, 5)",
)


def first_release(database: CrmDatabase) -> None:
    """Make the tables of the first release, with something in them."""
    database.peewee.execute_sql("CREATE TABLE migrations (name TEXT PRIMARY KEY)")
    first = "m0001_places_accounts_calls"
    with database.peewee.atomic():
        migrations._apply(database, first, importlib.import_module(f"crm_api.migrations.{first}").STATEMENTS)
    for statement in FILLED:
        database.rows(migrations.spelled(statement, database.dialect))


@pytest.fixture
def filled(tmp_path: Path) -> Iterator[CrmDatabase]:
    """A database of the first release with something in it, brought up to date."""
    for database in empty_database(tmp_path):
        first_release(database)
        assert "m0004_fund" in migrations.migrate(database)
        yield database


def rows_of(database: CrmDatabase) -> dict[str, list[dict[str, object]]]:
    """Every row of every table, by column."""
    if database.dialect == "sqlite":
        names = database.rows("SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
    else:
        names = database.rows("SELECT tablename FROM pg_tables WHERE schemaname = current_schema()")
    found = {}
    for (name,) in names:
        cursor = database.peewee.execute_sql(f"SELECT * FROM {name}")  # noqa: S608 - of the catalogue
        columns = [column[0] for column in cursor.description]
        found[name] = [dict(zip(columns, row, strict=True)) for row in cursor.fetchall()]
    return found


def test_every_row_of_the_first_release_is_there_afterwards(tmp_path: Path) -> None:
    for database in empty_database(tmp_path):
        first_release(database)
        before = rows_of(database)
        migrations.migrate(database)
        after = rows_of(database)
        filled_tables = {table for table, rows in before.items() if rows} - {"migrations"}
        assert len(filled_tables) == len({statement.split()[2] for statement in FILLED if "INSERT" in statement})
        for table in filled_tables:
            kept = [{column: row[column] for column in before[table][0] if column in row} for row in after[table]]
            for row in before[table]:
                shared = {column: value for column, value in row.items() if column in after[table][0]}
                assert shared in kept, f"{table}: {row}"
        assert migrations.migrate(database) == []


def test_the_apartment_of_the_first_release_rings_and_opens(filled: CrmDatabase) -> None:
    context = Context(filled, REALM, Encryption(Fernet.generate_key()), Clock())
    services = make_services(context, {"beward": FakePanelDriver()})
    cache: Any = FakeCache()
    calls = Api(
        falcon.testing.TestClient(create_app(services, filled, cache)), services.tokens.create("agi", "service")
    )
    plan = calls("GET", "/v1/ring-plans/p1/12")
    assert [target["account"] for stage in plan["stages"] for target in stage["targets"]] == ["h12"]
    wish = {"call_id": "c9", "panel": "p1", "dialled": "12", "account": "h12"}
    assert calls("POST", "/v1/door-openings", wish)["door"]["dtmf"] == "1"


def test_tables_that_are_made_anew_keep_their_rows_and_ids(filled: CrmDatabase) -> None:
    assert filled.rows("SELECT id, account, apartment_id FROM accounts ORDER BY id") == [(1, "h12", 1), (2, "p1", None)]
    assert filled.rows("SELECT panel_id, output, dtmf FROM doors") == [(1, 1, "1")]
    assert filled.rows("SELECT stage_id, account_id FROM ring_targets") == [(1, 1)]
    assert filled.rows("SELECT on_refusal FROM ring_stages") == [("next",)]
    assert filled.rows("SELECT house_id FROM call_records") == [(1,)]
    assert filled.rows("SELECT account FROM kamailio_accounts ORDER BY account") == [("h12",), ("p1",)]


def test_an_id_that_was_given_once_is_not_given_again(filled: CrmDatabase) -> None:
    filled.rows(
        migrations.spelled(
            """INSERT INTO accounts (company_id, account, kind, ha1, enabled, created_at_ms)
            VALUES (1, 'new', 'panel', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', {true}, 1)""",
            filled.dialect,
        )
    )
    assert filled.rows("SELECT id FROM accounts WHERE account = 'new'") == [(4,)]


def test_references_hold_again_after_the_migration(filled: CrmDatabase) -> None:
    with pytest.raises(ConflictError), filled.transaction():
        filled.rows("DELETE FROM accounts WHERE account = 'p1'")
    filled.rows("DELETE FROM accounts WHERE account = 'h12'")
    assert filled.rows("SELECT * FROM ring_targets") == []


PHONE = "INSERT INTO accounts (company_id, apartment_id, account, kind, ha1, phone, enabled, created_at_ms) VALUES "
KEY = "INSERT INTO rfid_keys (company_id, number, scope, house_id, apartment_id, enabled, note, created_at_ms) VALUES "
DOOR = "INSERT INTO doors (company_id, panel_id, output, name, method) VALUES "
CODE = (
    "INSERT INTO access_codes (company_id, code_encrypted, code_hash, single_use, valid_from_ms, note, created_at_ms)"
)


@pytest.mark.parametrize(
    "statement",
    [
        PHONE + "(1, 1, 'x1', 'phone', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', '+79123456789', {true}, 1)",
        PHONE + "(1, 1, 'x2', 'phone', NULL, NULL, {true}, 1)",
        PHONE + "(1, 1, 'x3', 'app', NULL, NULL, {true}, 1)",
        PHONE + "(1, NULL, 'x4', 'phone', NULL, '+79123456789', {true}, 1)",
        "INSERT INTO panels (company_id, account_id, name, driver) VALUES (1, 2, 'Twice', 'beward')",
        "INSERT INTO apartments (company_id, house_id, entrance_id, number) VALUES (1, 1, 1, 12)",
        DOOR + "(1, 1, 2, 'Door', 'relay')",
        DOOR + "(1, NULL, 2, 'Door', 'http')",
        KEY + "(1, 'C688AC', 'house', NULL, NULL, {true}, '', 1)",
        KEY + "(1, 'C688AC', 'house', 1, 1, {true}, '', 1)",
        CODE + " VALUES (1, 'x', 'y', {true}, 1, '', 1)",
    ],
)
def test_the_database_itself_refuses_what_must_never_be(filled: CrmDatabase, statement: str) -> None:
    with pytest.raises(ConflictError), filled.transaction():
        filled.rows(migrations.spelled(statement, filled.dialect))
