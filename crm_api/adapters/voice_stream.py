"""The stream of wishes to have phones called by a voice API (docs/contracts.md, 7)."""

from __future__ import annotations

from typing import Any, Final

import redis

from crm_api.adapters import redis_keys

COUNT: Final = 100


class VoiceStream:
    """Wishes of the proxy. A wish is given out once: one that is late is of no use to anybody."""

    def __init__(self, url: str, consumer: str) -> None:
        self._redis = redis.Redis.from_url(url, socket_connect_timeout=1.0)
        self._consumer = consumer

    def wishes(self, block_ms: int) -> list[bytes]:
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
        return [fields[b"voice"] for _, entries in _streams(answer) for _, fields in entries if b"voice" in fields]


def _streams(answer: Any) -> list[tuple[bytes, list[tuple[bytes, dict[bytes, bytes]]]]]:
    """Return the streams of an answer, which is a list of pairs (RESP2) or a mapping (RESP3)."""
    if isinstance(answer, dict):
        return [(name, entries[0] if entries else []) for name, entries in answer.items()]
    return list(answer or [])
