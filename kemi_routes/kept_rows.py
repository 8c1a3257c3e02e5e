"""A table of shared memory that is kept as rows of the database say, by the process that follows changes."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from KSR import Ksr

_WHOLE_AGAIN_S = 60.0


class KeptRows:
    """Keeps `name` -> entry; lives in the process of the rtimer `changes`.

    Read when a row has changed, and once a minute; while the database is away, what is known stays.
    """

    table: str
    """Name of the table in shared memory."""

    def __init__(self) -> None:
        self._kept: dict[str, str] = {}
        self._read_at = float("-inf")

    def read_anew(self) -> None:
        """Read at the next tick: a row has changed."""
        self._read_at = float("-inf")

    def tick(self, ksr: Ksr) -> None:
        """Read when it is time, and write what differs."""
        if time.monotonic() - self._read_at < _WHOLE_AGAIN_S:
            return
        found = self.read(ksr)
        if found is None:
            return
        self._read_at = time.monotonic()
        for name in self._kept.keys() - found.keys():
            ksr.htable.sht_rm(self.table, name)
            self.gone(ksr, self._kept[name])
        for name, entry in found.items():
            before = self._kept.get(name)
            if before != entry:
                ksr.htable.sht_sets(self.table, name, entry)
                self.changed(ksr, before, entry)
        self._kept = found

    def read(self, ksr: Ksr) -> dict[str, str] | None:
        """Return the entries by name; None while the database is away (changes.py says so in the log)."""
        raise NotImplementedError

    def gone(self, ksr: Ksr, entry: str) -> None:
        """Do what else is to be done when an entry is gone."""

    def changed(self, ksr: Ksr, before: str | None, entry: str) -> None:
        """Do what else is to be done when an entry is new (`before` None) or another."""
