"""Refreshes of registrations: in a journal before the 200 OK, in the database seconds later, many at once.

A phone that only says again that it is there changes nothing but a few moments in its row; writing each through costs
more than all else about a REGISTER (docs/decisions/0007-contacts-on-disk.md). So usrloc keeps it in memory, and a line
goes to the journal, a file beside the database: `[ruid, expires, Call-ID, CSeq, modified]`, moments in epoch seconds.

There is one file for every two seconds, so that nobody waits for anybody: workers append to that of now, the process of
the rtimer `contacts` takes those whose time is over. What a killed Kamailio has left is taken before contacts are read.
SQLite only: for another database `journal_of` gives None and every REGISTER is written through.
"""

from __future__ import annotations

import json
import os
import sqlite3
import time
from contextlib import closing
from functools import lru_cache
from json.encoder import encode_basestring_ascii as quoted
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable

    from KSR import Ksr

_SQLITE = "sqlite:///"
_SLOT_S = 2
# A worker that wrote to a file this many slots old may have come too late: the file may have been taken already.
_TAKEN_AFTER_SLOTS = 2
# Rows of one transaction: it holds the lock of the file for some milliseconds.
_BATCH = 500
_BUSY_S = 5.0
# db_sqlite keeps moments as Julian days.
_JULIAN_OF_EPOCH = 2440587.5
_DAY_S = 86400.0
# A phone that stays away leaves its row, as usrloc takes what was last kept in memory out of memory only.
_SWEEP_EVERY_S = 3600.0
_UPDATE = """UPDATE location SET expires = ?, callid = ?, cseq = ?, last_modified = ?
    WHERE ruid = ? AND last_modified < ? + 1.0 / 86400"""


class Refresh(NamedTuple):
    """What a refresh changes in a contact's row; moments in epoch seconds."""

    ruid: str
    expires_s: int
    call_id: str
    cseq: int
    modified_s: int


def _julian(epoch_s: float) -> float:
    return epoch_s / _DAY_S + _JULIAN_OF_EPOCH


def path_of(url: str) -> Path | None:
    """File of the database of contacts, None when it is not SQLite."""
    return Path(url.removeprefix(_SQLITE)) if url.startswith(_SQLITE) else None


class Journal:
    """Appends to the journal; one in each process."""

    def __init__(self, database: Path) -> None:
        self._prefix = f"{database}-refreshes."
        self._slot = -1
        self._file = -1

    def append(self, refresh: Refresh) -> None:
        """Write one refresh down; when this returns, it survives the death of every process.

        Raises:
            OSError: it cannot be written (the disk is full).
        """
        ruid, expires_s, call_id, cseq, modified_s = refresh
        line = f"[{quoted(ruid)},{expires_s},{quoted(call_id)},{cseq},{modified_s}]\n".encode()
        while True:
            slot = int(time.time()) // _SLOT_S
            if slot != self._slot:
                self._open(slot)
            os.write(self._file, line)
            if time.time() < (slot + _TAKEN_AFTER_SLOTS) * _SLOT_S:
                return

    def _open(self, slot: int) -> None:
        if self._file >= 0:
            os.close(self._file)
            self._file = -1
        self._slot = -1
        self._file = os.open(f"{self._prefix}{slot}", os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)
        self._slot = slot


@lru_cache(maxsize=1)
def journal_of(url: str) -> Journal | None:
    """Return this process's journal for a database of contacts; None when there is none for its kind."""
    database = path_of(url)
    return None if database is None else Journal(database)


def _files(database: Path) -> list[tuple[int, Path]]:
    """Files of the journal with their slots, oldest first."""
    found = [(path.suffix[1:], path) for path in database.parent.glob(f"{database.name}-refreshes.*")]
    return sorted((int(slot), path) for slot, path in found if slot.isdecimal())


def _read(path: Path) -> dict[str, Refresh]:
    """Last refresh of each contact. A line that is no refresh is half a line: its phone has had no 200."""
    lines = path.read_text(encoding="ascii", errors="replace").splitlines()
    try:
        # All at once: line by line, reading them took a tenth of what a REGISTER costs.
        refreshes = [Refresh(*row) for row in json.loads(f"[{','.join(lines)}]")]
    except (ValueError, TypeError):
        refreshes = [refresh for line in lines if (refresh := _of(line)) is not None]
    return {refresh.ruid: refresh for refresh in refreshes}


def _of(line: str) -> Refresh | None:
    try:
        return Refresh(*json.loads(line))
    except (ValueError, TypeError):
        return None


def _write(database: sqlite3.Connection, refreshes: Iterable[Refresh]) -> None:
    rows = [
        (_julian(r.expires_s), r.call_id, r.cseq, _julian(r.modified_s), r.ruid, _julian(r.modified_s))
        for r in refreshes
    ]
    for start in range(0, len(rows), _BATCH):
        with database:
            database.executemany(_UPDATE, rows[start : start + _BATCH])


def _connect(database: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(database, timeout=_BUSY_S)
    connection.execute("pragma synchronous=normal")
    return connection


def take_over(ksr: Ksr, url: str) -> None:
    """Bring to the database what a killed Kamailio has left in the journal, before contacts are read."""
    database = path_of(url)
    left = _files(database) if database is not None else []
    if database is None or not left:
        return
    try:
        with closing(_connect(database)) as connection:
            for _, path in left:
                _write(connection, _read(path).values())
    except (OSError, sqlite3.Error) as error:
        ksr.err(f"refreshes of contacts in {database}-refreshes.* are left there, they cannot be written: {error}\n")
        return
    for _, path in left:
        path.unlink(missing_ok=True)


class RefreshWriter:
    """Brings the journal to the database, in a process of its own."""

    def __init__(self, url: str) -> None:
        self._database = path_of(url)
        self._connection: sqlite3.Connection | None = None
        self._away = False
        self._sweep_at = time.monotonic() + _SWEEP_EVERY_S

    def tick(self, ksr: Ksr) -> None:
        """Take the files whose time is over. While the database does not take them they stay."""
        if self._database is None:
            return
        open_from = int(time.time()) // _SLOT_S - _TAKEN_AFTER_SLOTS + 1
        try:
            if self._connection is None:
                self._connection = _connect(self._database)
            for slot, path in _files(self._database):
                if slot < open_from:
                    _write(self._connection, _read(path).values())
                    path.unlink(missing_ok=True)
            if time.monotonic() >= self._sweep_at:
                self._sweep_at = time.monotonic() + _SWEEP_EVERY_S
                self._sweep(self._connection)
        except (OSError, sqlite3.Error) as error:
            if not self._away:
                ksr.warn(f"refreshes of contacts stay in the journal: {self._database} does not take them ({error})\n")
            self._away = True
            return
        if self._away:
            ksr.warn("refreshes of contacts are written again\n")
        self._away = False

    def _sweep(self, connection: sqlite3.Connection) -> None:
        """Delete rows of contacts that have been over for an hour."""
        limit = (_julian(time.time() - _SWEEP_EVERY_S),)
        gone = connection.execute("SELECT id FROM location WHERE expires < ?", limit).fetchall()
        for start in range(0, len(gone), _BATCH):
            with connection:
                connection.executemany(
                    "DELETE FROM location WHERE id = ? AND expires < ?",
                    [(*row, *limit) for row in gone[start : start + _BATCH]],
                )
