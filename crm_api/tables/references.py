"""Who refers to a row: asked when it cannot be removed, since SQLite does not say, and of what goes with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.tables.many_ids import asked_for

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from crm_api.tables.database import CrmDatabase

# A key of several columns counts by the one that names the row.
_SQLITE: Final = """
SELECT DISTINCT m.name, f."from" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
WHERE m.type = 'table' AND f."table" = ? AND coalesce(f."to", 'id') = 'id'
    AND f.on_delete {kinds} ORDER BY m.name
"""
_POSTGRES: Final = """
SELECT DISTINCT c.conrelid::regclass::text, own.attname FROM pg_constraint c
CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS pair (own, other)
JOIN pg_attribute own ON own.attrelid = c.conrelid AND own.attnum = pair.own
JOIN pg_attribute other ON other.attrelid = c.confrelid AND other.attnum = pair.other AND other.attname = 'id'
WHERE c.contype = 'f' AND c.confrelid = ?::text::regclass AND c.confdeltype {kinds} ORDER BY 1
"""
_KEEP: Final = {"sqlite": "NOT IN ('CASCADE', 'SET NULL')", "postgresql": "IN ('a', 'r')"}
_GO_ALONG: Final = {"sqlite": "= 'CASCADE'", "postgresql": "= 'c'"}


def referring(database: CrmDatabase, table: str, row_id: int) -> dict[str, int]:
    """Return how many rows of each table keep this one from being removed."""
    found: dict[str, int] = {}
    for name, column in _columns(database, table, _KEEP):
        row = database.row(f"SELECT count(*) FROM {name} WHERE {column} = ?", (row_id,))  # noqa: S608 - of the schema
        if row is not None and row[0]:
            found[name] = found.get(name, 0) + int(row[0])
    return found


def going_along(
    database: CrmDatabase, removed: Mapping[str, Collection[int]], told: Collection[str]
) -> dict[str, set[int]]:
    """Return which rows go when some are removed, by table, those among them: the database removes them itself.

    Args:
        database: asked before they are removed.
        removed: ids by table.
        told: tables with an id to look at; what goes with rows of others is not found.
    """
    found: dict[str, set[int]] = {}
    fresh = {table: set(ids) for table, ids in removed.items() if ids}
    while fresh:
        following: dict[str, set[int]] = {}
        for table, ids in fresh.items():
            found.setdefault(table, set()).update(ids)
            for name, column in _columns(database, table, _GO_ALONG):
                if name in told:
                    sql = f"SELECT id FROM {name} WHERE {column} IN ({{marks}})"  # noqa: S608 - of the schema
                    following.setdefault(name, set()).update(row[0] for row in asked_for(database, sql, sorted(ids)))
        fresh = {table: more for table, ids in following.items() if (more := ids - found.get(table, set()))}
    return found


def _columns(database: CrmDatabase, table: str, kinds: Mapping[str, str]) -> list[tuple[str, str]]:
    """Return the tables and columns that refer to a table's id in this way."""
    sql = _SQLITE if database.dialect == "sqlite" else _POSTGRES
    return [(name, column) for name, column in database.rows(sql.format(kinds=kinds[database.dialect]), (table,))]
