"""Everything that a database keeps, as a JSON file: what an installation of an earlier release brings to an upgrade.

`releases/<name of the last migration>.json` is written by `test_upgrades.py` when `ENTRYPHONE_WRITES_RELEASE` is set.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from crm_api import migrations

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

RELEASES: Final = Path(__file__).parent / "releases"
Rows = dict[str, dict[str, Any]]
"""By table: `columns`, and `rows`, sorted."""

_MADE_BY_MIGRATIONS: Final = frozenset({"migrations", "sqlite_sequence"})


def tables_of(database: CrmDatabase) -> list[str]:
    if database.dialect == "sqlite":
        sql = "SELECT name FROM sqlite_master WHERE type = 'table' AND sql NOT LIKE '%VIRTUAL%'"
    else:
        sql = "SELECT tablename FROM pg_tables WHERE schemaname = current_schema()"
    return sorted({name for (name,) in database.rows(sql)} - _MADE_BY_MIGRATIONS)


def rows_in(database: CrmDatabase) -> Rows:
    """Return what all tables hold; bytes as `{"hex": ...}`."""
    found: Rows = {}
    for table in tables_of(database):
        cursor = database.peewee.execute_sql(f"SELECT * FROM {table}")  # noqa: S608 - names of tables
        columns = [column[0] for column in cursor.description]
        rows = sorted(([_told(value) for value in row] for row in cursor.fetchall()), key=repr)
        found[table] = {"columns": columns, "rows": rows}
    return found


def _told(value: Any) -> Any:
    return {"hex": bytes(value).hex()} if isinstance(value, (bytes, memoryview)) else value


def put(database: CrmDatabase, rows: Rows) -> None:
    """Fill tables that are there; references are looked at in the end."""
    is_sqlite = database.dialect == "sqlite"
    database.rows("PRAGMA foreign_keys = OFF" if is_sqlite else "SET session_replication_role = replica")
    with database.peewee.atomic():
        for table, kept in rows.items():
            truths = _truths(database, table)
            marks = ", ".join("?" * len(kept["columns"]))
            database.rows(f"DELETE FROM {table}")  # noqa: S608 - what a migration has put there is in the rows
            sql = f"INSERT INTO {table} ({', '.join(kept['columns'])}) VALUES ({marks})"  # noqa: S608
            for row in kept["rows"]:
                told = zip(kept["columns"], row, strict=True)
                database.rows(sql, [_kept(value, is_truth=column in truths) for column, value in told])
            if not is_sqlite and "id" in kept["columns"]:
                _go_on(database, table)
    database.rows("PRAGMA foreign_keys = ON" if is_sqlite else "SET session_replication_role = DEFAULT")


def _truths(database: CrmDatabase, table: str) -> set[str]:
    if database.dialect == "sqlite":
        return set()
    sql = "SELECT column_name FROM information_schema.columns WHERE table_name = ? AND data_type = 'boolean'"
    return {name for (name,) in database.rows(sql, (table,))}


def _kept(value: Any, *, is_truth: bool) -> Any:
    if isinstance(value, dict):
        return bytes.fromhex(value["hex"])
    return bool(value) if is_truth and value is not None else value


def _go_on(database: CrmDatabase, table: str) -> None:
    """Have PostgreSQL number new rows after those that came with their numbers."""
    sequence = database.row("SELECT pg_get_serial_sequence(?, 'id')", (table,))
    if sequence is not None and sequence[0] is not None:
        database.rows(f"SELECT setval('{sequence[0]}', coalesce((SELECT max(id) FROM {table}), 0) + 1, false)")  # noqa: S608


def write(database: CrmDatabase) -> Path:
    """Write what a database keeps as the file of its release."""
    path = RELEASES / f"{migrations.names()[-1]}.json"
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(rows_in(database), ensure_ascii=False, indent=None, separators=(",", ":")) + "\n")
    return path
