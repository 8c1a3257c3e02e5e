"""Ids given out before the rows are written, for rows that refer to one another and are written in bulk."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase


def reserved(database: CrmDatabase, table: str, count: int) -> list[int]:
    """Return ids for new rows of a table; to be called inside the transaction that writes them.

    PostgreSQL takes them from the table's sequence. SQLite has one writer at a time, which the transaction is: the ids
    that follow the greatest ever given out are free.
    """
    if database.dialect == "postgresql":
        sql = f"SELECT nextval(pg_get_serial_sequence('{table}', 'id')) FROM generate_series(1, ?)"  # noqa: S608 - a table of ours
        return [int(row[0]) for row in database.rows(sql, (count,))]
    last = database.row("SELECT coalesce(max(seq), 0) FROM sqlite_sequence WHERE name = ?", (table,))
    first = 1 + int(last[0] if last else 0)
    return list(range(first, first + count))
