"""One worker process: accepts connections, one greenlet each, until it is told to drain."""

from __future__ import annotations

import gc
import logging
import os
import time
from typing import TYPE_CHECKING

import gevent
import gevent.event
import msgspec

from agi_apps.application import Services
from agi_apps.background import ThreadRunner
from agi_apps.call_events import CallEvents
from agi_apps.connection import Connections
from agi_apps.connection_pool import ConnectionPool
from agi_apps.crm_client import CrmClient
from agi_apps.local_store import LocalStore
from agi_apps.plan_lookup import PlanLookup, epoch_ms
from agi_apps.redis_link import RedisAway, RedisLink
from agi_apps.registry import APPLICATIONS

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from agi_apps.config import AgiConfig

_log = logging.getLogger(__name__)

BEAT_S = 0.5


class Worker:
    """Everything one process owns: neighbours, background greenlets, connections in progress."""

    def __init__(self, config: AgiConfig, listener: socket.socket, beat: Callable[[], None]) -> None:
        self._config = config
        self._listener = listener
        self._beat = beat
        self._redis = RedisLink(config.redis_url, config.redis_timeout_s)
        self._crm = CrmClient(
            config.crm_url, config.crm_token,
            plan_timeout_s=config.crm_timeout_s, opening_timeout_s=config.opening_timeout_s,
        )  # fmt: skip
        self._store = LocalStore(config.store_path)
        in_thread = ThreadRunner()
        self._plans = PlanLookup(self._redis, self._crm, self._store, in_thread)
        self._events = CallEvents(self._redis, self._store, in_thread)
        services = Services(
            plans=self._plans, crm=self._crm, events=self._events, now_ms=epoch_ms,
            permission_fresh_s=config.permission_fresh_s, opening_wait_s=config.opening_wait_s,
        )  # fmt: skip
        connections = Connections(APPLICATIONS, services, self._health)
        self._pool = ConnectionPool(connections.serve, config.calls_per_worker)
        self._drain = gevent.event.Event()
        self._started_at = time.monotonic()
        self._served = 0

    def drain(self) -> None:
        """Ask for a clean end; safe in a signal handler."""
        self._drain.set()

    def run(self) -> None:
        """Serve until `drain`, then finish what runs, deliver the events and return."""
        # What the process consists of lives as long as it does, and calls leave few cycles behind: search seldom.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        background = [gevent.spawn(work) for work in (self._events.run, self._plans.run, self._beat_forever)]
        accepting = gevent.spawn(self._accept_forever)
        self._drain.wait()
        accepting.kill()
        self._listener.close()
        if not self._pool.drain(self._config.drain_timeout_s):
            _log.warning("%d AGI connections did not end in %s s", self._pool.busy, self._config.drain_timeout_s)
        self._events.close()
        self._plans.flush()
        gevent.killall(background)
        self._store.close()

    def _accept_forever(self) -> None:
        while True:
            self._pool.wait_for_room()
            try:
                peer, _ = self._listener.accept()
            except OSError as error:
                # Out of descriptors, as a rule: connections in progress will free some.
                _log.error("accept: %s", error)
                gevent.sleep(0.1)
                continue
            self._served += 1
            self._pool.submit(peer)

    def _beat_forever(self) -> None:
        while True:
            self._beat()
            gevent.sleep(BEAT_S)

    def _health(self) -> bytes:
        try:
            self._redis.execute("PING")
            redis = "ok"
        except RedisAway as error:
            redis = str(error)
        report = {
            "status": "ok",
            "pid": os.getpid(),
            "uptime_s": int(time.monotonic() - self._started_at),
            "connections_served": self._served,
            "connections_now": self._pool.busy,
            "redis": redis,
            "crm": "away" if self._crm.is_away else "ok",
            "events_spooled": self._store.spooled(),
            "events_dropped": self._events.dropped,
        }
        body = msgspec.json.encode(report)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"Connection: close\r\n\r\n" + body
