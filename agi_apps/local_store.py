"""What this host remembers by itself (SQLite): last known ring plans, and call events that Redis could not take yet.

Shared by the worker processes. Reads are quick and happen on the path of a call; writes happen in a thread.
"""

from __future__ import annotations

import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

_SCHEMA = """
CREATE TABLE IF NOT EXISTS last_known_plan (
    panel TEXT NOT NULL, dialled TEXT NOT NULL, plan BLOB NOT NULL, PRIMARY KEY (panel, dialled)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spooled_event (id INTEGER PRIMARY KEY AUTOINCREMENT, event BLOB NOT NULL);
"""


class LocalStore:
    """One SQLite file in WAL mode: readers never wait for a writer.

    The reading connection is used by greenlets directly. The writing methods use one other connection and must be
    called one at a time (`agi_apps.background.ThreadRunner` sees to both the thread and the turns).
    """

    def __init__(self, path: str, busy_timeout_s: float = 5.0) -> None:
        Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._writer = sqlite3.connect(path, busy_timeout_s, isolation_level=None, check_same_thread=False)
        self._writer.execute("PRAGMA journal_mode=WAL")
        self._writer.execute("PRAGMA synchronous=NORMAL")
        self._writer.executescript(_SCHEMA)
        self._reader = sqlite3.connect(path, 0.05, isolation_level=None, check_same_thread=False)

    def last_known_plan(self, panel: str, dialled: str) -> bytes | None:
        """The plan last seen for this number, None when there never was one."""
        row = self._reader.execute(
            "SELECT plan FROM last_known_plan WHERE panel = ? AND dialled = ?", (panel, dialled)
        ).fetchone()
        return None if row is None else bytes(row[0])

    def remember_plans(self, plans: list[tuple[str, str, bytes]]) -> None:
        """Keep plans, each `(panel, dialled, plan)`, in place of older ones."""
        with self._transaction() as writer:
            writer.executemany("INSERT OR REPLACE INTO last_known_plan VALUES (?, ?, ?)", plans)

    def spool(self, events: list[bytes]) -> None:
        """Keep events for later delivery, in order."""
        with self._transaction() as writer:
            writer.executemany("INSERT INTO spooled_event (event) VALUES (?)", [(event,) for event in events])

    def spooled(self) -> int:
        """How many events wait for delivery."""
        return int(self._reader.execute("SELECT count(*) FROM spooled_event").fetchone()[0])

    def take_spooled(self, limit: int) -> list[bytes]:
        """The oldest spooled events. `settle` must follow: they are gone only then.

        The write lock of the file is held until then, so no other worker takes the same events: each is delivered
        once, unless this process dies between the delivery and `settle`.
        """
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            rows = self._writer.execute(
                "DELETE FROM spooled_event WHERE id IN (SELECT id FROM spooled_event ORDER BY id LIMIT ?) "
                "RETURNING id, event",
                (limit,),
            ).fetchall()
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        return [bytes(event) for _, event in sorted(rows)]

    def settle(self, *, delivered: bool) -> None:
        """End what `take_spooled` began: forget the events, or keep them for the next try."""
        self._writer.execute("COMMIT" if delivered else "ROLLBACK")

    def close(self) -> None:
        """Close both connections."""
        self._writer.close()
        self._reader.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield self._writer
        except BaseException:
            self._writer.execute("ROLLBACK")
            raise
        self._writer.execute("COMMIT")
