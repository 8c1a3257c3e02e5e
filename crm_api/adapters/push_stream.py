"""The streams that the push process reads and writes, over asyncio (docs/contracts.md, 7)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import redis
import redis.asyncio

from crm_api.adapters import redis_keys

SOURCE: Final = "pushes"
COUNT: Final = 200


class PushStream:
    """Wishes to push, what happens in calls, and what came of the pushes. Every method raises when Redis is away."""

    def __init__(self, url: str, consumer: str) -> None:
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(url, socket_connect_timeout=1.0)
        self._consumer = consumer
        self._told_until = ""  # not `$`: what comes between two looks would be lost

    async def wishes(self, block_ms: int) -> list[bytes]:
        """Return the next wishes. A wish is given out once: one that is late is of no use to anybody."""
        stream = redis_keys.PUSHES
        try:
            answer: Any = await self._redis.xreadgroup(
                redis_keys.PUSHES_GROUP, self._consumer, {stream: ">"}, count=COUNT, block=block_ms, noack=True
            )
        except redis.ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            await self._redis.xgroup_create(stream, redis_keys.PUSHES_GROUP, id="0", mkstream=True)
            return []
        return [fields[b"push"] for _, fields in _entries(answer) if b"push" in fields]

    async def told(self, block_ms: int) -> list[bytes]:
        """Return what has been told of calls since: JSON arrays of events."""
        if not self._told_until:
            newest: Any = await self._redis.xrevrange(redis_keys.CALL_EVENTS, count=1)
            self._told_until = newest[0][0].decode() if newest else "0-0"
        answer: Any = await self._redis.xread({redis_keys.CALL_EVENTS: self._told_until}, count=COUNT, block=block_ms)
        entries = _entries(answer)
        if entries:
            self._told_until = entries[-1][0].decode()
        return [fields.get(b"events", b"[]") for _, fields in entries]

    async def tell(self, events: list[dict[str, Any]]) -> None:
        """Add to the story of calls."""
        await self._redis.xadd(
            redis_keys.CALL_EVENTS,
            {"source": SOURCE, "events": msgspec.json.encode(events)},
            maxlen=redis_keys.CALL_EVENTS_LENGTH,
            approximate=True,
        )

    async def close(self) -> None:
        """Close the connections."""
        await self._redis.aclose()


def _entries(answer: Any) -> list[tuple[bytes, dict[bytes, bytes]]]:
    """Flatten an answer of XREAD (a list of pairs in RESP2, a mapping in RESP3)."""
    if not answer:
        return []
    streams = answer.values() if isinstance(answer, dict) else [entries for _, entries in answer]
    found: list[tuple[bytes, dict[bytes, bytes]]] = []
    for entries in streams:
        flat = entries[0] if isinstance(answer, dict) and entries and isinstance(entries[0], list) else entries
        found += [(entry_id, fields or {}) for entry_id, fields in flat]
    return found
