"""Runs blocking work in a thread, one piece at a time, away from the greenlets of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeVar

from gevent.lock import RLock
from gevent.threadpool import ThreadPool

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

Result = TypeVar("Result")


class Runner(Protocol):
    """Runs functions away from the greenlets, in turn."""

    def __call__(self, work: Callable[[], Result], /) -> Result:
        """The result of `work()`; what it raises is raised here. Only the calling greenlet waits."""

    def alone(self) -> AbstractContextManager[object]:
        """While the block runs, no other greenlet gets a turn."""


class ThreadRunner:
    """A `Runner` on one native thread."""

    def __init__(self) -> None:
        self._threads = ThreadPool(1)
        self._turn = RLock()

    def __call__(self, work: Callable[[], Result], /) -> Result:
        """The result of `work()`; what it raises is raised here. Only the calling greenlet waits."""
        with self._turn:
            result: Result = self._threads.apply(work)
        return result

    def alone(self) -> AbstractContextManager[object]:
        """While the block runs, no other greenlet gets a turn."""
        turn: AbstractContextManager[object] = self._turn
        return turn
