"""Small in-memory neighbours of the applications: same methods, same errors."""

from __future__ import annotations

import json
import socketserver
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from typing import TYPE_CHECKING, cast

import hiredis

from agi_apps.application import Answer, Services
from agi_apps.crm_client import CrmAway, Opening
from agi_apps.emergency_lease import CallBack
from agi_apps.plan_lookup import FoundPlan, NoPlan
from agi_apps.ring_plan import RingPlan, decode_plan
from agi_apps.variables import Variable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from agi_apps.call_events import CallEvents, EventValue
    from agi_apps.crm_client import CrmClient
    from agi_apps.emergency_lease import EmergencyLeases, Found
    from agi_apps.plan_lookup import PlanLookup
    from agi_apps.pushes import Pushes

NOW_MS = 1_790_000_000_000
OPENING_WAIT_S = 60.0
"""Whoever answers at once is waited for, also on a busy machine."""


def plan_json(**changes: object) -> bytes:
    """A plan of panel p10001, number 12, with two stages."""
    plan: dict[str, object] = {
        "panel": "p10001", "dialled": "12", "issued_at_ms": NOW_MS - 1_000, "outcome": "ring", "apartment_id": 7,
        "company_id": 1, "caller_name": "Lenina 1, entrance 1", "language": "en", "talk_limit_s": 120,
        "stages": [
            {"ring_timeout_s": 30, "targets": [
                {"account": "h10012a", "kind": "handset", "may_open": True},
                {"account": "h10012b", "kind": "app", "may_open": False}]},
            {"ring_timeout_s": 20, "targets": [{"account": "c1", "kind": "concierge", "may_open": True}]},
        ],
        "door": {"door_id": 3, "method": "dtmf", "dtmf": "1"},
    }  # fmt: skip
    return json.dumps(plan | changes).encode()


def ring_plan(**changes: object) -> RingPlan:
    """The same, decoded."""
    return decode_plan(plan_json(**changes), "p10001", "12")


class SlowRedis(socketserver.ThreadingTCPServer):
    """A Redis that does what it is asked, `delay_s` a command: each is kept and answered with `OK`."""

    allow_reuse_address = True
    daemon_threads = True

    def __init__(self, delay_s: float) -> None:
        super().__init__(("127.0.0.1", 0), _RedisPeer)
        self.delay_s = delay_s
        self.done: list[list[bytes]] = []

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.server_address[1]}"


class _RedisPeer(socketserver.BaseRequestHandler):
    server: SlowRedis

    def handle(self) -> None:
        reader = hiredis.Reader()
        with suppress(OSError):  # who gave up waiting has closed
            while data := self.request.recv(65_536):
                reader.feed(data)
                while (command := reader.gets()) is not False:
                    time.sleep(self.server.delay_s)
                    self.server.done.append(command)
                    self.request.sendall(b"+OK\r\n")


class Plans:
    """Always finds the same plan, or none."""

    def __init__(self, plan: RingPlan | None, vouched_at_ms: int = NOW_MS - 1_000, source: str = "redis") -> None:
        self._plan, self._vouched_at_ms, self._source = plan, vouched_at_ms, source

    def find(self, panel: str, dialled: str) -> FoundPlan:
        if self._plan is None:
            raise NoPlan(f"{panel}:{dialled}")
        return FoundPlan(self._plan, self._source, self._vouched_at_ms)


class Crm:
    """Answers every opening the same way, or is away."""

    def __init__(self, opening: Opening | None = None) -> None:
        self._opening = opening
        self.asked: list[tuple[str, str, str, str, str]] = []

    def open_door(self, call_id: str, panel: str, dialled: str, account: str, key: str) -> Opening:
        self.asked.append((call_id, panel, dialled, account, key))
        if self._opening is None:
            raise CrmAway("connection refused")
        return self._opening


class Events:
    """Keeps events."""

    def __init__(self) -> None:
        self.kept: list[Mapping[str, EventValue]] = []
        self.arrived = threading.Event()
        self.freed: list[tuple[str, str, int]] = []

    def add(self, event: Mapping[str, EventValue]) -> None:
        self.kept.append(event)
        self.arrived.set()

    def panel_is_free(self, panel: str, call_id: str, moves: int = 0) -> None:
        self.freed.append((panel, call_id, moves))


class Wishes:
    """Keeps wishes to wake apps."""

    def __init__(self) -> None:
        self.kept: list[tuple[str, str, str]] = []

    def wake(self, call_id: str, plan: RingPlan, outputs: Mapping[Variable, str], now_ms: int) -> None:
        assert now_ms == NOW_MS
        self.kept.append((call_id, plan.panel, outputs.get(Variable.STAGE, "")))


class Leases:
    """Always finds the same lease and the same call back."""

    def __init__(self, found: Found | None = None, back: CallBack | None = None) -> None:
        self._found, self._back = found, back

    def find(self, _panel: str, _call_id: str) -> Found | None:
        return self._found

    def call_back(self, number: str, _call_id: str) -> CallBack:
        return self._back or CallBack(number)


def taken(answer: Mapping[Variable, str] | Answer) -> Mapping[Variable, str]:
    """Outputs of an application, as an Asterisk has taken them whose call goes on."""
    if not isinstance(answer, Answer):
        return answer
    answer.told("")
    return answer.outputs


def services(
    plans: Plans, crm: Crm | None = None, events: Events | None = None, leases: Leases | None = None
) -> Services:
    """Services made of stand-ins, at the moment `NOW_MS`."""
    return Services(
        plans=cast("PlanLookup", plans), crm=cast("CrmClient", crm or Crm()),
        events=cast("CallEvents", events or Events()), pushes=cast("Pushes", Wishes()), now_ms=lambda: NOW_MS,
        permission_fresh_s=300, opening_wait_s=OPENING_WAIT_S, beside=ThreadPoolExecutor(4),
        leases=cast("EmergencyLeases", leases or Leases()),
    )  # fmt: skip
