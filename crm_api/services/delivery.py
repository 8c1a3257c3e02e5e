"""Delivers the outbox: every change reaches the cache of ring plans, in the end and usually within 100 ms."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final, Protocol

from crm_api.tables import dialled_numbers

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable

    from crm_api.services.context import Context

BATCH: Final = 1000
HEARTBEAT_MS: Final = 1000
PRUNE_EVERY_MS: Final = 3_600_000
ACCOUNT_CHANGES_KEPT_MS: Final = 7 * 24 * 3_600_000
RUN_ID: Final = "redis_run_id"
# Not by id: SQLite would read what is not due for years, too. What is due at once has its moment below zero
# (`Changes`), so that this is its order as well, oldest first, and both databases take it from the index.
_DUE: Final = "SELECT id, scope, payload FROM outbox WHERE due_at_ms <= ? ORDER BY due_at_ms DESC LIMIT ?"
_NEXT: Final = "SELECT min(due_at_ms) FROM outbox"
_KNOWN_RUN: Final = "SELECT value FROM delivery_state WHERE name = ?"
_KNOW_RUN: Final = """
INSERT INTO delivery_state (name, value) VALUES (?, ?) ON CONFLICT (name) DO UPDATE SET value = excluded.value
"""


class Cache(Protocol):
    """What delivery needs of the cache (`adapters.plan_cache.PlanCache`); its methods raise when it is away."""

    def drop(self, pairs: Iterable[tuple[str, str]]) -> int:
        """Drop plans."""

    def drop_everything(self) -> int:
        """Drop all plans."""

    def say_delivered(self, at_ms: int, run_id: str) -> str:
        """Write the heartbeat if this run of the server still lasts; name the run there is."""


class Delivery:
    """One pass at a time; called in a loop by `python -m crm_api.outbox`."""

    def __init__(self, context: Context, cache: Cache) -> None:
        self._context = context
        self._cache = cache
        self._heartbeat_at_ms = 0
        self._pruned_at_ms = 0
        self._next_at_ms = 0
        self._run_id: str | None = None

    def deliver(self) -> int:
        """Deliver everything that is due; return how many rows. Raises when Redis or the database is away.

        The heartbeat is the moment before the outbox was read: a change committed by then was seen by the read.
        What is told twice in one batch is dropped once: all of it was committed before the batch was read, and which
        plans it means is looked up after that.
        A row is removed after its delivery; a crash in between delivers it twice, which does no harm.
        """
        database = self._context.database
        delivered = 0
        while True:
            now_ms = self._context.now_ms()
            rows = database.rows(_DUE, (now_ms, BATCH))
            told = dict.fromkeys((scope, payload) for _, scope, payload in rows)
            for scope, payload in told:
                self._cache.drop(self._pairs(scope, payload, told))
            if rows:
                with database.transaction():
                    database.many("DELETE FROM outbox WHERE id = ?", [(row[0],) for row in rows])
            delivered += len(rows)
            if len(rows) < BATCH:
                if delivered or abs(now_ms - self._heartbeat_at_ms) >= HEARTBEAT_MS:  # the clock may be put back
                    self._say_delivered(now_ms)
                    self._prune(now_ms)
                following = database.row(_NEXT)
                self._next_at_ms = self._heartbeat_at_ms + HEARTBEAT_MS
                if following is not None and following[0] is not None:
                    self._next_at_ms = min(self._next_at_ms, following[0])
                return delivered

    def rest_s(self) -> float:
        """Return for how long nothing is to be done, unless somebody makes a change."""
        return max(0, min(self._next_at_ms - self._context.now_ms(), HEARTBEAT_MS)) / 1000

    def _pairs(self, scope: str, payload: str, told: Collection[tuple[str, str]]) -> Iterable[tuple[str, str]]:
        """Return what a row means; what other rows of its batch (`told`) mean is left to them."""
        if scope == "numbers":
            return [(panel, dialled) for panel, dialled in json.loads(payload)]
        if scope == "apartments":
            return dialled_numbers.of_changed_rights(self._context.database, json.loads(payload))
        if scope == "account":
            return dialled_numbers.of_account(self._context.database, int(payload), told)
        if scope == "block_kind":
            return dialled_numbers.of_block_kind(self._context.database, int(payload))
        wider: dict[str, dialled_numbers.Scope] = {"panel": "panel", "house": "house", "company": "company"}
        return dialled_numbers.of_scope(self._context.database, wider.get(scope, "city"), int(payload))

    def _say_delivered(self, now_ms: int) -> None:
        """Write the heartbeat; first drop all plans of a Redis that is another run than before.

        It may have loaded plans that were dropped since.
        """
        database = self._context.database
        if self._run_id is None:
            known = database.row(_KNOWN_RUN, (RUN_ID,))
            self._run_id = "" if known is None else str(known[0])
        while (run_id := self._cache.say_delivered(now_ms, self._run_id)) != self._run_id:
            self._cache.drop_everything()
            with database.transaction():
                database.rows(_KNOW_RUN, (RUN_ID, run_id))
            self._run_id = run_id
        self._heartbeat_at_ms = now_ms

    def _prune(self, now_ms: int) -> None:
        if now_ms - self._pruned_at_ms < PRUNE_EVERY_MS:
            return
        self._pruned_at_ms = now_ms
        with self._context.database.transaction():
            oldest = now_ms - ACCOUNT_CHANGES_KEPT_MS
            self._context.database.rows("DELETE FROM account_changes WHERE at_ms < ?", (oldest,))
