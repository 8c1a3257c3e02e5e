"""The city of `make town`: exact, the same for the same seed, whole, and it rings."""

from __future__ import annotations

import hashlib
from collections import Counter
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.planning import Planning
from lab.town.city.build import UNTIL, NotEmptyError, build_city
from lab.town.city.history import History
from lab.town.city.layout import make_layout
from lab.town.city.people import People
from lab.town.city.rows import CityRows, household_accounts, panel_account, password_of
from lab.town.city.sizes import SIZES

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from lab.town.city.layout import Layout

SIZE = SIZES["demo"]
REALM = "entryphone.test"
SEED = 7


@pytest.fixture
def layout(database: CrmDatabase) -> Layout:
    return build_city(database, SIZE, REALM, SEED, quiet=True)


def _count(database: CrmDatabase, table: str) -> int:
    row = database.row(f"SELECT count(*) FROM {table}")  # noqa: S608
    return int(row[0]) if row else 0


def _everything(seed: int) -> dict[str, list[tuple[Any, ...]]]:
    layout, until_ms = make_layout(SIZE, seed), int(UNTIL.timestamp() * 1000)
    people = People(layout, seed, until_ms)
    sources = (CityRows(layout, REALM, seed, until_ms), people, History(layout, seed, UNTIL, people.key_homes))
    return {table.name: list(table.rows) for source in sources for table in source.tables()}


def test_there_is_exactly_as_much_as_the_size_says(database: CrmDatabase, layout: Layout) -> None:
    counts = {table: _count(database, table) for table in ("panels", "apartments", "accounts", "companies")}
    assert counts == {
        "panels": SIZE.panels,
        "apartments": SIZE.apartments,
        "accounts": SIZE.accounts,
        "companies": SIZE.companies,
    }
    assert _count(database, "call_records") == SIZE.calls
    assert _count(database, "access_records") > SIZE.key_openings
    assert len(layout.entrances) <= SIZE.panels


def test_no_row_refers_to_nothing(database: CrmDatabase, layout: Layout) -> None:
    del layout
    if database.dialect == "sqlite":
        assert database.rows("PRAGMA foreign_key_check") == []
        assert database.row("PRAGMA foreign_keys") == (1,)
        return
    references = (
        ("call_records", "apartment_id", "apartments"),
        ("accounts", "apartment_id", "apartments"),
        ("access_records", "key_id", "rfid_keys"),
        ("residencies", "resident_id", "residents"),
    )
    for table, column, target in references:
        lost = f"SELECT 1 FROM {table} t WHERE NOT EXISTS (SELECT 1 FROM {target} x WHERE x.id = t.{column})"  # noqa: S608
        assert database.rows(f"{lost} AND {column} IS NOT NULL") == []


def test_rows_that_are_made_afterwards_get_ids_of_their_own(database: CrmDatabase, layout: Layout) -> None:
    made = database.row("INSERT INTO houses (company_id, address) VALUES (1, 'new') RETURNING id")
    assert made is not None
    assert made[0] > len(layout.houses)


def test_indexes_are_there_again(database: CrmDatabase, layout: Layout) -> None:
    del layout
    query = (
        "SELECT name FROM sqlite_master WHERE type = 'index'"
        if database.dialect == "sqlite"
        else "SELECT indexname FROM pg_indexes"
    )
    names = {row[0] for row in database.rows(query)}
    assert {"accounts_apartment", "call_records_of_company", "ring_plans_company_default"} <= names


def test_a_seed_makes_the_same_town_and_another_seed_another() -> None:
    first, same, other = (make_layout(SIZE, seed) for seed in (SEED, SEED, SEED + 1))
    assert (first.houses, first.panels, first.household_of) == (same.houses, same.panels, same.household_of)
    assert first.houses != other.houses


def test_a_seed_makes_the_same_rows_and_another_seed_others() -> None:
    first, same, other = (_everything(seed) for seed in (SEED, SEED, SEED + 1))
    assert first == same
    assert all(first[table] != other[table] for table in ("houses", "accounts", "call_records", "access_records"))


def test_an_account_can_log_in_with_its_password(database: CrmDatabase, layout: Layout) -> None:
    apartment = next(a for a in range(SIZE.apartments) if layout.household(a))
    for account in (panel_account(0), household_accounts(layout, apartment)[0][0]):
        ha1 = hashlib.md5(f"{account}:{REALM}:{password_of(account, SEED)}".encode()).hexdigest()  # noqa: S324
        assert database.row("SELECT ha1 FROM kamailio_accounts WHERE account = ?", (account,)) == (ha1,)


def test_every_apartment_is_reached_from_each_of_its_panels(context: Context, layout: Layout) -> None:
    planning = Planning(context)
    outcomes: Counter[str] = Counter()
    for apartment in range(0, SIZE.apartments, 3):
        rung = {name for name, _ in household_accounts(layout, apartment)}
        for panel in layout.panels_of[layout.entrance_of[apartment]]:
            plan = planning.planned(panel_account(panel), layout.dialled(panel, apartment)).plan
            outcomes[plan.outcome] += 1
            assert plan.apartment_id == apartment + 1
            if plan.outcome == "ring":
                assert {target.account for stage in plan.stages for target in stage.targets} == rung
    assert outcomes["ring"] > 9 * outcomes["blocked"]
    assert set(outcomes) <= {"ring", "blocked"}


def test_the_day_has_its_curve(database: CrmDatabase, layout: Layout) -> None:
    del layout
    moments = [row[0] for row in database.rows("SELECT started_at_ms FROM call_records ORDER BY id")]
    assert moments == sorted(moments)
    local = [datetime.fromtimestamp(ms / 1000, UTC) + timedelta(hours=3) for ms in moments]
    hours = Counter(moment.hour for moment in local)
    assert hours[18] > 5 * hours[3]
    assert (local[-1] - local[0]).days in range(350, 366)


def test_a_database_with_houses_is_left_alone(database: CrmDatabase, layout: Layout) -> None:
    with pytest.raises(NotEmptyError, match="houses already"):
        build_city(database, SIZE, REALM, SEED, quiet=True)
    assert _count(database, "houses") == len(layout.houses)
