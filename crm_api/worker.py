"""gunicorn's threaded worker that is ready before its first request: threads, connections and statements are there.

Threads would otherwise be made one by one under load, each opening its connection and having its statements planned
while a visitor waits. What the start has made lives as long as the process: the garbage collector need not look
through it again and again.
"""

from __future__ import annotations

import gc
import threading
from concurrent.futures import wait
from typing import TYPE_CHECKING, Final

import structlog
from gunicorn.workers.gthread import ThreadWorker

from crm_api.tables.database import DatabaseErrors

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

WARM_UP_S: Final = 10.0
"""A database that is away or slow must not keep the API from its start for longer."""

_log = structlog.get_logger("crm_api.worker")


class ReadyWorker(ThreadWorker):  # type: ignore[misc]  # gunicorn publishes no types
    """As `gthread`, after a warm-up; the application (`crm_api.server.CrmServer`) says what that is."""

    def run(self) -> None:
        """Get ready, then serve."""
        warm_up_threads(self.tpool, self.cfg.threads, self.app.warm_up)
        gc.collect()
        gc.freeze()
        super().run()


def warm_up_threads(pool: Executor, threads: int, warm_up: Callable[[], None]) -> None:
    """Do `warm_up` once in each thread of a pool; a database that is away is logged, and no reason not to start."""
    together = threading.Barrier(threads)

    def in_one_thread() -> None:
        # A thread that were done early would be given the next one's turn.
        together.wait(WARM_UP_S)
        warm_up()

    done, late = wait([pool.submit(in_one_thread) for _ in range(threads)], WARM_UP_S)
    if late:
        _log.warning("not warm in time", threads=len(late))
    for turn in done:
        error = turn.exception()
        if isinstance(error, DatabaseErrors):
            _log.warning("not warm: the database is away", reason=str(error))
        elif error is not None:
            raise error
