"""Sets how the database of contacts is written, where no module parameter can (SQLite only)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from KSR import Ksr

_DATABASE = "location"
_RESULT = "location"
# Ranks of processes that have no connection: before the fork, the main process, the main TCP process.
_UNCONNECTED = frozenset((-127, 0, -4))


# SQLite by itself copies back after a thousand pages, at each commit again while another worker reads: three of four
# writes to the disk were that. So one process does it every second.
_SETTINGS = ("synchronous=normal", "wal_autocheckpoint=0")
_COPY_BACK = "pragma wal_checkpoint(%s)"
# Pages (4 kB) in the write-ahead log above which writers wait until it can begin from the start again.
_LONG_LOG = 8000


def prepare(ksr: Ksr, rank: int, url: str) -> None:
    """Write without waiting for the disk at each contact, in this process.

    With `synchronous=FULL` every write waits for the disk while it holds the lock of the file: at 500 registrations a
    second writers starve ("database is locked"). With WAL and `NORMAL` a contact survives the death of Kamailio all the
    same; only with the machine's power the last ones are lost, and the file stays sound (sqlite.org/pragma.html).

    Args:
        ksr: Kamailio.
        rank: rank of the process, as `child_init` gets it.
        url: database of contacts.
    """
    if rank in _UNCONNECTED or not url.startswith("sqlite:"):
        return
    for setting in _SETTINGS:
        if ksr.sqlops.sql_query(_DATABASE, f"pragma {setting}", _RESULT) < 0:
            ksr.warn(f"contacts are written slowly: {url} does not take `pragma {setting}` (process rank {rank})\n")
            return
        ksr.sqlops.sql_result_free(_RESULT)


def copy_back(ksr: Ksr, url: str) -> None:
    """Copy the write-ahead log back into the file, without waiting unless the log has grown long."""
    if not url.startswith("sqlite:") or _copied(ksr, "passive") < _LONG_LOG:
        return
    _copied(ksr, "restart")


def _copied(ksr: Ksr, mode: str) -> int:
    """Copy back; return the length of the log in pages, 0 when the database does not say."""
    if ksr.sqlops.sql_query(_DATABASE, _COPY_BACK % mode, _RESULT) < 0:
        return 0
    try:
        pages = ksr.sqlops.sql_result_get(_RESULT, 0, 1)
        return pages if isinstance(pages, int) else int(str(pages))
    finally:
        ksr.sqlops.sql_result_free(_RESULT)
