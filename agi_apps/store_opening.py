"""Opens this host's memory of calls, whatever became of its disk: no call waits for a file that only helps it."""

from __future__ import annotations

import fcntl
import logging
import os
import sqlite3
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from agi_apps.local_store import MEMORY, LocalStore

if TYPE_CHECKING:
    from collections.abc import Iterator

_log = logging.getLogger(__name__)

_DAMAGED = frozenset({sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT})
_PRIMARY_CODE = 0xFF
# Between two tries of a worker without its file.
RETRY_S = 10.0


def open_store(path: str) -> LocalStore:
    """The store at `path`; a new one where that was damaged; one in this process's memory where none can be had."""
    try:
        return _on_disk(path)
    except (sqlite3.Error, OSError) as error:
        _log.error(
            "%s cannot be used (%s): plans, leases and events that Redis does not take are kept in the memory of this "
            "worker alone until it can, which is tried every %d s", path, error, RETRY_S,
        )  # fmt: skip
        store = LocalStore(MEMORY)
        store.why_in_memory = (
            f"{path} cannot be used ({error}), what it would keep is lost when FastAGI ends: let its user write "
            f"there, it is tried again every {RETRY_S:.0f} s"
        )
        return store


def return_to_file(store: LocalStore, path: str, retry_s: float = RETRY_S) -> None:
    """Let a store in memory go on in its file as soon as that can be used; returns then."""
    while store.why_in_memory:
        time.sleep(retry_s)
        try:
            file = _on_disk(path)
        except (sqlite3.Error, OSError):
            continue
        try:
            store.go_on_in(file)
        except sqlite3.Error as error:
            file.close()
            _log.error("%s can be opened and takes nothing: %s", path, error)
        else:
            _log.warning("%s can be used again: what was kept in memory is in it now", path)


def _on_disk(path: str) -> LocalStore:
    Path(path).parent.mkdir(parents=True, exist_ok=True)
    try:
        with _locked(path, fcntl.LOCK_SH):
            return LocalStore(path)
    except sqlite3.DatabaseError as error:
        if not _is_damage(error):
            raise
    with _locked(path, fcntl.LOCK_EX):
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
def _locked(path: str, lock: int) -> Iterator[None]:
    """Keep other workers of this host from putting aside what this one opens or begins.

    Alone (`LOCK_EX`) also from opening it: whoever has the damaged file open finds by its name what belongs to the new
    one (`-wal`, `-shm`), and removes that as he closes.
    """
    folder = os.open(Path(path).parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        fcntl.flock(folder, lock)
        yield
    finally:
        os.close(folder)


def _put_aside(path: str, error: sqlite3.DatabaseError) -> None:
    """Move a damaged file out of the way. First what belongs to it: SQLite would write that into its successor."""
    for beside in ("-wal", "-shm"):
        Path(path + beside).unlink(missing_ok=True)
    damaged = Path(path).replace(path + ".damaged")
    _log.error("%s is damaged (%s): it is %s now, and a new one is begun", path, error, damaged)
