"""Delivers the outbox: every change reaches the cache of ring plans, in the end and usually within 100 ms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Protocol

from crm_api.tables import dialled_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crm_api.services.context import Context

BATCH: Final = 1000
HEARTBEAT_MS: Final = 1000
PRUNE_EVERY_MS: Final = 3_600_000
ACCOUNT_CHANGES_KEPT_MS: Final = 7 * 24 * 3_600_000
RUN_ID: Final = "redis_run_id"


class Cache(Protocol):
    """What delivery needs of the cache (`adapters.plan_cache.PlanCache`); its methods raise when it is away."""

    def drop(self, pairs: Iterable[tuple[str, str]]) -> int:
        """Drop plans."""

    def drop_everything(self) -> int:
        """Drop all plans."""

    def say_delivered(self, at_ms: int) -> None:
        """Write the heartbeat."""

    def server_run_id(self) -> str:
        """Name this run of the server."""


class Delivery:
    """One pass at a time; called in a loop by `python -m crm_api.outbox`."""

    def __init__(self, context: Context, cache: Cache) -> None:
        self._context = context
        self._cache = cache
        self._heartbeat_at_ms = 0
        self._pruned_at_ms = 0

    def deliver(self) -> int:
        """Deliver everything that is due; return how many rows. Raises when Redis or the database is away.

        The heartbeat is the moment before the outbox was read: a change committed by then was seen by the read.
        A row is removed after its delivery; a crash in between delivers it twice, which does no harm.
        """
        database = self._context.database
        delivered = 0
        while True:
            now_ms = self._context.now_ms()
            rows = database.rows(
                "SELECT id, scope, payload FROM outbox WHERE due_at_ms <= ? ORDER BY id LIMIT ?", (now_ms, BATCH)
            )
            heartbeat_due = now_ms - self._heartbeat_at_ms >= HEARTBEAT_MS
            if not rows and not heartbeat_due and delivered == 0:
                return 0
            if heartbeat_due:
                self._distrust_older_state()
            for _, scope, payload in rows:
                self._cache.drop(self._pairs(scope, payload))
            if rows:
                with database.transaction():
                    database.many("DELETE FROM outbox WHERE id = ?", [(row[0],) for row in rows])
            delivered += len(rows)
            if len(rows) < BATCH:
                self._cache.say_delivered(now_ms)
                self._heartbeat_at_ms = now_ms
                self._prune(now_ms)
                return delivered

    def _pairs(self, scope: str, payload: str) -> Iterable[tuple[str, str]]:
        if scope == "numbers":
            return [(panel, dialled) for panel, dialled in json.loads(payload)]
        wider: dict[str, dialled_numbers.Scope] = {"panel": "panel", "house": "house", "company": "company"}
        return dialled_numbers.of_scope(self._context.database, wider.get(scope, "city"), int(payload))

    def _distrust_older_state(self) -> None:
        """Drop all plans when Redis is another run than before: it may have loaded plans that were dropped since."""
        run_id = self._cache.server_run_id()
        database = self._context.database
        known = database.row("SELECT value FROM delivery_state WHERE name = ?", (RUN_ID,))
        if known is not None and known[0] == run_id:
            return
        self._cache.drop_everything()
        with database.transaction():
            database.rows(
                "INSERT INTO delivery_state (name, value) VALUES (?, ?) "
                "ON CONFLICT (name) DO UPDATE SET value = excluded.value",
                (RUN_ID, run_id),
            )

    def _prune(self, now_ms: int) -> None:
        if now_ms - self._pruned_at_ms < PRUNE_EVERY_MS:
            return
        self._pruned_at_ms = now_ms
        with self._context.database.transaction():
            oldest = now_ms - ACCOUNT_CHANGES_KEPT_MS
            self._context.database.rows("DELETE FROM account_changes WHERE at_ms < ?", (oldest,))
