"""A door that was asked for long ago stays shut: the API stood still, or its database did, and nobody waits now."""

from __future__ import annotations

import socket
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.adapters.panel_drivers import TOO_OLD, panel_drivers
from crm_api.client_socket import ClientSocket
from crm_api.domain.inputs.calls import DoorOpening
from crm_api.domain.network_addresses import networks_of
from crm_api.services.door_openings import FRESH_S, DoorOpenings
from crm_api.services.planning import Planning

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Town
    from tests.unit.crm.fakes import FakePanelDriver

CODE = "40719"
PRESS = {"call_id": "call-1", "panel": "p2", "dialled": "2112", "account": "a12", "key": "#"}


@pytest.fixture
def connection() -> Iterator[tuple[socket.socket, ClientSocket]]:
    """A client, and our side of its connection."""
    with (
        socket.create_server(("127.0.0.1", 0)) as listener,
        socket.create_connection(listener.getsockname()) as client,
        ClientSocket.of(listener.accept()[0]) as here,
    ):
        yield client, here


def test_a_request_is_as_old_as_its_last_byte_whenever_it_is_read(
    connection: tuple[socket.socket, ClientSocket],
) -> None:
    client, here = connection
    client.sendall(b"POST")
    client.shutdown(socket.SHUT_WR)  # it has given up, which makes its request no younger
    time.sleep(0.5)  # only time makes a request old
    assert here.recv_now(100) == b"POST"
    assert 0.4 < here.waited_s() < 5


def ask(town: Town, path: str, body: Any) -> Any:
    """Ask over a connection."""
    headers = (town.platform if path.startswith("/v1/doors") else town.service)._headers
    with ClientSocket() as here:
        return town.client.simulate_post(path, headers=headers, json=body, extras={"gunicorn.socket": here}).json


WISHES: dict[str, tuple[str, Any]] = {
    "resident": ("/v1/door-openings", PRESS),
    "operator": ("/v1/doors/2/open", None),
    "visitor": ("/v1/code-entries", {"call_id": "call-1", "panel": "p2", "code": CODE}),
}


@pytest.mark.parametrize("waited_s", [0.5, 10.0])
@pytest.mark.parametrize("who", WISHES)
def test_only_a_young_wish_opens(
    town: Town, driver: FakePanelDriver, monkeypatch: pytest.MonkeyPatch, who: str, waited_s: float
) -> None:
    gate = town.platform("POST", "/v1/gates", {"name": "Yard", "houses": [town.house]})["id"]
    town.platform("PATCH", "/v1/panels/2", {"gate_id": gate})
    town.platform("POST", "/v1/access-codes", {"gate_id": gate, "code": CODE, "single_use": True})
    monkeypatch.setattr(ClientSocket, "waited_s", lambda _self: waited_s)
    told = ask(town, *WISHES[who])
    young = waited_s < FRESH_S
    assert (told["result"], len(driver.opened)) == (("opened", 1) if young else ("failed", 0))
    if young:
        return
    assert told["reason"] == TOO_OLD
    record = town.platform("GET", "/v1/access-records")["items"][0]
    assert (record["id"], record["result"]) == (told["access_record_id"], "failed")
    monkeypatch.setattr(ClientSocket, "waited_s", lambda _self: 0.0)
    assert ask(town, *WISHES[who])["result"] == "opened", "the code is not used up"


def test_no_door_opens_when_its_panel_is_found_too_late(
    town: Town, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The wish is young when its panel is looked for, and old when that has been found."""
    real, ahead_s = time.monotonic, 0.0
    asked = []

    def found(*_: Any, **__: Any) -> Any:
        nonlocal ahead_s
        ahead_s = 2.0
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    def answer(listener: socket.socket) -> None:
        with listener.accept()[0] as connected:
            asked.append(connected.recv(4096))
            connected.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nOK")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        address = f"panel.homes.example:{listener.getsockname()[1]}"
        town.platform("PATCH", "/v1/panels/2", {"address": address})
        threading.Thread(target=answer, args=(listener,), daemon=True).start()
        monkeypatch.setattr(socket, "getaddrinfo", found)
        monkeypatch.setattr(time, "monotonic", lambda: real() + ahead_s)
        openings = DoorOpenings(context, Planning(context), panel_drivers(networks_of(["127.0.0.0/8"])))
        told = openings.in_call(DoorOpening(**PRESS), real() - 2.0)
    assert (told["result"], told["reason"]) == ("failed", TOO_OLD)
    assert [line for line in asked if line] == []


def test_no_door_opens_when_the_database_has_kept_us_for_long(
    town: Town, driver: FakePanelDriver, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned, real, ahead_s = services.planning.planned, time.monotonic, 0.0

    def kept_long(panel: str, dialled: str) -> Any:
        nonlocal ahead_s
        ahead_s = 10.0
        return planned(panel, dialled)

    monkeypatch.setattr(services.planning, "planned", kept_long)
    monkeypatch.setattr("crm_api.services.door_openings.time.monotonic", lambda: real() + ahead_s)
    assert town.service("POST", "/v1/door-openings", PRESS)["reason"] == TOO_OLD
    assert driver.opened == []
