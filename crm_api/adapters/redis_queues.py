"""How much waits in Redis, and when the background processes last said that they are there."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import redis

from crm_api.adapters import redis_keys

HEARTBEATS: Final = {
    "outbox": redis_keys.CRM_DELIVERED_AT_MS,
    "scheduler": redis_keys.SCHEDULER_AT_KEY,
    "panel_calls": redis_keys.PANELS_SEEN_AT_KEY,
}


class Waiting(NamedTuple):
    """What was found.

    `call_events`: entries that are not recorded yet; `oldest_call_event_at_ms`: when the oldest of them was written;
    `pushes`: wishes to push that no process has taken (None: Redis cannot tell); `heartbeats_at_ms`: by process, those
    that have ever been written.
    """

    call_events: int
    oldest_call_event_at_ms: int | None
    pushes: int | None
    heartbeats_at_ms: dict[str, int]


class RedisQueues:
    """Looks, and changes nothing."""

    def __init__(self, url: str) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=1.0, socket_connect_timeout=1.0
        )

    def waiting(self) -> Waiting | None:
        """Count what waits; None when Redis does not answer."""
        try:
            with self._redis.pipeline(transaction=False) as pipeline:
                pipeline.xlen(redis_keys.CALL_EVENTS)
                pipeline.xrange(redis_keys.CALL_EVENTS, count=1)
                pipeline.exists(redis_keys.PUSHES)
                pipeline.mget(list(HEARTBEATS.values()))
                length, oldest, has_pushes, beats = pipeline.execute()
            pushes = self._pushes() if has_pushes else 0
        except (redis.RedisError, OSError):
            return None
        told = dict(zip(HEARTBEATS, beats, strict=True))
        return Waiting(
            int(length),
            int(str(oldest[0][0]).partition("-")[0]) if oldest else None,
            pushes,
            {process: int(at_ms) for process, at_ms in told.items() if at_ms is not None},
        )

    def _pushes(self) -> int | None:
        groups: Any = self._redis.xinfo_groups(redis_keys.PUSHES)
        lags = [group.get("lag") for group in groups if group["name"] == redis_keys.PUSHES_GROUP]
        return int(lags[0]) if lags and lags[0] is not None else None
