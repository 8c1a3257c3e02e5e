"""Workers of Kamailio side by side: each has a message of its own, all have the tables; who is next, the test says.

A worker may be overtaken before each function of htable that it calls. One that wants a row which another has locked
waits for it, as in Kamailio.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

from tests.unit.kemi.fake_ksr import FakeKsr

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from tests.unit.kemi.sip_message import Message

Row = tuple[object, object]


class Worker(FakeKsr):
    """One worker, with the tables and queues of another."""

    def __init__(self, message: Message, others: FakeKsr) -> None:
        super().__init__(message)
        self.defines, self.tables, self.queues = others.defines, others.tables, others.queues
        self.wants: Row | None = None
        self.holds: set[Row] = set()
        self.is_done = False
        self._may_go = threading.Semaphore(0)
        self._has_stopped = threading.Semaphore(0)
        self._error: BaseException | None = None
        self._thread: threading.Thread | None = None

    def function(self, name: str) -> Callable[..., object]:
        """Return the checked function; of htable one that waits for its turn, but a table is looked through at once."""
        call = super().function(name)
        if not name.startswith("htable.") or "iterator" in name or threading.current_thread() is not self._thread:
            return call

        def in_turn(*arguments: object) -> object:
            table, key, *_ = arguments
            self.wants = (table, key)
            self._has_stopped.release()
            self._may_go.acquire()
            if name == "htable.sht_lock":
                self.holds.add((table, key))
            elif name == "htable.sht_unlock":
                self.holds.discard((table, key))
            return call(*arguments)

        return in_turn

    def begin(self, work: Callable[[FakeKsr], object]) -> None:
        """Work until a turn is needed."""

        def run() -> None:
            try:
                work(self)
            except BaseException as error:  # noqa: BLE001 - told to the test
                self._error = error
            self.is_done = True
            self._has_stopped.release()

        self._thread = threading.Thread(target=run, daemon=True)
        self._thread.start()
        self._has_stopped.acquire()

    def go(self) -> None:
        """Take a turn."""
        self._may_go.release()
        self._has_stopped.acquire()
        if self._error is not None:
            raise self._error


def side_by_side(works: Sequence[tuple[Worker, Callable[[FakeKsr], object]]], order: Iterator[int]) -> None:
    """Do all this work at once; `order` says whose turn it is among those who need not wait."""
    workers = [worker for worker, _ in works]
    for worker, work in works:
        worker.begin(work)
    while going := [worker for worker in workers if not worker.is_done]:
        ready = [
            worker
            for worker in going
            if not any(worker.wants in other.holds for other in workers if other is not worker)
        ]
        assert ready, "each waits for another"
        ready[next(order, 0) % len(ready)].go()
