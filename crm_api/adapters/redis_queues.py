"""How much waits in Redis, and when the background processes last said that they are there."""

from __future__ import annotations

from typing import Any, Final, NamedTuple

import msgspec
import redis

from crm_api.adapters import redis_keys

HEARTBEATS: Final = {
    "outbox": redis_keys.CRM_DELIVERED_AT_MS,
    "scheduler": redis_keys.SCHEDULER_AT_KEY,
    "panel_calls": redis_keys.PANELS_SEEN_AT_KEY,
    "emergency": redis_keys.EMERGENCY_AT_KEY,
    "jobs": redis_keys.JOBS_AT_KEY,
    "webhooks": redis_keys.WEBHOOKS_AT_KEY,
}


class PanelsFound(msgspec.Struct, frozen=True):
    """What the last look at all panels has found: how many are enabled, and how many of these registered."""

    enabled: int
    registered: int


class Waiting(NamedTuple):
    """What was found.

    `call_events`: entries that are not recorded yet; `oldest_call_event_at_ms`: when the oldest of them was written;
    `pushes`, `voice_calls`: wishes to push, or to have a phone called by a voice API, that no process has taken (None:
    Redis cannot tell); `heartbeats_at_ms`: by process, those that have ever been written; `panels`: None when nobody
    has been able to look at them for some time.
    """

    call_events: int
    oldest_call_event_at_ms: int | None
    pushes: int | None
    voice_calls: int | None
    heartbeats_at_ms: dict[str, int]
    panels: PanelsFound | None = None


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
                pipeline.mget(list(HEARTBEATS.values()))
                pipeline.get(redis_keys.PANELS_REGISTERED)
                length, oldest, beats, panels = pipeline.execute()
            pushes = self._not_taken(redis_keys.PUSHES, redis_keys.PUSHES_GROUP)
            voice_calls = self._not_taken(redis_keys.VOICE_CALLS, redis_keys.VOICE_CALLS_GROUP)
        except (redis.RedisError, OSError):
            return None
        told = dict(zip(HEARTBEATS, beats, strict=True))
        return Waiting(
            int(length),
            int(str(oldest[0][0]).partition("-")[0]) if oldest else None,
            pushes,
            voice_calls,
            {process: int(at_ms) for process, at_ms in told.items() if at_ms is not None},
            None if panels is None else msgspec.json.decode(panels, type=PanelsFound),
        )

    def _not_taken(self, stream: str, group: str) -> int | None:
        """Return how many entries a group has not been given; all of them where nobody has ever asked."""
        if not self._redis.exists(stream):
            return 0
        groups: Any = self._redis.xinfo_groups(stream)
        lags = [found.get("lag") for found in groups if found["name"] == group]
        if not lags:
            return int(str(self._redis.xlen(stream)))
        return None if lags[0] is None else int(lags[0])
