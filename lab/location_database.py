"""Makes the SQLite database in which Kamailio keeps contacts, from the table definitions of its own package."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

TABLE_FILES = ("standard-create.sql", "usrloc-create.sql", "uac-create.sql")


def create_location_database(path: Path, root: Path) -> None:
    """Create `path` unless it has the tables; in WAL mode, so that readers and the writer do not block.

    Args:
        path: the database file, as the machine sees it.
        root: the Debian root, whose Kamailio package brings the definitions.
    """
    with closing(sqlite3.connect(path)) as database:
        if database.execute("SELECT 1 FROM sqlite_master WHERE name = 'uacreg'").fetchone():
            return
        database.execute("PRAGMA journal_mode = WAL")
        script = "\n".join(
            (root / "usr" / "share" / "kamailio" / "db_sqlite" / name).read_text(encoding="utf-8")
            for name in TABLE_FILES
        )
        # Nothing searches by `expires` in Kamailio's write-through mode, and every refresh would change this index.
        database.executescript(f"BEGIN;\n{script}\nDROP INDEX location_expires_idx;\nCOMMIT;")
