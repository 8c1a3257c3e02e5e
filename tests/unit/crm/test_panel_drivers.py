"""Drivers against a real HTTP server on loopback."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING
from urllib.parse import parse_qs, urlsplit

import pytest

from crm_api.adapters import panel_drivers
from crm_api.adapters.panel_code_drivers import panel_code_drivers
from crm_api.adapters.panel_drivers import (
    BewardDriver,
    GenericDriver,
    PanelAccess,
    PanelRefusedError,
    PanelSilentError,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

LOGIN = "Basic " + base64.b64encode(b"admin:secret").decode()


class PanelServer(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), PanelHandler)
        self.answer = (200, b"OK\n")
        self.asked: list[str] = []
        self.silent = threading.Event()

    @property
    def access(self) -> PanelAccess:
        return PanelAccess(f"127.0.0.1:{self.server_port}", "admin", "secret")


class PanelHandler(BaseHTTPRequestHandler):
    server: PanelServer

    def do_GET(self) -> None:
        self.server.asked.append(self.path)
        if self.server.silent.is_set():
            self.connection.recv(1)  # until the driver gives up and closes
            return
        status, body = self.server.answer if self.headers.get("Authorization") == LOGIN else (401, b"who")
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Location", "/elsewhere")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def panel() -> Iterator[PanelServer]:
    with PanelServer() as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server
        server.shutdown()
        thread.join()


def test_beward_opens_its_two_locks(panel: PanelServer) -> None:
    BewardDriver().open_door(panel.access, 1)
    BewardDriver().open_door(panel.access, 2)
    assert panel.asked == ["/cgi-bin/intercom_cgi?action=maindoor", "/cgi-bin/intercom_cgi?action=altdoor"]
    with pytest.raises(PanelRefusedError, match="output 3"):
        BewardDriver().open_door(panel.access, 3)


@pytest.mark.parametrize(
    "beginning", [b"HTTP/1.1 200 OK\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 1000000\r\n\r\n\xff\xd8"]
)
def test_a_panel_that_says_a_byte_now_and_then_holds_nobody_up(
    monkeypatch: pytest.MonkeyPatch, beginning: bytes
) -> None:
    monkeypatch.setattr(panel_drivers, "LASTS_S", 0.3)
    over = threading.Event()

    def drip(server: socket.socket) -> None:
        connected, _ = server.accept()
        with connected, contextlib.suppress(OSError):
            connected.recv(4096)
            connected.sendall(beginning)
            while not over.wait(0.02):
                connected.sendall(b"X")

    with socket.create_server(("127.0.0.1", 0)) as server:
        thread = threading.Thread(target=drip, args=(server,))
        thread.start()
        with pytest.raises(PanelRefusedError, match="did not answer"):
            GenericDriver().picture(PanelAccess(f"127.0.0.1:{server.getsockname()[1]}", None, None))
        over.set()
        thread.join()


def test_a_generic_relay_opens(panel: PanelServer) -> None:
    GenericDriver().open_door(panel.access, 2)
    assert panel.asked == ["/relay/2/open"]


@pytest.mark.parametrize("answer", [(500, b"OK"), (302, b"OK"), (200, b"ERROR"), (200, b""), (204, b"")])
def test_what_is_not_confirmed_is_refused(panel: PanelServer, answer: tuple[int, bytes]) -> None:
    panel.answer = answer
    with pytest.raises(PanelRefusedError):
        BewardDriver().open_door(panel.access, 1)
    assert len(panel.asked) == 1


@pytest.mark.parametrize("password", ["wrong", "неверный"])
def test_a_wrong_login_is_refused(panel: PanelServer, password: str) -> None:
    access = PanelAccess(panel.access.address, "admin", password)
    with pytest.raises(PanelRefusedError, match="401"):
        BewardDriver().open_door(access, 1)


def test_a_panel_that_does_not_answer_is_given_up(panel: PanelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel_drivers, "ANSWER_TIMEOUT_S", 0.1)
    panel.silent.set()
    with pytest.raises(PanelSilentError, match="did not answer"):
        GenericDriver().open_door(panel.access, 1)
    assert panel.asked == ["/relay/1/open"]


def test_a_panel_that_is_gone_is_told() -> None:
    with pytest.raises(PanelRefusedError, match="did not answer") as refused:
        BewardDriver().open_door(PanelAccess("127.0.0.1:1", None, None), 1)
    assert not isinstance(refused.value, PanelSilentError), "it was never asked: its door is shut"


def test_a_beward_keeps_a_code_at_a_place_and_forgets_it(panel: PanelServer) -> None:
    codes = panel_code_drivers()["beward"]
    codes.set_code(panel.access, 3, "40719")
    codes.clear_code(panel.access, 3)
    told = [parse_qs(urlsplit(path).query) for path in panel.asked]
    assert {urlsplit(path).path for path in panel.asked} == {"/cgi-bin/apartment_cgi"}
    assert told == [
        {"action": ["set"], "Number": ["9003"], "DoorCodeActive": ["on"], "DoorCode": ["40719"], "BlockCMS": ["on"],
         "PhonesActive": ["off"]},
        {"action": ["clear"], "FirstNumber": ["9003"], "LastNumber": ["9003"]},
    ]  # fmt: skip


@pytest.mark.parametrize("answer", [(500, b"OK"), (200, b"ERROR"), (200, b"")])
def test_a_code_that_is_not_confirmed_is_refused_and_in_no_error(
    panel: PanelServer, answer: tuple[int, bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    panel.answer = answer
    with pytest.raises(PanelRefusedError) as refused:
        panel_code_drivers()["beward"].set_code(panel.access, 3, "40719")
    assert "40719" not in str(refused.value)
    monkeypatch.setattr(panel_drivers, "ANSWER_TIMEOUT_S", 0.1)
    panel.silent.set()
    with pytest.raises(PanelRefusedError) as silent:
        panel_code_drivers()["beward"].set_code(panel.access, 3, "40719")
    assert "40719" not in str(silent.value)
