"""Who refers to a row: asked when it cannot be removed, since SQLite does not say."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

# A key of several columns counts by the one that names the row.
_SQLITE: Final = """
SELECT DISTINCT m.name, f."from" FROM sqlite_master m JOIN pragma_foreign_key_list(m.name) f
WHERE m.type = 'table' AND f."table" = ? AND coalesce(f."to", 'id') = 'id'
    AND f.on_delete NOT IN ('CASCADE', 'SET NULL') ORDER BY m.name
"""
_POSTGRES: Final = """
SELECT DISTINCT c.conrelid::regclass::text, own.attname FROM pg_constraint c
CROSS JOIN LATERAL unnest(c.conkey, c.confkey) AS pair (own, other)
JOIN pg_attribute own ON own.attrelid = c.conrelid AND own.attnum = pair.own
JOIN pg_attribute other ON other.attrelid = c.confrelid AND other.attnum = pair.other AND other.attname = 'id'
WHERE c.contype = 'f' AND c.confrelid = ?::text::regclass AND c.confdeltype IN ('a', 'r') ORDER BY 1
"""


def referring(database: CrmDatabase, table: str, row_id: int) -> dict[str, int]:
    """Return how many rows of each table keep this one from being removed."""
    found: dict[str, int] = {}
    for name, column in database.rows(_SQLITE if database.dialect == "sqlite" else _POSTGRES, (table,)):
        row = database.row(f"SELECT count(*) FROM {name} WHERE {column} = ?", (row_id,))  # noqa: S608 - of the schema
        if row is not None and row[0]:
            found[name] = found.get(name, 0) + int(row[0])
    return found
