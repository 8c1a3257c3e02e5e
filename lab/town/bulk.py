"""The bench town: many panels, one apartment each, three accounts an apartment; straight into the tables.

Writes what SIPp reads: `panels.csv` (`account;password;dialled`) and `accounts.csv` (`account;password`), each with
SIPp's first line `SEQUENTIAL`. Made from a seed, so that the same town has the same passwords.
"""

from __future__ import annotations

import argparse
import hashlib
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crm_api.bootstrap import make_context
from crm_api.config import read_config
from crm_api.domain.passwords import ha1
from crm_api.migrations import migrate

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase

COMPANY: Final = "Bench"
APARTMENT: Final = 1
PHONES: Final = (("a", "app"), ("b", "handset"), ("c", "indoor_unit"))
BATCH: Final = 2000


@dataclass(frozen=True)
class BenchTown:
    """What was made: panels as (account, password, number to dial), phones as (account, password)."""

    panels: list[tuple[str, str, str]]
    phones: list[tuple[str, str]]


def password_of(account: str, seed: str) -> str:
    """Return the password of a bench account."""
    return hashlib.sha256(f"{seed}:{account}".encode()).hexdigest()[:24]


def make_bench_town(context: Context, panels: int, seed: str = "bench") -> BenchTown:
    """Make the town, or add what is missing of it; safe to repeat.

    Args:
        context: an open, migrated database.
        panels: how many panels (houses, entrances, apartments); three accounts each.
        seed: makes the passwords.
    """
    database = context.database
    company_id = _company(database, context.now_ms())
    made = _count(database, company_id)
    for first in range(made, panels, BATCH):
        with database.transaction():
            _add(context, company_id, range(first, min(first + BATCH, panels)), seed)
    names = range(panels)
    return BenchTown(
        [(f"bp{n:06}", password_of(f"bp{n:06}", seed), str(APARTMENT)) for n in names],
        [(f"b{n:06}{s}", password_of(f"b{n:06}{s}", seed)) for n in names for s, _ in PHONES],
    )


def write_csv(town: BenchTown, directory: Path) -> None:
    """Write the files that SIPp reads."""
    directory.mkdir(parents=True, exist_ok=True)
    for name, rows in (("panels.csv", town.panels), ("accounts.csv", town.phones)):
        lines: Iterator[Sequence[str]] = iter(rows)
        (directory / name).write_text("SEQUENTIAL\n" + "".join(f"{';'.join(row)}\n" for row in lines))


def _company(database: CrmDatabase, now_ms: int) -> int:
    row = database.row("SELECT id FROM companies WHERE name = ?", (COMPANY,))
    if row is None:
        row = database.row(
            "INSERT INTO companies (name, language, active, ring_timeout_s, talk_limit_s, created_at_ms) "
            "VALUES (?, 'en', ?, 30, 120, ?) RETURNING id",
            (COMPANY, True, now_ms),
        )
    return int(row[0]) if row else 0


def _count(database: CrmDatabase, company_id: int) -> int:
    row = database.row("SELECT count(*) FROM panels WHERE company_id = ?", (company_id,))
    return int(row[0]) if row else 0


def _add(context: Context, company_id: int, numbers: range, seed: str) -> None:
    """Insert one batch. Ids are taken after the greatest there is: nobody else loads at the same time."""
    database = context.database
    ids = {table: _next_id(database, table) for table in ("houses", "entrances", "apartments", "accounts", "panels")}
    now_ms = context.now_ms()
    rows: dict[str, list[tuple[Any, ...]]] = {table: [] for table in (*ids, "panel_places", "doors")}
    account_id = ids["accounts"]
    for index, n in enumerate(numbers):
        house, entrance, apartment, panel = (ids[t] + index for t in ("houses", "entrances", "apartments", "panels"))
        rows["houses"].append((house, company_id, f"Bench street {n}"))
        rows["entrances"].append((entrance, company_id, house, 1))
        rows["apartments"].append((apartment, company_id, house, entrance, APARTMENT))
        accounts = [(f"bp{n:06}", "panel", None), *((f"b{n:06}{s}", kind, apartment) for s, kind in PHONES)]
        rows["panels"].append((panel, company_id, account_id, f"Bench {n}"))
        for account, kind, home in accounts:
            digest = ha1(account, context.realm, password_of(account, seed))
            rows["accounts"].append((account_id, company_id, home, account, kind, digest, True, now_ms))
            account_id += 1
        rows["panel_places"].append((panel, company_id, house, entrance))
        rows["doors"].append((company_id, panel))
    for table in ("houses", "entrances", "apartments", "accounts", "panels", "panel_places", "doors"):
        database.many(INSERTS[table], rows[table])
    if database.dialect == "postgresql":
        for table in ids:
            database.rows(f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), max(id)) FROM {table}")  # noqa: S608


INSERTS: Final = {
    "houses": "INSERT INTO houses (id, company_id, address) VALUES (?, ?, ?)",
    "entrances": "INSERT INTO entrances (id, company_id, house_id, number) VALUES (?, ?, ?, ?)",
    "apartments": "INSERT INTO apartments (id, company_id, house_id, entrance_id, number) VALUES (?, ?, ?, ?, ?)",
    "accounts": "INSERT INTO accounts (id, company_id, apartment_id, account, kind, ha1, enabled, created_at_ms) "
    "VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
    "panels": "INSERT INTO panels (id, company_id, account_id, name, driver) VALUES (?, ?, ?, ?, 'generic')",
    "panel_places": "INSERT INTO panel_places (panel_id, company_id, house_id, entrance_id, code) "
    "VALUES (?, ?, ?, ?, '')",
    "doors": "INSERT INTO doors (company_id, panel_id, output, name, method, dtmf) "
    "VALUES (?, ?, 1, 'Door', 'dtmf', '1')",
}


def _next_id(database: CrmDatabase, table: str) -> int:
    row = database.row(f"SELECT coalesce(max(id), 0) + 1 FROM {table}")  # noqa: S608 - one of five constants
    return int(row[0]) if row else 1


def main() -> None:
    """Make the town from the command line."""
    parser = argparse.ArgumentParser(prog="lab.town.bulk", description=__doc__)
    parser.add_argument("--config", type=Path, required=True, help="the CRM's crm.json")
    parser.add_argument("--panels", type=int, required=True)
    parser.add_argument("--seed", default="bench")
    parser.add_argument("--directory", type=Path, required=True, help="where the CSV files go")
    asked = parser.parse_args()
    context = make_context(read_config(asked.config))
    migrate(context.database)
    town = make_bench_town(context, asked.panels, asked.seed)
    write_csv(town, asked.directory)
    print(f"{len(town.panels)} panels, {len(town.phones)} phones in {asked.directory}")


if __name__ == "__main__":
    main()
