"""The town of the bench, written straight into the CRM's SQLite: every household one house, one panel, three accounts.

Through the REST API 2,000 households take minutes; what the tables must hold is kept by their own constraints.
"""

from __future__ import annotations

import hashlib
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Final

from lab.bench.population import ROLES, Account, Household

if TYPE_CHECKING:
    from pathlib import Path

DOOR_KEY: Final = "1"
_COMPANY: Final = "Bench"
_KINDS: Final = {"a": "handset", "b": "indoor_unit", "c": "app"}
_BUSY_TIMEOUT_S: Final = 10.0


def make_households(count: int) -> list[Household]:
    """Households with names and passwords that are the same in every run."""
    return [
        Household(
            panel=Account(f"bp{index:05}", f"panel-password-{index:05}"),
            dialled="1",
            handsets=(
                Account(f"bh{index:05}a", f"a-password-{index:05}"),
                Account(f"bh{index:05}b", f"b-password-{index:05}"),
                Account(f"bh{index:05}c", f"c-password-{index:05}"),
            ),
        )
        for index in range(count)
    ]


def insert(database: sqlite3.Connection, table: str, **columns: object) -> int:
    """Insert one row; returns its id."""
    names = ", ".join(columns)
    marks = ", ".join("?" * len(columns))
    cursor = database.execute(f"INSERT INTO {table} ({names}) VALUES ({marks})", tuple(columns.values()))  # noqa: S608
    return int(cursor.lastrowid or 0)


def write_town(path: Path, households: list[Household], realm: str) -> None:
    """Write the households into the migrated database at `path`, unless the bench's company is there already.

    The company belongs to the first city, the demo town's, which has a dispatch centre: 112 has somewhere to go.
    """
    with closing(sqlite3.connect(path, timeout=_BUSY_TIMEOUT_S)) as database, database:
        if database.execute("SELECT 1 FROM companies WHERE name = ?", (_COMPANY,)).fetchone():
            return
        city = database.execute("SELECT min(id) FROM cities").fetchone()[0]
        company = insert(
            database, "companies", name=_COMPANY, city_id=city, language="en", active=1, ring_timeout_s=30,
            talk_limit_s=120, created_at_ms=int(time.time() * 1000),
        )  # fmt: skip
        for index, household in enumerate(households):
            _write_household(database, company, index, household, realm)


def _write_household(database: sqlite3.Connection, company: int, index: int, household: Household, realm: str) -> None:
    house = insert(database, "houses", company_id=company, address=f"Bench street {index + 1}")
    entrance = insert(database, "entrances", company_id=company, house_id=house, number=1)
    apartment = insert(
        database, "apartments", company_id=company, house_id=house, entrance_id=entrance, number=int(household.dialled)
    )
    account = write_account(database, household.panel, "panel", realm, company_id=company)
    panel = insert(database, "panels", company_id=company, account_id=account, name="Entrance 1", driver="generic")
    insert(database, "panel_places", panel_id=panel, company_id=company, house_id=house, entrance_id=entrance, code="")
    insert(database, "doors", company_id=company, panel_id=panel, output=1, name="Door", method="dtmf", dtmf=DOOR_KEY)
    for role, handset in zip(ROLES, household.handsets, strict=True):
        write_account(database, handset, _KINDS[role], realm, company_id=company, apartment_id=apartment)


def write_account(database: sqlite3.Connection, account: Account, kind: str, realm: str, **columns: int) -> int:
    """Write an account with its HA1; returns its id."""
    secret = f"{account.name}:{realm}:{account.password}"
    ha1 = hashlib.md5(secret.encode()).hexdigest()  # noqa: S324 - the digest of RFC 2617, which the devices speak
    return insert(
        database, "accounts", account=account.name, kind=kind, ha1=ha1, enabled=1,
        created_at_ms=int(time.time() * 1000), **columns,
    )  # fmt: skip


def copy_database(source: Path, target: Path) -> None:
    """A consistent copy of a database in use, for the native registrar: it reads the same accounts."""
    target.unlink(missing_ok=True)
    with closing(sqlite3.connect(source)) as read, closing(sqlite3.connect(target)) as write:
        read.backup(write)
