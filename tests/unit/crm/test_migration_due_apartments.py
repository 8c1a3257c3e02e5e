from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

import pytest

from crm_api import migrations
from crm_api.domain.problems import ConflictError
from tests.unit.crm.conftest import empty_database
from tests.unit.crm.old_releases import make_release_before

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.tables.database import CrmDatabase

THIS = "m0031_due_apartments"
DAY_MS = 24 * 3_600_000
SOON = time.time_ns() // 1_000_000 + DAY_MS
LONG_OVER = SOON - 3 * DAY_MS
PENDING = (1, SOON, "numbers", '[["p1", "12"]]'), (2, SOON + 9, "company", "1")
FILLED = (
    """INSERT INTO companies (id, name, language, active, ring_timeout_s, talk_limit_s, created_at_ms)
    VALUES (1, 'Homes', 'en', {true}, 30, 60, 1)""",
    "INSERT INTO houses (id, company_id, address) VALUES (1, 1, 'Lenina 1')",
    "INSERT INTO entrances (id, company_id, house_id, number) VALUES (1, 1, 1, 1)",
    "INSERT INTO apartments (id, company_id, house_id, entrance_id, number) VALUES (1, 1, 1, 1, 12), (2, 1, 1, 1, 13)",
    "INSERT INTO residents (id, company_id, name, created_at_ms) VALUES (1, 1, 'Guest', 1), (2, 1, 'Owner', 1)",
    """INSERT INTO block_kinds (id, company_id, name, stops_calls, stops_opening)
    VALUES (1, 1, 'debt', {true}, {true})""",
)
HOME = "INSERT INTO residencies (company_id, resident_id, apartment_id, role, ends_at_ms) VALUES (1, ?, ?, ?, ?)"
HOMES = (1, 2, "guest", SOON), (1, 1, "guest", LONG_OVER), (2, 1, "owner", None)
BLOCK = """
INSERT INTO blocks (company_id, apartment_id, kind_id, reason, starts_at_ms, ends_at_ms, created_at_ms)
VALUES (1, 1, 1, 'r', ?, ?, 1)
"""
BLOCKS = (LONG_OVER, SOON), (SOON + 5, None)


@pytest.fixture
def before(tmp_path: Path) -> Iterator[CrmDatabase]:
    """A database of the release before, with what ends by itself and with rows that wait."""
    for database in empty_database(tmp_path):
        make_release_before(database, THIS, FILLED)
        with database.transaction():
            database.many(HOME, HOMES)
            database.many(BLOCK, BLOCKS)
            database.many(
                "INSERT INTO outbox (due_at_ms, scope, payload) VALUES (?, ?, ?)", [row[1:] for row in PENDING]
            )
        yield database


def test_what_is_to_end_waits_by_apartment_beside_the_rows_that_wait_already(before: CrmDatabase) -> None:
    assert THIS in migrations.migrate(before)
    rows = before.rows("SELECT id, due_at_ms, scope, payload FROM outbox ORDER BY id")
    assert tuple(rows[:2]) == PENDING
    added = [(due_at_ms, scope, json.loads(payload)) for _, due_at_ms, scope, payload in rows[2:]]
    assert added == [(SOON, "apartments", [1, 2]), (SOON + 5, "apartments", [1])]


def test_the_outbox_takes_no_other_scope(before: CrmDatabase) -> None:
    migrations.migrate(before)
    with pytest.raises(ConflictError), before.transaction():
        before.rows("INSERT INTO outbox (due_at_ms, scope, payload) VALUES (1, 'flat', '1')")


def test_a_due_row_is_found_by_its_index(before: CrmDatabase) -> None:
    migrations.migrate(before)
    if before.dialect == "sqlite":
        assert "outbox_due" in str(before.rows("EXPLAIN QUERY PLAN SELECT id FROM outbox WHERE due_at_ms <= 1"))
