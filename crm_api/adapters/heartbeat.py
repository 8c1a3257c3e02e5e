"""Heartbeat of a background process: it writes to Redis when it last got on with its work, until it does no more."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Final

import redis
import structlog

if TYPE_CHECKING:
    from collections.abc import Callable

EVERY_S: Final = 1.0
SILENT_S: Final = 0.5
"""How long Redis may take to hear it."""

_log = structlog.get_logger("crm_api.heartbeat")


class Heartbeat:
    """Written by a thread of its own, at most once a second: a Redis that hangs holds up no work.

    The moment is that of the work: a process that hangs in it, or has no database, falls silent.
    """

    def __init__(self, url: str, key: str, now_ms: Callable[[], int]) -> None:
        """Begin; nothing is written before the first beat."""
        self._redis: redis.Redis = redis.Redis.from_url(url, socket_timeout=SILENT_S, socket_connect_timeout=SILENT_S)
        self._key, self._now_ms = key, now_ms
        self._at_ms = 0
        self._beaten = threading.Event()
        self._pause = threading.Event()
        threading.Thread(target=self._write, name="heartbeat", daemon=True).start()

    def beat(self) -> None:
        """Say that the work goes on; waits for nobody."""
        self._at_ms = self._now_ms()
        self._beaten.set()

    def _write(self) -> None:
        away = False
        while True:
            self._beaten.wait()
            self._beaten.clear()
            try:
                self._redis.set(self._key, self._at_ms)
            except (redis.RedisError, OSError) as error:
                if not away:
                    _log.warning("Redis is away: nobody hears that this process works", reason=str(error))
                away = True
            else:
                away = False
            self._pause.wait(EVERY_S)  # nobody ends it: the thread goes with its process
