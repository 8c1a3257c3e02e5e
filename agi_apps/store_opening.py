"""Opens this host's memory of calls, whatever became of its disk: no call waits for a file that only helps it."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agi_apps.local_store import MEMORY, LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

_DAMAGED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_PRIMARY_CODE = 0xFF


def open_store(path: str) -> LocalStore:
    """The store at `path`; a new one where that was damaged; one in this process's memory where none can be had."""
    try:
        return _on_disk(path)
    except (sqlite3.Error, OSError) as error:
        _log.error(
            "%s cannot be used (%s): until this worker is started again, plans, leases and events that Redis does not "
            "take are kept in its memory alone", path, error,
        )  # fmt: skip
        return LocalStore(MEMORY)


def _on_disk(path: str) -> LocalStore:
    try:
        return LocalStore(path)
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
    with _alone(path):
        try:
            return LocalStore(path)  # another worker was here before
        except sqlite3.DatabaseError as error:
            if not _is_damage(error):
                raise
            _put_aside(path, error)
        return LocalStore(path)


def _is_damage(error: sqlite3.DatabaseError) -> bool:
    return getattr(error, "sqlite_errorcode", sqlite3.SQLITE_OK) & _PRIMARY_CODE in _DAMAGED


@contextmanager
def _alone(path: str) -> Iterator[None]:
    """Keep other workers of this host from putting aside what this one begins."""
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        yield
    finally:
        os.close(folder)


def _put_aside(path: str, error: sqlite3.DatabaseError) -> None:
    """Move a damaged file out of the way. First what belongs to it: SQLite would write that into its successor."""
    for beside in ("-wal", "-shm"):
        Path(path + beside).unlink(missing_ok=True)
    damaged = Path(path).replace(path + ".damaged")
    _log.error("%s is damaged (%s): it is %s now, and a new one is begun", path, error, damaged)
