"""What was recorded before of openings is found by house, and keeps the number of its key."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crm_api import migrations
from tests.unit.crm.conftest import empty_database
from tests.unit.crm.lock_waits import done_beside
from tests.unit.crm.old_releases import make_release_before

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from crm_api.tables.database import CrmDatabase

FIRST, LAST = "m0041_openings_told_whole", "m0046_houses_of_openings"
FILLED = (
    """INSERT INTO companies (id, name, language, active, ring_timeout_s, talk_limit_s, created_at_ms)
    VALUES (1, 'Homes', 'en', {true}, 30, 60, 1)""",
    "INSERT INTO houses (id, company_id, address) VALUES (1, 1, 'Lenina 1'), (2, 1, 'Sadovaya 7')",
    "INSERT INTO entrances (id, company_id, house_id, number) VALUES (1, 1, 1, 1), (2, 1, 2, 1)",
    "INSERT INTO gates (id, company_id, name) VALUES (1, 1, 'Yard'), (2, 1, 'Quarter')",
    "INSERT INTO gate_houses (gate_id, company_id, house_id) VALUES (1, 1, 2), (2, 1, 1), (2, 1, 2)",
    """INSERT INTO accounts (id, company_id, account, kind, ha1, enabled, created_at_ms)
    VALUES (1, 1, 'p1', 'panel', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', {true}, 1),
        (2, 1, 'p2', 'panel', 'aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa', {true}, 1)""",
    """INSERT INTO panels (id, company_id, account_id, name, driver) VALUES (1, 1, 1, 'Door', 'generic'),
        (2, 1, 2, 'Gate', 'generic')""",
    """INSERT INTO panel_places (panel_id, company_id, house_id, entrance_id, code)
    VALUES (1, 1, 1, 1, ''), (2, 1, 1, NULL, '21'), (2, 1, 2, NULL, '22')""",
    "INSERT INTO relays (id, company_id, name, driver, address) VALUES (1, 1, 'R', 'generic', '10.0.0.1')",
    """INSERT INTO doors (id, company_id, relay_id, output, relay_output, name, method, entrance_id, gate_id)
    VALUES (1, 1, 1, 1, 1, 'a', 'relay', 2, NULL), (2, 1, 1, 2, 2, 'b', 'relay', NULL, 1)""",
    """INSERT INTO access_codes (id, company_id, entrance_id, gate_id, code_encrypted, code_hash, single_use,
        valid_from_ms, note, created_at_ms)
    VALUES (1, 1, 2, NULL, 'x', 'a', {false}, 1, '', 1), (2, 1, NULL, 1, 'x', 'b', {false}, 1, '', 1),
        (3, 1, NULL, 2, 'x', 'c', {false}, 1, '', 1)""",
    """INSERT INTO residents (id, company_id, name, created_at_ms) VALUES (1, 1, 'Anna', 1)""",
    """INSERT INTO rfid_keys (id, company_id, number, scope, resident_id, house_id, enabled, note, created_at_ms)
    VALUES (1, 1, '000065', 'house', NULL, 1, {true}, '', 1), (2, 1, '000066', 'resident', 1, NULL, {true}, '', 1)""",
)
OPENING = """
INSERT INTO access_records (company_id, at_ms, panel, result, panel_id, access_code_id, door_id, account, method,
    key_id, house_id) VALUES (1, 1, 'x', 'opened', ?, ?, ?, ?, ?, ?, ?)
"""
OPENINGS = {
    "a code of an entrance, at a gate of two houses": ((2, 1, None, None, None, None, None), 2),
    "a code of a gate of one house": ((2, 2, None, None, None, None, None), 2),
    "a code of a gate of two": ((2, 3, None, None, None, None, None), None),
    "a wrong code at a panel of one house": ((1, None, 9, None, None, None, None), 1),
    "a wrong code at a panel of two": ((2, None, None, None, None, None, None), None),
    "a relay's door at an entrance": ((None, None, 1, None, "http", None, None), 2),
    "a relay's door at a gate": ((None, None, 2, None, "http", None, None), 2),
    "one whose house is known": ((1, None, None, None, None, None, 2), 2),
    "by an account, whose house may be gone": ((1, None, None, "h12", "dtmf", None, None), None),
    "by a key, whose house may be gone": ((1, None, None, None, "key", 1, None), None),
    "by a key that is gone": ((1, None, None, None, "key", None, None), None),
    "by a key of a resident": ((1, None, None, None, "key", 2, 1), 1),
}


@pytest.fixture(params=[FIRST, LAST])
def of_before(tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[CrmDatabase]:
    """A database with openings of every kind by the release before, which goes on writing while it is brought up."""
    for database in empty_database(tmp_path):
        make_release_before(database, request.param, FILLED)
        with database.transaction():
            database.many(OPENING, [row for row, _ in OPENINGS.values()])
        yield database


@pytest.fixture
def migrated_now(of_before: CrmDatabase) -> CrmDatabase:
    """The same brought up to date."""
    assert LAST in migrations.migrate(of_before)
    return of_before


def test_openings_are_of_the_house_that_their_place_names(migrated_now: CrmDatabase) -> None:
    houses = migrated_now.rows("SELECT house_id FROM access_records ORDER BY id")
    told = dict(zip(OPENINGS, (house for (house,) in houses), strict=True))
    assert told == {name: house for name, (_, house) in OPENINGS.items()}


def test_what_was_recorded_before_keeps_the_number_of_a_key_that_goes(migrated_now: CrmDatabase) -> None:
    """By itself, or with its resident; a process of the release before writes no number either."""
    old_use = (1, None, None, None, "key", 1, None)
    migrated_now.rows(OPENING, old_use)
    migrated_now.rows("DELETE FROM residents WHERE id = 1")
    migrated_now.rows("DELETE FROM rfid_keys WHERE id = 1")
    kept = migrated_now.rows("SELECT key_id, key_number FROM access_records WHERE key_number IS NOT NULL ORDER BY id")
    assert kept == [(None, "000065"), (None, "000066"), (None, "000065")]


@pytest.mark.parametrize("of_before", [FIRST], indirect=True)
@pytest.mark.parametrize(
    ("first", "then"),
    [
        (
            "INSERT INTO access_records (company_id, at_ms, panel, result) VALUES (1, 1, 'x', 'granted')",
            "UPDATE access_records SET result = 'opened' WHERE id IN (SELECT min(id) FROM access_records)",
        ),
        ("LOCK TABLE rfid_keys IN ROW EXCLUSIVE MODE", "UPDATE access_records SET key_id = NULL WHERE key_id = 2"),
        ("UPDATE access_records SET apartment_id = NULL", "DELETE FROM rfid_keys WHERE id = 2"),
        ("LOCK TABLE apartments IN ROW EXCLUSIVE MODE", "UPDATE call_records SET apartment_id = NULL"),
    ],
    ids=["records openings", "removes a key", "removes keys of an apartment", "removes an apartment that was called"],
)
def test_the_release_before_goes_on_writing_meanwhile(of_before: CrmDatabase, first: str, then: str) -> None:
    """Each statement locks what one of the two tables is locked for when something is removed, one after the other."""
    assert LAST in done_beside(of_before, first, then, lambda: migrations.migrate(of_before))
