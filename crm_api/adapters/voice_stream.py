"""The stream of wishes to have phones called by a voice API (docs/contracts.md, 7)."""

from __future__ import annotations

from typing import Any, Final

import redis

from crm_api.adapters import redis_keys
from crm_api.adapters.stream_entries import Wish, entries_of, wishes_of

COUNT: Final = 100


class VoiceStream:
    """Wishes of the proxy. A wish is given out once: one that is late is of no use to anybody."""

    def __init__(self, url: str, consumer: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_connect_timeout=1.0)
        self._consumer = consumer

    def wishes(self, block_ms: int) -> list[Wish]:
        """Return the next wishes; raises when Redis is away."""
        stream, group = redis_keys.VOICE_CALLS, redis_keys.VOICE_CALLS_GROUP
        try:
            answer: Any = self._redis.xreadgroup(
                group, self._consumer, {stream: ">"}, count=COUNT, block=block_ms, noack=True
            )
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            self._redis.xgroup_create(stream, group, id="0", mkstream=True)
            return []
        entries = entries_of(answer)
        return wishes_of(entries, b"voice", self._time()) if entries else []

    def _time(self) -> tuple[int, int] | None:
        try:
            answer: Any = self._redis.time()
        except redis.RedisError:  # it went away in this moment, and what was read of it is nowhere else
            return None
        return (int(answer[0]), int(answer[1]))
