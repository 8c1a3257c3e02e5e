"""Everything in a table of the htable module, for the processes that look through one now and then."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from KSR import Ksr


def collect(ksr: Ksr, table: str) -> dict[str, str]:
    """Return all keys with their values. Collected first: the iterator holds a lock."""
    found: dict[str, str] = {}
    if ksr.htable.sht_iterator_start(table, table) < 0:
        return found
    try:
        while ksr.htable.sht_iterator_next(table) > 0:
            found[str(ksr.pv.get(f"$shtitkey({table})"))] = str(ksr.pv.get(f"$shtitval({table})"))
    finally:
        ksr.htable.sht_iterator_end(table)
    return found
