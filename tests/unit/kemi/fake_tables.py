"""Tables in shared memory (htable) and queues (mqueue), as the stand-in for KSR has them."""

from __future__ import annotations

from collections import defaultdict, deque


class FakeTables:
    """Attributes are what a test sets and reads; methods are named by what they stand for."""

    def __init__(self) -> None:
        self.tables: dict[str, dict[str, str | int]] = defaultdict(dict)
        self.queues: dict[str, deque[tuple[str, str]]] = defaultdict(deque)
        self.iterated: list[tuple[str, str | int]] = []
        self._item: tuple[str, str] | None = None

    def increment(self, table: str, key: str, by: int) -> int:
        """sht_inc and sht_dec of a table with initval=0."""
        value = self.tables[table].get(key, 0)
        if not isinstance(value, int):
            return -255
        self.tables[table][key] = value + by
        return value + by

    def put(self, table: str, key: str, value: str | int) -> int:
        """sht_sets and sht_seti."""
        self.tables[table][key] = value
        return 1

    def drop(self, table: str, key: str) -> int:
        """sht_rm."""
        self.tables[table].pop(key, None)
        return 1

    def iterate(self, table: str) -> int:
        """sht_iterator_start."""
        self.iterated = [("", ""), *self.tables[table].items()]
        return 1

    def iterate_next(self) -> int:
        """sht_iterator_next."""
        self.iterated.pop(0)
        return 1 if self.iterated else -1

    def fetch(self, queue: str) -> int:
        """mq_fetch."""
        self._item = self.queues[queue].popleft() if self.queues[queue] else None
        return 1 if self._item else -1

    def item(self) -> tuple[str, str]:
        """Return what mq_fetch has fetched."""
        if self._item is None:
            raise AssertionError("nothing was fetched")
        return self._item
