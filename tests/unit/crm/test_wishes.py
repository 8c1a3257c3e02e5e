"""Wishes that are read from Redis are given out, whatever happens to it then: nobody reads them again."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
import redis

from crm_api.adapters import redis_keys
from crm_api.adapters.push_stream import PushStream
from crm_api.adapters.stream_entries import Wish
from crm_api.adapters.voice_stream import VoiceStream

WISHED_MS = 1_790_000_000_000


class Redis:
    """Has one wish in each stream; tells the time as long as it is there."""

    def __init__(self, *, goes_away: bool) -> None:
        self.goes_away = goes_away

    def xreadgroup(self, _group: str, _consumer: str, streams: dict[str, str], **_: Any) -> Any:
        field = b"push" if redis_keys.PUSHES in streams else b"voice"
        return [[next(iter(streams)).encode(), [(f"{WISHED_MS}-0".encode(), {field: b"{}"})]]]

    def time(self) -> tuple[int, int]:
        if self.goes_away:
            raise redis.ConnectionError("Connection reset by peer")
        return (WISHED_MS // 1000 + 2, 500_000)


class AsyncRedis:
    """The same over asyncio."""

    def __init__(self, there: Redis) -> None:
        self._there = there

    async def xreadgroup(self, *arguments: Any, **more: Any) -> Any:
        return self._there.xreadgroup(*arguments, **more)

    async def time(self) -> tuple[int, int]:
        return self._there.time()


@pytest.mark.parametrize(("goes_away", "age_ms"), [(False, 2500), (True, 0)])
def test_a_wish_whose_age_nobody_can_tell_is_new(
    monkeypatch: pytest.MonkeyPatch, *, goes_away: bool, age_ms: int
) -> None:
    there = Redis(goes_away=goes_away)
    pushes, voice = PushStream("redis://127.0.0.1", "one"), VoiceStream("redis://127.0.0.1", "one")
    monkeypatch.setattr(pushes, "_redis", AsyncRedis(there))
    monkeypatch.setattr(voice, "_redis", there)
    assert asyncio.run(pushes.wishes(10)) == voice.wishes(10) == [Wish(b"{}", age_ms)]
