"""Two who write at the same time on PostgreSQL, where one waits for what the other holds."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar

import psycopg
import pytest

from tests.unit.crm.conftest import url_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.tables.database import CrmDatabase

Result = TypeVar("Result")
_WAITS = "SELECT 1 FROM pg_locks l WHERE NOT l.granted AND pg_backend_pid() = ANY (pg_blocking_pids(l.pid))"


def done_beside(database: CrmDatabase, first: str, then: str, work: Callable[[], Result]) -> Result:
    """Have `work` begin after the first statement of another transaction and wait for it; return what comes of it.

    SQLite has one writer at a time: the test is skipped there.

    Args:
        database: used by `work`, in a thread of its own.
        first: what the other transaction has done before.
        then: what it does when it is waited for.
        work: must wait for the other transaction, and must hold nothing by then that `then` needs.

    Raises:
        DeadlockDetected: each waited for the other.
    """
    if database.dialect == "sqlite":
        pytest.skip("it has one writer at a time")

    def worked() -> Result:
        try:
            return work()
        finally:
            database.forget_connection()

    with ThreadPoolExecutor(1) as beside, psycopg.connect(url_of(database)) as other:
        other.execute(first.encode())
        working = beside.submit(worked)
        last_s = time.monotonic() + 60
        while other.execute(_WAITS).fetchone() is None:
            assert not working.done(), f"nothing was waited for: {working.result()}"
            assert time.monotonic() < last_s
            time.sleep(0.01)
        other.execute(then.encode())
        other.commit()
        return working.result(60)
