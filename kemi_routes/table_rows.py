"""Rows of the tables of the htable module: one that is kept from others for a moment, and all of a table."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from KSR import Ksr


@contextmanager
def locked(ksr: Ksr, table: str, key: str) -> Iterator[None]:
    """Keep every other process from a row while it is read and written; this one may still do both.

    Many keys share a lock: whoever takes a second one of the same table meanwhile may wait for ever.
    """
    ksr.htable.sht_lock(table, key)
    try:
        yield
    finally:
        ksr.htable.sht_unlock(table, key)


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
