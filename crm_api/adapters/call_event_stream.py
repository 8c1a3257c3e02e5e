"""The Redis stream of call events, read as a consumer group."""

from __future__ import annotations

from typing import Any, Final

import redis

from crm_api.adapters import redis_keys

CLAIM_IDLE_MS: Final = 60_000
"""Entries that a consumer took and did not acknowledge for so long are taken over."""


class CallEventStream:
    """Entries not yet recorded. Every method raises when Redis is away."""

    def __init__(self, url: str, consumer: str) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(url, socket_timeout=5.0, socket_connect_timeout=1.0)
        self._consumer = consumer
        self._own_pending_read = False

    def read(self, count: int, block_ms: int) -> list[tuple[str, bytes]]:
        """Return at most `count` (entry id, JSON array of events); first those taken before and never acknowledged."""
        try:
            entries = self._unacknowledged(count)
            return entries or self._new(count, block_ms)
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._make_group()
            return []

    def done(self, entry_ids: list[str]) -> None:
        """Acknowledge and delete recorded entries: the stream holds only what still waits."""
        with self._redis.pipeline(transaction=False) as pipeline:
            pipeline.xack(redis_keys.CALL_EVENTS, redis_keys.CALL_RECORDS_GROUP, *entry_ids)
            pipeline.xdel(redis_keys.CALL_EVENTS, *entry_ids)
            pipeline.execute()

    def forget_progress(self) -> None:
        """Read this consumer's unacknowledged entries again (after a failure)."""
        self._own_pending_read = False

    def _unacknowledged(self, count: int) -> list[tuple[str, bytes]]:
        if self._own_pending_read:
            return []
        group = redis_keys.CALL_RECORDS_GROUP
        self._redis.xautoclaim(redis_keys.CALL_EVENTS, group, self._consumer, CLAIM_IDLE_MS, "0-0", count=count)
        answer: Any = self._redis.xreadgroup(group, self._consumer, {redis_keys.CALL_EVENTS: "0"}, count=count)
        entries = _entries(answer)
        self._own_pending_read = not entries
        return entries

    def _new(self, count: int, block_ms: int) -> list[tuple[str, bytes]]:
        answer: Any = self._redis.xreadgroup(
            redis_keys.CALL_RECORDS_GROUP, self._consumer, {redis_keys.CALL_EVENTS: ">"}, count=count, block=block_ms
        )
        return _entries(answer)

    def _make_group(self) -> None:
        self._redis.xgroup_create(redis_keys.CALL_EVENTS, redis_keys.CALL_RECORDS_GROUP, id="0", mkstream=True)


def _entries(answer: Any) -> list[tuple[str, bytes]]:
    """Flatten an answer of XREADGROUP (a list of pairs in RESP2, a mapping in RESP3)."""
    if not answer:
        return []
    streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer]
    found = []
    for entries in streams:
        flat = entries[0] if isinstance(answer, dict) and entries and isinstance(entries[0], list) else entries
        found += [(entry_id.decode(), (fields or {}).get(b"events", b"[]")) for entry_id, fields in flat]
    return found
