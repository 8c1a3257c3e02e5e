"""The Redis stream of call events, read as a consumer group."""

from __future__ import annotations

import time
from collections import deque
from typing import Any, Final

import redis

from crm_api.adapters import redis_keys
from crm_api.adapters.stream_entries import entries_of

CLAIM_IDLE_MS: Final = 60_000
"""Entries that a consumer took and did not acknowledge for so long are taken over."""
CLAIM_EVERY_S: Final = 30.0
"""How often they are looked for: a recorder may die on another host, or come back under another name."""
FOLLOWED_S: Final = 1.0
"""Recorded entries stay for so long: pushes follow calls in the same stream (`crm_api.adapters.push_stream`)."""


class CallEventStream:
    """Entries not yet recorded. Every method raises when Redis is away."""

    def __init__(self, url: str, consumer: str) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=1.0)
        self._consumer = consumer
        self._own_pending_read = False
        self._claim_at_s = 0.0
        self._is_first_look = True
        self._recorded: deque[tuple[float, list[str]]] = deque()

    def read(self, count: int, block_ms: int) -> list[tuple[str, bytes]]:
        """Return at most `count` (entry id, JSON array of events); first those taken before and never acknowledged."""
        try:
            self._delete(time.monotonic() - FOLLOWED_S)
            entries = self._unacknowledged(count)
            return entries or self._new(count, block_ms)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._make_group()
            return []

    def done(self, entry_ids: list[str]) -> None:
        """Acknowledge recorded entries; they are deleted a little later, so that the stream holds what still waits."""
        self._redis.xack(redis_keys.CALL_EVENTS, redis_keys.CALL_RECORDS_GROUP, *entry_ids)
        self._recorded.append((time.monotonic(), entry_ids))

    def _delete(self, recorded_until_s: float) -> None:
        while self._recorded and self._recorded[0][0] <= recorded_until_s:
            self._redis.xdel(redis_keys.CALL_EVENTS, *self._recorded[0][1])
            self._recorded.popleft()

    def forget_progress(self) -> None:
        """Read this consumer's unacknowledged entries again (after a failure)."""
        self._own_pending_read = False

    def _unacknowledged(self, count: int) -> list[tuple[str, bytes]]:
        if self._own_pending_read and time.monotonic() < self._claim_at_s:
            return []
        group = redis_keys.CALL_RECORDS_GROUP
        self._redis.xautoclaim(redis_keys.CALL_EVENTS, group, self._consumer, CLAIM_IDLE_MS, "0-0", count=count)
        answer: Any = self._redis.xreadgroup(group, self._consumer, {redis_keys.CALL_EVENTS: "0"}, count=count)
        entries = _told(answer)
        self._own_pending_read = not entries
        if not entries:
            self._claim_at_s = time.monotonic() + CLAIM_EVERY_S
            if self._is_first_look and not self._recorded:
                self._delete_left()
            self._is_first_look = False
        return entries

    def _delete_left(self) -> None:
        """Delete what a recorder before us has recorded and not deleted: all that was given out, if none waits."""
        groups: Any = self._redis.xinfo_groups(redis_keys.CALL_EVENTS)
        for group in groups:
            if group["name"] == redis_keys.CALL_RECORDS_GROUP.encode() and group["pending"] == 0:
                at_ms, _, number = group["last-delivered-id"].decode().partition("-")
                self._redis.xtrim(redis_keys.CALL_EVENTS, minid=f"{at_ms}-{int(number) + 1}", approximate=False)

    def _new(self, count: int, block_ms: int) -> list[tuple[str, bytes]]:
        answer: Any = self._redis.xreadgroup(
            redis_keys.CALL_RECORDS_GROUP, self._consumer, {redis_keys.CALL_EVENTS: ">"}, count=count, block=block_ms
        )
        return _told(answer)

    def _make_group(self) -> None:
        self._redis.xgroup_create(redis_keys.CALL_EVENTS, redis_keys.CALL_RECORDS_GROUP, id="0", mkstream=True)


def _told(answer: Any) -> list[tuple[str, bytes]]:
    return [(entry_id.decode(), fields.get(b"events", b"[]")) for entry_id, fields in entries_of(answer)]
