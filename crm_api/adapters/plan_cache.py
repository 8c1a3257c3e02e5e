"""Ring plans cached in Redis, as the CRM sees them: it only drops them and says up to when it has."""

from __future__ import annotations

from itertools import islice
from typing import TYPE_CHECKING, Final

import redis

from crm_api.adapters import redis_keys

if TYPE_CHECKING:
    from collections.abc import Iterable

BATCH: Final = 1000
SCAN_COUNT: Final = 2000

RedisErrors = (redis.RedisError, OSError)

_SAY_DELIVERED: Final = """
local run = string.match(redis.call('INFO', 'server'), 'run_id:(%w+)') or ''
if run == ARGV[2] then redis.call('SET', KEYS[1], ARGV[1]) end
return run
"""


class PlanCache:
    """Drops cached plans. Every method raises one of `RedisErrors` when Redis is away."""

    def __init__(self, url: str) -> None:
        self._redis: redis.Redis = redis.Redis.from_url(
            url, decode_responses=True, socket_timeout=1.0, socket_connect_timeout=1.0
        )

    def drop(self, pairs: Iterable[tuple[str, str]]) -> int:
        """Put a tombstone over the plan of every (panel, number) pair; return how many."""
        return self._drop_keys(redis_keys.ring_plan(panel, dialled) for panel, dialled in pairs)

    def drop_everything(self) -> int:
        """Put a tombstone over every plan there is: after Redis came back with an older state of its own."""
        keys = self._redis.scan_iter(match=f"{redis_keys.RING_PLAN_PREFIX}*", count=SCAN_COUNT)
        return self._drop_keys(str(key) for key in keys)

    def say_delivered(self, at_ms: int, run_id: str) -> str:
        """Write the heartbeat: every change up to this moment has been delivered; but only to this run of the server.

        Return which run there is: another one after each restart or failover.
        """
        return str(self._redis.eval(_SAY_DELIVERED, 1, redis_keys.CRM_DELIVERED_AT_MS, str(at_ms), run_id))

    def ping(self) -> None:
        """Raise when Redis does not answer."""
        self._redis.ping()

    def _drop_keys(self, keys: Iterable[str]) -> int:
        dropped = 0
        remaining = iter(keys)
        while batch := list(islice(remaining, BATCH)):
            with self._redis.pipeline(transaction=False) as pipeline:
                for key in batch:
                    pipeline.set(key, redis_keys.TOMBSTONE, px=redis_keys.TOMBSTONE_MS)
                pipeline.execute()
            dropped += len(batch)
        return dropped
