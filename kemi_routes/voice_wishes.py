"""Wishes to have a phone called by a voice API, on their way to the stream `ep:voice_calls` (docs/contracts.md, 7)."""

from __future__ import annotations

import json
import time
from collections import deque
from typing import TYPE_CHECKING

from kemi_routes.clock import now_ms, steady_ms
from kemi_routes.streams import RedisError

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.streams import RedisStream

STREAM = "ep:voice_calls"
QUEUE = "voice"
_FIELD = "voice"
_TRIMMED_AT = "10000"
# What waits while Redis is away: a wish that comes later than this is of no use to anybody.
_KEPT = 2000
_RETRY_S = 1.0
# The leg has gone on by then (voice_calls.PLACED_WITHIN_MS): nobody is called for it. The end of a call is never late.
_LATE_MS = 5000
_CALL = '"event": "call"'


def add(ksr: Ksr, wish: dict[str, str | int]) -> None:
    """Queue a wish; never waits."""
    told = {**wish, "at_ms": now_ms()}
    ksr.mqueue.mq_add(QUEUE, str(steady_ms()), json.dumps(told))


class VoiceShipper:
    """Ships the wishes from the process of the rtimer `story`."""

    def __init__(self, stream: RedisStream) -> None:
        self._stream = stream
        self._kept: deque[tuple[int, str]] = deque(maxlen=_KEPT)
        self._retry_at = 0.0

    def tick(self, ksr: Ksr) -> None:
        """Take what is queued and ship it; what Redis does not take is tried again, the newest kept."""
        while ksr.mqueue.mq_fetch(QUEUE) > 0:
            added_ms, wish = ksr.mqueue.mqk_get(QUEUE), ksr.mqueue.mqv_get(QUEUE)
            if isinstance(wish, str):
                self._kept.append((int(added_ms or 0), wish))
        while self._kept and time.monotonic() >= self._retry_at:
            added_ms, wish = self._kept[0]
            if _CALL in wish and steady_ms() - added_ms > _LATE_MS:
                self._kept.popleft()
                continue
            try:
                self._stream.add(STREAM, _TRIMMED_AT, _FIELD, wish)
            except (OSError, RedisError) as error:
                self._retry_at = time.monotonic() + _RETRY_S
                ksr.err(f"{len(self._kept)} wishes for a voice API wait: Redis does not take them ({error})\n")
                return
            self._kept.popleft()
