"""Drivers against a real HTTP server on loopback."""

from __future__ import annotations

import base64
import contextlib
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import pytest

from crm_api.adapters import panel_drivers
from crm_api.adapters.panel_code_drivers import panel_code_drivers
from crm_api.adapters.panel_drivers import (
    TOO_OLD,
    BewardDriver,
    GenericDriver,
    PanelAccess,
    PanelRefusedError,
    PanelSilentError,
    is_of_this_host,
)
from crm_api.domain.network_addresses import Networks, may_be_device, networks_of

if TYPE_CHECKING:
    from collections.abc import Iterator

LOOPBACK = networks_of(["127.0.0.0/8"])
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
    BewardDriver(LOOPBACK).open_door(panel.access, 1)
    BewardDriver(LOOPBACK).open_door(panel.access, 2)
    assert panel.asked == ["/cgi-bin/intercom_cgi?action=maindoor", "/cgi-bin/intercom_cgi?action=altdoor"]
    with pytest.raises(PanelRefusedError, match="output 3"):
        BewardDriver(LOOPBACK).open_door(panel.access, 3)


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
            GenericDriver(LOOPBACK).picture(PanelAccess(f"127.0.0.1:{server.getsockname()[1]}", None, None))
        over.set()
        thread.join()


def test_a_generic_relay_opens(panel: PanelServer) -> None:
    GenericDriver(LOOPBACK).open_door(panel.access, 2)
    assert panel.asked == ["/relay/2/open"]


@pytest.mark.parametrize("answer", [(500, b"OK"), (302, b"OK"), (200, b"ERROR"), (200, b""), (204, b"")])
def test_what_is_not_confirmed_is_refused(panel: PanelServer, answer: tuple[int, bytes]) -> None:
    panel.answer = answer
    with pytest.raises(PanelRefusedError):
        BewardDriver(LOOPBACK).open_door(panel.access, 1)
    assert len(panel.asked) == 1


@pytest.mark.parametrize("password", ["wrong", "неверный"])
def test_a_wrong_login_is_refused(panel: PanelServer, password: str) -> None:
    access = PanelAccess(panel.access.address, "admin", password)
    with pytest.raises(PanelRefusedError, match="401"):
        BewardDriver(LOOPBACK).open_door(access, 1)


def test_a_panel_that_does_not_answer_is_given_up(panel: PanelServer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(panel_drivers, "ANSWER_TIMEOUT_S", 0.1)
    panel.silent.set()
    with pytest.raises(PanelSilentError, match="did not answer"):
        GenericDriver(LOOPBACK).open_door(panel.access, 1)
    assert panel.asked == ["/relay/1/open"]


def test_a_panel_that_is_gone_is_told() -> None:
    with pytest.raises(PanelRefusedError, match="did not answer") as refused:
        BewardDriver(LOOPBACK).open_door(PanelAccess("127.0.0.1:1", None, None), 1)
    assert not isinstance(refused.value, PanelSilentError), "it was never asked: its door is shut"


def test_a_beward_keeps_a_code_at_a_place_and_forgets_it(panel: PanelServer) -> None:
    codes = panel_code_drivers(LOOPBACK)["beward"]
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
        panel_code_drivers(LOOPBACK)["beward"].set_code(panel.access, 3, "40719")
    assert "40719" not in str(refused.value)
    monkeypatch.setattr(panel_drivers, "ANSWER_TIMEOUT_S", 0.1)
    panel.silent.set()
    with pytest.raises(PanelRefusedError) as silent:
        panel_code_drivers(LOOPBACK)["beward"].set_code(panel.access, 3, "40719")
    assert "40719" not in str(silent.value)


def test_what_a_server_answers_is_not_told(panel: PanelServer) -> None:
    panel.answer = (200, b"internal: what nobody but this host may know")
    with pytest.raises(PanelRefusedError, match="instead of OK") as refused:
        BewardDriver(LOOPBACK).open_door(panel.access, 1)
    assert "internal" not in str(refused.value)
    with pytest.raises(PanelRefusedError, match="instead of OK") as refused:
        panel_code_drivers(LOOPBACK)["beward"].set_code(panel.access, 3, "40719")
    assert "internal" not in str(refused.value)


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "0.0.0.0"])
def test_this_host_is_no_device(panel: PanelServer, host: str) -> None:
    with pytest.raises(PanelRefusedError, match="device_networks") as refused:
        GenericDriver().open_door(PanelAccess(f"{host}:{panel.server_port}", None, None), 1)
    assert not isinstance(refused.value, PanelSilentError)
    assert panel.asked == []


def test_the_address_that_is_judged_is_the_one_that_is_asked(
    panel: PanelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def found(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in ("224.0.0.1", "127.0.0.1")]

    monkeypatch.setattr(socket, "getaddrinfo", found)
    access = PanelAccess(f"panel.homes.example:{panel.server_port}", "admin", "secret")
    GenericDriver(LOOPBACK).open_door(access, 1)
    assert panel.asked == ["/relay/1/open"]
    with pytest.raises(PanelRefusedError, match=r"224\.0\.0\.1 is no device's address"):
        GenericDriver().open_door(access, 1)


def test_a_name_that_hangs_in_dns_holds_nobody_up(monkeypatch: pytest.MonkeyPatch) -> None:
    answers = threading.Event()

    def hang(*_: Any, **__: Any) -> Any:
        answers.wait(3)
        raise socket.gaierror("no name server answers")

    monkeypatch.setattr(panel_drivers, "LOOK_UP_S", 0.1)
    monkeypatch.setattr(socket, "getaddrinfo", hang)
    with pytest.raises(PanelRefusedError, match="did not answer") as refused:
        GenericDriver(LOOPBACK).open_door(PanelAccess("hangs.homes.example", None, None), 1)
    assert "ConnectTimeoutError" in str(refused.value), "it was not waited for"
    answers.set()


def test_names_of_one_company_that_hang_keep_no_other_device_from_being_found(
    panel: PanelServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    answers = threading.Event()

    def found(host: str, *_: Any, **__: Any) -> Any:
        if host.endswith("evil.co.uk"):
            answers.wait(10)
            raise socket.gaierror("no name server answers")
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr(panel_drivers, "LOOK_UP_S", 0.01)
    monkeypatch.setattr(socket, "getaddrinfo", found)
    evil = GenericDriver(LOOPBACK)
    for number in range(panel_drivers.LOOK_UPS_OF_ONE + 1):
        with pytest.raises(PanelRefusedError):
            evil.open_door(PanelAccess(f"x{number}.evil.co.uk", None, None, 1), 1)
    monkeypatch.setattr(panel_drivers, "LOOK_UP_S", 5.0)
    name = f"panel.homes.co.uk:{panel.server_port}"
    with pytest.raises(PanelRefusedError, match="did not answer"):
        evil.open_door(PanelAccess(name, "admin", "secret", 1), 1)  # of the company itself it does
    for company_id in (2, None):
        GenericDriver(LOOPBACK).open_door(PanelAccess(name, "admin", "secret", company_id), 1)
    assert len(panel.asked) == 2
    answers.set()


@pytest.mark.parametrize("slow", ["look_up", "connection"])
@pytest.mark.parametrize("driver", [BewardDriver(LOOPBACK), GenericDriver(LOOPBACK)])
def test_a_panel_that_is_reached_too_late_is_not_asked(
    panel: PanelServer, monkeypatch: pytest.MonkeyPatch, driver: BewardDriver | GenericDriver, slow: str
) -> None:
    connected = panel_drivers._connected
    waits_s = 0.3

    def found(*_: Any, **__: Any) -> Any:
        time.sleep(waits_s if slow == "look_up" else 0)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    def connect(address: str, port: int) -> socket.socket:
        made = connected(address, port)
        time.sleep(waits_s if slow == "connection" else 0)
        return made

    monkeypatch.setattr(socket, "getaddrinfo", found)
    monkeypatch.setattr(panel_drivers, "_connected", connect)
    access = PanelAccess(f"panel.homes.example:{panel.server_port}", "admin", "secret")
    with pytest.raises(PanelRefusedError, match=TOO_OLD) as refused:
        driver.open_door(access, 1, time.monotonic() + 0.2)
    assert not isinstance(refused.value, PanelSilentError), "its door is shut"
    assert panel.asked == []
    waits_s = 0.0
    driver.open_door(access, 1, time.monotonic() + 30)
    assert len(panel.asked) == 1


@pytest.mark.parametrize(
    ("address", "may"),
    [("10.0.0.5", True), ("192.168.1.9", True), ("203.0.113.4", True), ("fd00::5", True), ("2001:db8::1", True),
     ("127.8.8.8", False), ("169.254.169.254", False), ("224.0.0.1", False), ("255.255.255.255", False),
     ("100.100.100.200", False), ("::", False), ("::1", False), ("fe80::1%eth0", False), ("ff02::1", False),
     ("fd00:ec2::254", False), ("::ffff:127.0.0.1", False), ("::127.0.0.1", False), ("::ffff:0:127.0.0.1", False),
     ("64:ff9b::169.254.169.254", False), ("2002:7f00:1::", False), ("64:ff9b::10.0.0.5", True),
     ("168.63.129.16", False), ("168.63.129.17", True), ("64:ff9b::168.63.129.16", False),
     ("::ffff:168.63.129.16", False), ("fd20:ce::254", False), ("fd00:ec2::23", False), ("fd00:42::42", False),
     ("64:ff9b:1::7f00:1", False), ("64:ff9b:1:7f00:0:100::", False), ("64:ff9b:1::10.0.0.5", False),
     ("64:ff9b:2::1", True)],
)  # fmt: skip
def test_addresses_of_devices(address: str, may: bool) -> None:
    assert may_be_device(address, ()) is may
    everywhere: Networks = networks_of(["0.0.0.0/0", "::/0"])
    assert may_be_device(address, everywhere)


def test_an_address_of_this_host_is_known() -> None:
    assert is_of_this_host("127.0.0.1")
    assert not is_of_this_host("192.0.2.1")
