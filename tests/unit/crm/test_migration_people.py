from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crm_api import migrations
from crm_api.domain.problems import ConflictError
from tests.unit.crm.conftest import empty_database

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.tables.database import CrmDatabase


@pytest.fixture
def released(tmp_path: Path) -> Iterator[CrmDatabase]:
    """A database of the first release with a company and a token of each kind."""
    for database in empty_database(tmp_path):
        database.peewee.execute_sql("CREATE TABLE migrations (name TEXT PRIMARY KEY)")
        name = "m0001_places_accounts_calls"
        module = __import__(f"crm_api.migrations.{name}", fromlist=["STATEMENTS"])
        with database.transaction():
            migrations._apply(database, name, module.STATEMENTS)
        database.rows(
            "INSERT INTO companies (id, name, language, active, ring_timeout_s, talk_limit_s, created_at_ms) "
            "VALUES (5, 'Homes', 'en', ?, 30, 120, 1)",
            (True,),
        )
        for token_id, kind, company_id in ((3, "platform", None), (7, "operator", 5), (8, "service", None)):
            database.rows(
                "INSERT INTO api_tokens (id, name, kind, company_id, token_hash, created_at_ms, revoked_at_ms) "
                "VALUES (?, ?, ?, ?, ?, 1, ?)",
                (token_id, f"the {kind}", kind, company_id, kind.ljust(64, "0"), 9 if kind == "service" else None),
            )
        yield database


def test_former_tokens_become_service_accounts_with_the_same_hash(released: CrmDatabase) -> None:
    applied = migrations.migrate(released)
    assert "m0003_people" in applied
    kept = released.rows(
        "SELECT p.name, p.role, p.all_companies, c.company_id, t.token_hash, t.revoked_at_ms FROM tokens t "
        "JOIN principals p ON p.id = t.principal_id LEFT JOIN principal_companies c ON c.principal_id = p.id "
        "ORDER BY p.id"
    )
    assert [(name, role, bool(everywhere), *more) for name, role, everywhere, *more in kept] == [
        ("the platform", "admin", True, None, "platform".ljust(64, "0"), None),
        ("the operator", "operator", False, 5, "operator".ljust(64, "0"), None),
        ("the service", "calls", True, None, "service".ljust(64, "0"), 9),
    ]


def test_the_next_principal_gets_an_id_of_its_own(released: CrmDatabase) -> None:
    migrations.migrate(released)
    released.rows(
        "INSERT INTO principals (kind, name, role, all_companies, enabled, created_at_ms) "
        "VALUES ('service_account', 'new', 'read_only', ?, ?, 1)",
        (True, True),
    )
    assert released.row("SELECT id FROM principals WHERE name = 'new'") == (9,)


@pytest.mark.parametrize("statement", ["UPDATE audit_log SET who = 'nobody'", "DELETE FROM audit_log"])
def test_the_database_itself_keeps_the_audit_log(database: CrmDatabase, statement: str) -> None:
    database.rows(
        "INSERT INTO audit_log (at_ms, who, action, noun, key) VALUES (1, 'Ann', 'create', 'house', '1')",
    )
    with pytest.raises(ConflictError, match="only ever added to"), database.transaction():
        database.rows(statement)
    assert database.rows("SELECT who FROM audit_log WHERE key = '1'") == [("Ann",)]
