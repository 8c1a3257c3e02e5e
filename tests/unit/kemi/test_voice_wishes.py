"""Wishes for a voice API on their way to Redis: kept while it is away, and not for longer than they are of use."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from kemi_routes import clock, voice_calls, voice_wishes
from kemi_routes.streams import RedisError

if TYPE_CHECKING:
    import pytest

    from tests.unit.kemi.fake_ksr import FakeKsr


class FakeStream:
    """Redis that is there or away."""

    def __init__(self) -> None:
        self.added: list[tuple[str, str, str]] = []
        self.is_away = False

    def add(self, stream: str, _trimmed_at: str, field: str, value: str) -> None:
        if self.is_away:
            raise RedisError("LOADING")
        self.added.append((stream, field, value))


def test_wishes_are_shipped_and_kept_while_redis_is_away(fake: FakeKsr, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = FakeStream()
    shipper = voice_wishes.VoiceShipper(stream)  # type: ignore[arg-type]
    stream.is_away = True
    voice_wishes.add(fake.ksr, {"event": "end", "token": "v1"})
    shipper.tick(fake.ksr)
    stream.is_away = False
    shipper.tick(fake.ksr)
    assert stream.added == []  # not tried again at once
    monkeypatch.setattr("kemi_routes.voice_wishes.time.monotonic", lambda: 1e12)
    shipper.tick(fake.ksr)
    ((name, field, value),) = stream.added
    assert (name, field, json.loads(value)["token"]) == ("ep:voice_calls", "voice", "v1")


def test_a_call_that_has_waited_for_redis_too_long_is_not_wished_for_any_more(
    fake: FakeKsr, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The hosts' clocks may be apart, so whoever takes the wish knows only since when it is in Redis."""
    stream = FakeStream()
    shipper = voice_wishes.VoiceShipper(stream)  # type: ignore[arg-type]
    voice_wishes.add(fake.ksr, {"event": "call", "token": "v1"})
    voice_wishes.add(fake.ksr, {"event": "end", "token": "v1"})
    late_ms = clock.steady_ms() + voice_calls.PLACED_WITHIN_MS + 1000
    monkeypatch.setattr(voice_wishes, "steady_ms", lambda: late_ms)
    shipper.tick(fake.ksr)
    assert [json.loads(value)["event"] for _, _, value in stream.added] == ["end"]
