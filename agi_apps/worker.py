"""One worker process: accepts connections, a thread each, until it is told to drain."""

from __future__ import annotations

import gc
import logging
import os
import signal
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import msgspec

from agi_apps.acceptors import Acceptors
from agi_apps.application import Services
from agi_apps.call_events import CallEvents
from agi_apps.connection import Connections
from agi_apps.crm_client import CrmClient
from agi_apps.deadlines import Deadlines
from agi_apps.emergency_lease import EmergencyLeases
from agi_apps.partings import Partings
from agi_apps.plan_lookup import PlanLookup, epoch_ms
from agi_apps.pushes import Pushes
from agi_apps.redis_link import RedisAway, RedisLink
from agi_apps.registry import APPLICATIONS
from agi_apps.store_opening import open_store, return_to_file

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

    from agi_apps.config import AgiConfig

_log = logging.getLogger(__name__)

_TICK_S = 0.25
# Events and wishes to wake apps wait beside the calls for a Redis that a call gives up: what it has taken although its
# answer came late would be sent again for as long as it is slow, and no app would be woken. Each has a link of its own,
# so that none gives up for another.
_DELIVERY_TIMEOUT_S = 2.0
# Doors that are being opened over HTTP at once; a panel may take seconds.
_OPENING_THREADS = 128


class Worker:
    """Everything one process owns: neighbours, background threads, connections in progress."""

    def __init__(self, config: AgiConfig, listener: socket.socket, beat: Callable[[], None]) -> None:
        self._config = config
        self._beat = beat
        self._redis = RedisLink(config.redis_url, config.redis_timeout_s)
        self._crm = CrmClient(
            config.crm_url, config.crm_token,
            plan_timeout_s=config.crm_timeout_s, opening_timeout_s=config.opening_timeout_s,
            lease_timeout_s=config.lease_timeout_s,
        )  # fmt: skip
        self._store = open_store(config.store_path)
        self._plans = PlanLookup(self._redis, self._crm, self._store)
        self._events = CallEvents(RedisLink(config.redis_url, _DELIVERY_TIMEOUT_S), self._store)
        self._pushes = Pushes(RedisLink(config.redis_url, _DELIVERY_TIMEOUT_S))
        beside = ThreadPoolExecutor(_OPENING_THREADS, "beside")
        services = Services(
            plans=self._plans, crm=self._crm, events=self._events, pushes=self._pushes, now_ms=epoch_ms,
            permission_fresh_s=config.permission_fresh_s, opening_wait_s=config.opening_wait_s,
            beside=beside,
            leases=EmergencyLeases(self._crm, self._redis, self._store, epoch_ms, beside),
        )  # fmt: skip
        self._deadlines = Deadlines()
        self._partings = Partings()
        connections = Connections(APPLICATIONS, services, self._health, self._deadlines, self._partings)
        self._acceptors = Acceptors(listener, connections.serve, config.calls_per_worker)
        self._started_at = time.monotonic()

    def run(self) -> None:
        """Serve until SIGTERM, then finish what runs, deliver the events and return."""
        # Ctrl-C reaches the whole process group; the master decides when we go. SIGTERM is waited for below.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})
        # What the process consists of lives as long as it does, and calls leave few cycles behind: search seldom.
        gc.freeze()
        gc.set_threshold(20_000, 20, 20)
        for work in (self._events.run, self._plans.run, self._pushes.run, self._return_to_file):
            threading.Thread(target=work, name=work.__qualname__, daemon=True).start()
        self._acceptors.start()
        while not _told_to_stop(_TICK_S):
            self._tick()
        drained = threading.Event()
        threading.Thread(target=self._drain, args=(drained,), name="drain", daemon=True).start()
        while not drained.wait(_TICK_S):
            self._tick()

    def _tick(self) -> None:
        self._beat()
        self._deadlines.enforce()
        self._partings.look()

    def _return_to_file(self) -> None:
        return_to_file(self._store, self._config.store_path)

    def _drain(self, drained: threading.Event) -> None:
        try:
            if not self._acceptors.drain(self._config.drain_timeout_s):
                _log.warning(
                    "%d AGI connections did not end in %s s", self._acceptors.busy, self._config.drain_timeout_s
                )
            self._events.close()
            self._plans.flush()
        finally:
            drained.set()

    def _health(self) -> bytes:
        try:
            self._redis.execute("PING")
            redis = "ok"
        except RedisAway as error:
            redis = str(error)
        store = self._store.why_in_memory
        report = {
            "status": "degraded" if store else "ok",
            "pid": os.getpid(),
            "master_pid": os.getppid(),
            "uptime_s": int(time.monotonic() - self._started_at),
            "connections_served": self._acceptors.served,
            "connections_now": self._acceptors.busy,
            "redis": redis,
            "crm": "away" if self._crm.is_away else "ok",
            "store": store or "ok",
            "events_spooled": self._store.spooled(),
            "events_dropped": self._events.dropped,
        }
        body = msgspec.json.encode(report)
        head = f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        return head.encode() + b"Connection: close\r\n\r\n" + body


def _told_to_stop(timeout_s: float) -> bool:
    """Wait for SIGTERM.

    Python does not say None but something of no meaning when the process stood still (SIGSTOP, SIGCONT) for longer.
    """
    told = signal.sigtimedwait({signal.SIGTERM}, timeout_s)
    return told is not None and told.si_signo == signal.SIGTERM
