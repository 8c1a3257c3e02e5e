"""What this host remembers by itself (SQLite): last known plans and leases, and call events that Redis did not take.

Shared by the worker processes. Reads are quick and happen on the path of a call; writes happen beside it.
"""

from __future__ import annotations

import sqlite3
import threading
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

MEMORY = ":memory:"
MEMORY_LIMIT_BYTES = 64 * 1024 * 1024
# The master kills a worker whose loop has not turned for five seconds (prefork.py): opening takes about half of that.
_OPENING_LIMIT_S = 2.0
_OPENING_BUSY_S = 0.2
_AGAIN_S = 0.01
_SCHEMA = """
CREATE TABLE IF NOT EXISTS last_known_plan (
    panel TEXT NOT NULL, dialled TEXT NOT NULL, plan BLOB NOT NULL, PRIMARY KEY (panel, dialled)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS known_lease (key TEXT PRIMARY KEY, lease BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS spooled_event (id INTEGER PRIMARY KEY AUTOINCREMENT, event BLOB NOT NULL);
"""
_PLAN_IF_NEWER = """
INSERT INTO last_known_plan VALUES (?, ?, ?) ON CONFLICT DO UPDATE SET plan = excluded.plan
WHERE CASE WHEN json_valid(CAST(plan AS TEXT)) THEN
    json_extract(CAST(excluded.plan AS TEXT), '$.issued_at_ms') > json_extract(CAST(plan AS TEXT), '$.issued_at_ms')
ELSE 1 END
"""


@dataclass
class SpooledBatch:
    """Spooled events taken for delivery; whoever takes them says whether they were delivered."""

    events: list[bytes]
    delivered: bool = False


class LocalStore:
    """One SQLite file in WAL mode: readers never wait for a writer. Or a database in `MEMORY`, of one process alone.

    Any thread may call any method: readers share one connection, writers another, each used by one thread at a time.
    """

    def __init__(self, path: str, busy_timeout_s: float = 5.0) -> None:
        self.why_in_memory = ""
        """Why there is no file, for people; empty where there is one."""
        if path != MEMORY:
            Path(path).parent.mkdir(parents=True, exist_ok=True)
        self._writer = sqlite3.connect(path, _OPENING_BUSY_S, isolation_level=None, check_same_thread=False)
        try:
            self._make_tables(_OPENING_LIMIT_S)
            self._writer.execute(f"PRAGMA busy_timeout={int(busy_timeout_s * 1_000)}")
            self._writing = threading.Lock()
            if path == MEMORY:
                self._bound_memory()
                # A second connection to memory would be a second database, so reader and writer are one. A read waits
                # for a delivery then: only where disk, Redis and CRM fail together.
                self._reader, self._reading = self._writer, self._writing
            else:
                self._reader = sqlite3.connect(path, 0.05, isolation_level=None, check_same_thread=False)
                self._reading = threading.Lock()
        except BaseException:
            self._writer.close()
            raise

    def _make_tables(self, limit_s: float) -> None:
        """Switch to WAL and make the tables, while other workers do the same with a new file.

        For the first SQLite does not wait by itself, for the second as long as `_OPENING_BUSY_S`: a disk may be slower.
        """
        until_s = time.monotonic() + limit_s
        while True:
            try:
                self._writer.execute("PRAGMA journal_mode=WAL")
                self._writer.execute("PRAGMA synchronous=NORMAL")
                self._writer.executescript(_SCHEMA)
            except sqlite3.OperationalError:
                if time.monotonic() > until_s:
                    raise
                time.sleep(_AGAIN_S)
            else:
                return

    def _bound_memory(self) -> None:
        """Let a database in memory be full at some time, as a disk is: events are dropped and counted then."""
        page_bytes = self._writer.execute("PRAGMA page_size").fetchone()[0]
        self._writer.execute(f"PRAGMA max_page_count={MEMORY_LIMIT_BYTES // page_bytes}")

    def last_known_plan(self, panel: str, dialled: str) -> bytes | None:
        """The plan last seen for this number, None when there never was one."""
        with self._reading:
            row = self._reader.execute(
                "SELECT plan FROM last_known_plan WHERE panel = ? AND dialled = ?", (panel, dialled)
            ).fetchone()
        return None if row is None else bytes(row[0])

    def remember_plans(self, plans: list[tuple[str, str, bytes]]) -> None:
        """Keep plans, each `(panel, dialled, plan)`, in place of older ones."""
        with self._transaction() as writer:
            writer.executemany("INSERT OR REPLACE INTO last_known_plan VALUES (?, ?, ?)", plans)

    def known_lease(self, key: str) -> bytes | None:
        """What was last known of a panel's number, or of a number's panel."""
        with self._reading:
            row = self._reader.execute("SELECT lease FROM known_lease WHERE key = ?", (key,)).fetchone()
        return None if row is None else bytes(row[0])

    def remember_leases(self, leases: list[tuple[str, bytes]]) -> None:
        """Keep leases, each `(key, lease)`, in place of older ones."""
        with self._transaction() as writer:
            writer.executemany("INSERT OR REPLACE INTO known_lease VALUES (?, ?)", leases)

    def spool(self, events: list[bytes]) -> None:
        """Keep events for later delivery, in order."""
        with self._transaction() as writer:
            writer.executemany("INSERT INTO spooled_event (event) VALUES (?)", [(event,) for event in events])

    def spooled(self) -> int:
        """How many events wait for delivery."""
        with self._reading:
            return int(self._reader.execute("SELECT count(*) FROM spooled_event").fetchone()[0])

    @contextmanager
    def taking_spooled(self, limit: int) -> Iterator[SpooledBatch]:
        """The oldest spooled events, gone at the end of the block if they were delivered, else kept for the next try.

        The write lock of the file is held until then, so no other worker takes the same events: each is delivered
        once, unless this process dies between the delivery and the end of the block.
        """
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                rows = self._writer.execute(
                    "DELETE FROM spooled_event WHERE id IN (SELECT id FROM spooled_event ORDER BY id LIMIT ?) "
                    "RETURNING id, event",
                    (limit,),
                ).fetchall()
                batch = SpooledBatch([bytes(event) for _, event in sorted(rows)])
                yield batch
                self._writer.execute("COMMIT" if batch.delivered else "ROLLBACK")
            except BaseException:
                self._roll_back()
                raise

    def go_on_in(self, file: LocalStore) -> None:
        """Leave memory for the file of another store, which nobody else uses: what is remembered goes along.

        A plan that another worker has kept there since stays, if it is newer than ours.

        Raises:
            sqlite3.Error: the file does not take it; all is as before.
        """
        with self._writing:
            plans, leases, events = (
                self._writer.execute(f"SELECT {columns} FROM {table}").fetchall()  # noqa: S608 - names of ours
                for table, columns in (
                    ("last_known_plan", "panel, dialled, plan"),
                    ("known_lease", "key, lease"),
                    ("spooled_event ORDER BY id", "event"),
                )
            )
            # The events last: those of a failed try are still here and would be told twice.
            with file._transaction() as writer:
                writer.executemany(_PLAN_IF_NEWER, plans)
            file.remember_leases(leases)
            file.spool([event for (event,) in events])
            memory, self._writer = self._writer, file._writer
            # Who waits for the lock of memory has the new reader beside one other, once: SQLite serializes the two.
            self._reader, self._reading = file._reader, file._reading
            memory.close()
            self.why_in_memory = ""

    def close(self) -> None:
        """Close both connections."""
        self._writer.close()
        self._reader.close()

    @contextmanager
    def _transaction(self) -> Iterator[sqlite3.Connection]:
        with self._writing:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield self._writer
                self._writer.execute("COMMIT")
            except BaseException:
                self._roll_back()
                raise

    def _roll_back(self) -> None:
        """Undo what has failed, unless SQLite has: it does when the disk is full, and would hide that by an error."""
        if self._writer.in_transaction:
            self._writer.execute("ROLLBACK")
