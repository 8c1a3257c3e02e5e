"""Makes the SQLite database in which Kamailio keeps contacts, from the table definitions of its own package."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TABLE_FILES = ("standard-create.sql", "usrloc-create.sql")
REGISTRATIONS_FILE = "uac-create.sql"


def create_location_database(path: Path, root: Path) -> None:
    """Create `path` unless it has the tables; in WAL mode, so that readers and the writer do not block.

    Args:
        path: the database file, as the machine sees it.
        root: the Debian root, whose Kamailio package brings the definitions.
    """
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA journal_mode = WAL")
        if not _has(database, "location"):
            # Nothing searches by `expires` in Kamailio's write-through mode, and every refresh would change this index.
            tables = _definitions(root, *TABLE_FILES)
            database.executescript(f"BEGIN;\n{tables}\nDROP INDEX location_expires_idx;\nCOMMIT;")
        if not _has(database, "uacreg"):
            database.executescript(f"BEGIN;\n{_definitions(root, REGISTRATIONS_FILE)}\nCOMMIT;")


def _has(database: sqlite3.Connection, table: str) -> bool:
    return database.execute("SELECT 1 FROM sqlite_master WHERE name = ?", (table,)).fetchone() is not None


def _definitions(root: Path, *names: str) -> str:
    home = root / "usr" / "share" / "kamailio" / "db_sqlite"
    return "\n".join((home / name).read_text(encoding="utf-8") for name in names)
