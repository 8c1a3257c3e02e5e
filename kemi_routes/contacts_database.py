"""Sets how the database of contacts is written, where no module parameter can (SQLite only)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from KSR import Ksr

_DATABASE = "location"
_RESULT = "location"
# Ranks of processes that have no connection: before the fork, the main process, the main TCP process.
_UNCONNECTED = frozenset((-127, 0, -4))


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
    if ksr.sqlops.sql_query(_DATABASE, "pragma synchronous=normal", _RESULT) < 0:
        ksr.warn(
            f"contacts are written slowly: {url} does not take `pragma synchronous=normal` (process rank {rank})\n"
        )
        return
    ksr.sqlops.sql_result_free(_RESULT)
