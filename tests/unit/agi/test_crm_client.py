"""A CRM that is slow or away: who asks in vain, who is not asked again, and who is not concerned."""

from __future__ import annotations

import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

import pytest

from agi_apps.breaker import Breaker
from agi_apps.crm_client import CrmAway, CrmClient, Opening

if TYPE_CHECKING:
    from collections.abc import Iterator


OPENING = b'{"result": "granted", "reason": "", "door": null, "access_record_id": 17}'


class SlowCrm(ThreadingHTTPServer):
    """Answers `{}` to all but an opening; leases only when it is told to."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.asked: list[str] = []
        self.fields: list[dict[str, str]] = []
        self.go_on = threading.Event()


class _Handler(BaseHTTPRequestHandler):
    server: SlowCrm

    def do_POST(self) -> None:
        self.rfile.read(int(self.headers["Content-Length"]))
        if "emergency" in self.path:
            self.server.go_on.wait(60)
        self._answer(OPENING if "openings" in self.path else b"{}")

    def do_GET(self) -> None:
        self._answer(b"{}")

    def _answer(self, body: bytes) -> None:
        self.server.asked.append(self.path)
        self.server.fields.append({name: value for name, value in self.headers.items() if name != "Host"})
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def crm() -> Iterator[SlowCrm]:
    server = SlowCrm()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield server
    server.go_on.set()
    server.shutdown()
    thread.join(60)
    server.server_close()


def client(port: int) -> CrmClient:
    """Who leaves the CRM alone for as long as the test lasts, once it has failed."""
    made = CrmClient(
        f"http://127.0.0.1:{port}", "x" * 32, plan_timeout_s=60.0, opening_timeout_s=60.0, lease_timeout_s=0.05
    )
    made._breaker, made._lease_breaker = (Breaker(1.0, clock=lambda: 0.0) for _ in range(2))
    return made


def test_a_lease_that_comes_too_late_keeps_no_door_shut(crm: SlowCrm) -> None:
    asks = client(crm.server_address[1])
    with pytest.raises(CrmAway, match="emergency-leases"):
        asks.emergency_lease("p1", "c1")
    assert not asks.is_away
    assert asks.ring_plan("p1", "12") == b"{}"
    with pytest.raises(CrmAway, match="left alone"):
        asks.emergency_lease("p1", "c2")
    assert crm.asked == ["/v1/ring-plans/p1/12"]


def test_a_crm_that_is_known_to_be_away_is_not_asked_for_a_lease() -> None:
    asks = client(1)
    with pytest.raises(CrmAway, match="ring-plans"):
        asks.ring_plan("p1", "12")
    with pytest.raises(CrmAway, match="left alone"):
        asks.emergency_lease("p1", "c1")


def test_the_record_that_the_crm_has_made_of_an_opening_is_read(crm: SlowCrm) -> None:
    opening = client(crm.server_address[1]).open_door("c1", "p1", "12", "h1", "#")
    assert opening == Opening("granted", access_record_id=17)


def test_a_plan_is_asked_for_without_headers_that_tell_nothing(crm: SlowCrm) -> None:
    asks = client(crm.server_port)
    asks.ring_plan("p1", "12")
    asks.open_door("c", "p1", "12", "a", "#")
    token = {"Authorization": f"Bearer {'x' * 32}"}
    plan, opening = crm.fields
    assert plan == token
    assert opening.pop("Content-Length")
    assert opening == token | {"Content-Type": "application/json"}
