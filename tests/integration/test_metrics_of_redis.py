"""What metrics tell of a real Redis: what waits, who lives, and that it is away."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING

from crm_api.adapters import redis_keys
from crm_api.adapters.call_event_stream import FOLLOWED_S, CallEventStream
from crm_api.adapters.redis_queues import RedisQueues, Waiting
from crm_api.adapters.voice_stream import VoiceStream

if TYPE_CHECKING:
    import redis as redis_py

    from lab.stack import Stack


def test_what_waits_is_counted_until_it_is_taken(url: str, client: redis_py.Redis) -> None:
    queues = RedisQueues(url)
    empty = queues.waiting()
    assert empty is not None
    assert empty == Waiting(0, None, 0, 0, {})
    for at_ms in (5000, 6000):
        client.xadd(redis_keys.CALL_EVENTS, {"source": "agi", "events": "[]"}, id=f"{at_ms}-0")
    client.xgroup_create(redis_keys.PUSHES, redis_keys.PUSHES_GROUP, id="0", mkstream=True)
    for _ in range(3):
        client.xadd(redis_keys.PUSHES, {"push": json.dumps({})})
    for _ in range(2):
        client.xadd(redis_keys.VOICE_CALLS, {"voice": json.dumps({})})
    client.set(redis_keys.SCHEDULER_AT_KEY, "7000")
    found = queues.waiting()
    assert found is not None
    assert (found.call_events, found.oldest_call_event_at_ms, found.pushes) == (2, 5000, 3)
    assert found.voice_calls == 2, "also when nobody has ever asked for them"
    assert found.heartbeats_at_ms == {"scheduler": 7000}
    client.xreadgroup(redis_keys.PUSHES_GROUP, "one", {redis_keys.PUSHES: ">"}, count=2, noack=True)
    voice = VoiceStream(url, "one")
    assert voice.wishes(10) == []  # makes the group
    assert len(voice.wishes(10)) == 2
    stream = CallEventStream(url, "one")
    assert stream.read(1, 10) == []  # makes the group
    taken = [entry for entry, _ in stream.read(1, 10)] or [entry for entry, _ in stream.read(1, 10)]
    stream.done(taken)
    until_s = time.monotonic() + FOLLOWED_S + 60
    while (left := queues.waiting()) is not None and left.call_events > 1:
        assert time.monotonic() < until_s
        stream.read(1, 50)  # takes the other, and in time deletes the one that is done
    assert left is not None
    assert (left.call_events, left.oldest_call_event_at_ms, left.pushes, left.voice_calls) == (1, 6000, 1, 0)


def test_a_redis_that_is_away_is_nobodys_error(redis_lab: Stack, url: str) -> None:
    queues = RedisQueues(url)
    assert queues.waiting() is not None
    redis_lab.kill("redis")
    assert queues.waiting() is None
