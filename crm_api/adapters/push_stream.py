"""The streams that the push process reads and writes, over asyncio (docs/contracts.md, 7)."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import redis
import redis.asyncio

from crm_api.adapters import redis_keys
from crm_api.adapters.stream_entries import Wish, entries_of, place_of, wishes_of

SOURCE: Final = "pushes"
COUNT: Final = 200
BEFORE_MS: Final = 100
"""So much before a wish its call is followed: what is told of one moment is written in any order."""


class PushStream:
    """Wishes to push, what happens in calls, and what came of the pushes. Every method raises when Redis is away."""

    def __init__(self, url: str, consumer: str) -> None:
        self._redis: redis.asyncio.Redis = redis.asyncio.Redis.from_url(url, socket_connect_timeout=1.0)
        self._consumer = consumer
        self._told_until: tuple[int, int] | None = None

    async def wishes(self, block_ms: int) -> list[Wish]:
        """Return the next wishes. A wish is given out once: one that is late is of no use to anybody.

        From the moment of each on, `told` tells of calls.
        """
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
        entries = entries_of(answer)
        if not entries:
            return []
        wished = (place_of(entries[0][0])[0] - BEFORE_MS, 0)
        self._told_until = wished if self._told_until is None else min(self._told_until, wished)
        return wishes_of(entries, b"push", await self._time())

    async def _time(self) -> tuple[int, int] | None:
        try:
            answer: tuple[int, int] = await self._redis.time()
        except redis.RedisError:  # it went away in this moment, and what was read of it is nowhere else
            return None
        return answer

    async def told(self, block_ms: int) -> list[bytes]:
        """Return what has been told of calls since the last look: JSON arrays of events, some perhaps once more.

        The recorder leaves each for a while when it has recorded it (`crm_api.adapters.call_event_stream.FOLLOWED_S`).
        """
        since = self._told_until
        if since is None:
            return []
        answer: Any = await self._redis.xread(
            {redis_keys.CALL_EVENTS: f"{since[0]}-{since[1]}"}, count=COUNT, block=block_ms
        )
        entries = entries_of(answer)
        if entries and self._told_until == since:  # no wish has taken it back meanwhile
            self._told_until = place_of(entries[-1][0])
        return [fields.get(b"events", b"[]") for _, fields in entries]

    def follow_no_more(self) -> None:
        """Read nothing of calls until the next wish."""
        self._told_until = None

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
