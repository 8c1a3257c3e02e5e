"""Who is the scheduler: one process acts, others stand by and take over when it has been silent.

The lease saves work; it is not what keeps a slot from running twice. That is the unique index of `job_runs`, and the
attempt by which a run tells its holder from those before.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.services.context import Context

LEASE_MS: Final = 10_000
NAME: Final = "scheduler"

_RENEW: Final = "UPDATE scheduler_leases SET until_ms = ? WHERE name = ? AND holder = ? AND term = ? RETURNING term"
# A lease far in the future was written before the clock was put back.
_TAKE: Final = """
INSERT INTO scheduler_leases (name, holder, term, since_ms, until_ms) VALUES (?, ?, 1, ?, ?)
ON CONFLICT (name) DO UPDATE SET holder = excluded.holder, term = scheduler_leases.term + 1,
    since_ms = excluded.since_ms, until_ms = excluded.until_ms
WHERE scheduler_leases.until_ms < ? OR scheduler_leases.until_ms > ?
RETURNING term
"""
_GIVE_BACK: Final = "UPDATE scheduler_leases SET until_ms = 0 WHERE name = ? AND holder = ? AND term = ?"


class SchedulerLease:
    """The lease as one process sees it; `holder` must differ between processes."""

    def __init__(self, context: Context, holder: str, monotonic_s: Callable[[], float] = time.monotonic) -> None:
        self._context = context
        self._monotonic_s = monotonic_s
        self.holder = holder
        self._term: int | None = None
        self._renewed_s = 0.0

    @property
    def is_held(self) -> bool:
        """Say whether this process may act: it renewed the lease not long ago, by a clock that nobody can set."""
        return self._term is not None and self._monotonic_s() - self._renewed_s < LEASE_MS / 1000

    @property
    def term(self) -> int | None:
        """Return which time this is that somebody has the lease, None while we have not: it changes with the holder."""
        return self._term

    def keep(self) -> bool:
        """Renew the lease, or take it when its holder has been silent; say whether it is ours."""
        database, now_ms = self._context.database, self._context.now_ms()
        begun_s = self._monotonic_s()
        with database.transaction():
            found = None
            if self._term is not None:
                found = database.row(_RENEW, (now_ms + LEASE_MS, NAME, self.holder, self._term))
            if found is None:
                found = database.row(
                    _TAKE, (NAME, self.holder, now_ms, now_ms + LEASE_MS, now_ms, now_ms + 2 * LEASE_MS)
                )
        self._term = None if found is None else int(found[0])
        self._renewed_s = begun_s
        return self._term is not None

    def give_back(self) -> None:
        """Let another process take over at once."""
        if self._term is not None:
            with self._context.database.transaction():
                self._context.database.rows(_GIVE_BACK, (NAME, self.holder, self._term))
            self._term = None
