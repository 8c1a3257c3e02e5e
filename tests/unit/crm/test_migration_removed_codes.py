from __future__ import annotations

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

THIS = "m0033_removed_codes"
FILLED = (
    """INSERT INTO companies (id, name, language, active, ring_timeout_s, talk_limit_s, created_at_ms)
    VALUES (1, 'Homes', 'en', {true}, 30, 60, 1)""",
    "INSERT INTO houses (id, company_id, address) VALUES (1, 1, 'Lenina 1')",
    "INSERT INTO entrances (id, company_id, house_id, number) VALUES (1, 1, 1, 1)",
    """INSERT INTO accounts (id, company_id, account, kind, ha1, enabled, created_at_ms)
    VALUES (1, 1, 'p1', 'panel', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', {true}, 1)""",
    "INSERT INTO panels (id, company_id, account_id, name, driver) VALUES (1, 1, 1, 'Panel', 'beward')",
    """INSERT INTO access_codes (id, company_id, entrance_id, code_encrypted, code_hash, single_use, valid_from_ms,
        note, created_at_ms)
    VALUES (1, 1, 1, 'x', 'a', {false}, 1, '', 1), (2, 1, 1, 'x', 'b', {false}, 1, '', 1)""",
    """INSERT INTO panel_codes (id, company_id, panel_id, access_code_id, place, wanted, state, tries, set_at_ms)
    VALUES (4, 1, 1, 1, 1, 'present', 'done', 1, 9), (7, 1, 1, 2, 2, 'present', 'waiting', 3, NULL)""",
)


@pytest.fixture
def migrated_now(tmp_path: Path) -> Iterator[CrmDatabase]:
    """A database of the release before with codes on a panel, brought up to date."""
    for database in empty_database(tmp_path):
        make_release_before(database, THIS, FILLED)
        assert THIS in migrations.migrate(database)
        yield database


def kept(database: CrmDatabase) -> list[tuple[object, ...]]:
    return database.rows(
        "SELECT id, access_code_id, place, wanted, state, tries, next_try_ms, last_error, set_at_ms FROM panel_codes "
        "ORDER BY id"
    )


def test_what_was_known_of_panels_stays_and_outlives_its_codes(migrated_now: CrmDatabase) -> None:
    first, second = (4, 1, 1, "present", "done", 1, 0, None, 9), (7, 2, 2, "present", "waiting", 3, 0, None, None)
    assert kept(migrated_now) == [first, second]
    migrated_now.rows("DELETE FROM access_codes WHERE id = 1")
    assert kept(migrated_now) == [(4, None, *first[2:]), second]
    migrated_now.rows("DELETE FROM panels")
    assert kept(migrated_now) == []


@pytest.mark.parametrize("again", [(1, 5), (None, 2)])
def test_a_code_and_a_place_are_on_a_panel_once(migrated_now: CrmDatabase, again: tuple[int | None, int]) -> None:
    with pytest.raises(ConflictError), migrated_now.transaction():
        migrated_now.rows(
            "INSERT INTO panel_codes (company_id, panel_id, access_code_id, place, wanted, state) "
            "VALUES (1, 1, ?, ?, 'present', 'waiting')",
            again,
        )


def test_what_is_due_is_found_by_its_index(migrated_now: CrmDatabase) -> None:
    if migrated_now.dialect == "sqlite":
        plan = "EXPLAIN QUERY PLAN SELECT id FROM panel_codes WHERE"
        assert "panel_codes_due" in str(migrated_now.rows(f"{plan} state = 'waiting' AND next_try_ms <= 1"))
        assert "panel_codes_code" in str(migrated_now.rows(f"{plan} access_code_id IS NULL"))
        assert "panel_codes_company" in str(migrated_now.rows(f"{plan} company_id = 1 ORDER BY id"))
