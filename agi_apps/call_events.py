"""Call events on their way to Redis: gathered for a moment, sent in one piece, spooled on disk while Redis is away."""

from __future__ import annotations

import logging
import math
import sqlite3
import threading
import time
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from agi_apps.redis_keys import (
    CALL_OVER_PREFIX,
    CALL_OVER_S,
    EVENT_SOURCE,
    EVENT_STREAM,
    EVENT_STREAM_LENGTH,
    PANEL_CALL_PREFIX,
    RELEASE_PANELS,
)
from agi_apps.redis_link import RedisAway

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from agi_apps.local_store import LocalStore
    from agi_apps.redis_link import RedisLink

    EventValue = str | int | None | Sequence["EventValue"] | Mapping[str, "EventValue"]

_log = logging.getLogger(__name__)

BATCH_EVENTS = 500
BUFFER_LIMIT_EVENTS = 20_000
# After a stop the disk keeps what a slow Redis has not taken by now: the master kills whoever is long about it.
LAST_DELIVERY_S = 1.5


class CallEvents:
    """Takes events from the applications at once; a thread delivers them.

    An event that Redis may have taken although its answer was lost is delivered again: readers of the stream treat
    (`event`, `call_id`, `at_ms`) as the identity of an event.
    """

    def __init__(self, redis: RedisLink, store: LocalStore, gather_s: float = 0.1, retry_s: float = 1.0) -> None:
        self._redis = redis
        self._store = store
        self._gather_s = gather_s
        self._retry_s = retry_s
        self._waiting: deque[bytes] = deque()
        self._over: deque[tuple[str, str, int]] = deque(maxlen=BUFFER_LIMIT_EVENTS)
        self._wake = threading.Event()
        self._delivering = threading.Lock()
        self._closing = False
        self._until_s = math.inf
        self.dropped = 0

    def add(self, event: Mapping[str, EventValue]) -> None:
        """Take an event. Never waits and never fails."""
        if len(self._waiting) >= BUFFER_LIMIT_EVENTS:
            self.dropped += 1
            return
        self._waiting.append(msgspec.json.encode(event))
        if event["event"] == "ended":
            panel, dialled, call_id = str(event["panel"]), str(event["dialled"]), str(event["call_id"])
            moves = int(str(event.get("moves") or 0))
            self._over.append((panel, call_id, moves))
            if dialled[:1].isalpha():
                # A panel, called by the name of its account.
                self._over.append((dialled, call_id, moves))
        if not self._wake.is_set():
            self._wake.set()

    def panel_is_free(self, panel: str, call_id: str, moves: int = 0) -> None:
        """Say that a call to a panel is over, which had moved so often. Never waits and never fails."""
        self._over.append((panel, call_id, moves))
        if not self._wake.is_set():
            self._wake.set()

    def run(self) -> None:
        """Deliver until `close`."""
        while not self._closing:
            if self._wake.wait(self._retry_s):
                time.sleep(self._gather_s)
            self.deliver()

    def close(self) -> None:
        """Deliver what is there, to Redis or to the disk."""
        self._until_s = time.monotonic() + LAST_DELIVERY_S
        self._closing = True
        self._wake.set()
        self.deliver()

    def deliver(self) -> None:
        """Hand over everything that waits: first what is spooled, so that order is kept, then the new."""
        with self._delivering:
            self._wake.clear()
            try:
                spooled = self._unspool()
            except sqlite3.Error:
                _log.exception("event spool cannot be read; new events are still delivered")
                spooled = True
            while events := self._take(BATCH_EVENTS):
                if not (spooled and self._send(events)) and not self._spool(events):
                    return
            self._release_panels()

    def _release_panels(self) -> None:
        """Say which panels are free again; what Redis does not take is said again (else: busy for 15 minutes)."""
        over = [self._over.popleft() for _ in range(min(BATCH_EVENTS, len(self._over)))]
        if not over:
            return
        keys = [key for panel, call, _ in over for key in (PANEL_CALL_PREFIX + panel, CALL_OVER_PREFIX + call)]
        try:
            calls = (f"{moves} {call}" for _, call, moves in over)
            self._redis.execute("EVAL", RELEASE_PANELS, len(keys), *keys, CALL_OVER_S, *calls)
        except RedisAway:
            self._over.extendleft(reversed(over))

    def _take(self, limit: int) -> list[bytes]:
        waiting = self._waiting
        return [waiting.popleft() for _ in range(min(limit, len(waiting)))]

    def _send(self, events: list[bytes]) -> bool:
        command = ("XADD", EVENT_STREAM, "MAXLEN", "~", EVENT_STREAM_LENGTH, "*",
                   "source", EVENT_SOURCE, "events", b"[" + b",".join(events) + b"]")  # fmt: skip
        try:
            self._redis.execute(*command)
        except RedisAway:
            return False
        return True

    def _spool(self, events: list[bytes]) -> bool:
        """Keep events on disk; False when that failed and they are kept in memory for the next try."""
        try:
            self._store.spool(events)
        except sqlite3.Error:
            self._waiting.extendleft(reversed(events))
            _log.exception("Redis is away and the event spool cannot be written; %d events are kept in memory",
                           len(self._waiting))  # fmt: skip
            return False
        return True

    def _unspool(self) -> bool:
        """Deliver spooled events; whether nothing is left of them."""
        while self._store.spooled():
            if self._redis.is_away or time.monotonic() > self._until_s or not self._deliver_spooled_batch():
                return False
        return True

    def _deliver_spooled_batch(self) -> bool:
        with self._store.taking_spooled(BATCH_EVENTS) as batch:
            batch.delivered = not batch.events or self._send(batch.events)
        return batch.delivered
