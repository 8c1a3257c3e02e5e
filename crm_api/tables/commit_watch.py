"""Waits until somebody has written to the database, instead of looking into it again and again.

SQLite appends every commit to the write-ahead log, and Linux tells of that (inotify). Of PostgreSQL nothing is known
here, so it is looked at in short turns. Whoever waits looks after the given time in any case: a file system that tells
of nothing makes it late, never blind.
"""

from __future__ import annotations

import ctypes
import os
import select
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import threading

    from crm_api.tables.database import CrmDatabase

TURN_S: Final = 0.1
"""How often to look where nothing tells of commits."""
SETTLES_S: Final = 0.05
"""From the first word of a commit to its end, and so often at most while commit follows commit."""
_MODIFIED: Final = 0x2  # IN_MODIFY
_EVENTS_SIZE: Final = 4096


class CommitWatch:
    """Tells when there may be something new in a database; for one thread."""

    def __init__(self, database: CrmDatabase, stopped: threading.Event) -> None:
        self._stopped = stopped
        self._log = os.fsencode(f"{database.peewee.database}-wal") if database.dialect == "sqlite" else None
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._told = -1 if self._log is None else self._libc.inotify_init1(os.O_NONBLOCK | os.O_CLOEXEC)
        self._look = select.poll()
        if self._told >= 0:
            self._look.register(self._told, select.POLLIN)

    def wait(self, longest_s: float) -> None:
        """Return soon after a commit that was made since the last look began, after a stop, or after `longest_s`."""
        if not self._is_watched():
            self._stopped.wait(min(TURN_S, longest_s))
        elif self._look.poll(longest_s * 1000):
            self._stopped.wait(SETTLES_S)
            os.read(self._told, _EVENTS_SIZE)

    def close(self) -> None:
        """Watch no more."""
        if self._told >= 0:
            os.close(self._told)
            self._told = -1

    def _is_watched(self) -> bool:
        """Watch the log that is there now; one that is watched already stays so, with what is told of it."""
        return self._told >= 0 and self._libc.inotify_add_watch(self._told, self._log, _MODIFIED) >= 0
