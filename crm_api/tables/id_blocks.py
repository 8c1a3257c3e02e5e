"""Ids given out before the rows are written, for rows that refer to one another and are written in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase


def reserved(database: CrmDatabase, table: str, count: int) -> list[int]:
    """Return ids for new rows of a table: nobody else gets them, whether the rows are ever written or not.

    PostgreSQL takes them from the table's sequence, SQLite from its counter of the ids given out, which may be written
    as any table (https://www.sqlite.org/autoinc.html).
    """
    if not count:
        return []
    if database.dialect == "postgresql":
        sql = f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')) FROM generate_series(1, ?)"  # noqa: S608 - a table of ours
        return [int(row[0]) for row in database.rows(sql, (count,))]
    with database.transaction():
        last = database.row("UPDATE sqlite_sequence SET seq = seq + ? WHERE name = ? RETURNING seq", (count, table))
        if last is None:  # no row was ever written
            last = (count,)
            database.rows("INSERT INTO sqlite_sequence (name, seq) VALUES (?, ?)", (table, count))
    return list(range(int(last[0]) - count + 1, int(last[0]) + 1))
