"""Addresses that customers choose: never into our own network, and no server holds a post up."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import socket
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from crm_api.adapters import customer_posts
from crm_api.adapters.customer_posts import NotAnsweredError, NotPostedError, OutsideOnly, client_of, post
from crm_api.domain.network_addresses import Networks, is_of_internet, networks_of

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

LOOPBACK = networks_of(["127.0.0.0/8"])


def posted(url: str, networks: Networks = ()) -> None:
    async def once() -> None:
        async with client_of(networks) as client:
            await post(client, url, b"{}", {})

    asyncio.run(once())


def serving(answer: Callable[[asyncio.StreamWriter], Awaitable[None]]) -> None:
    """Post to a server of ours that answers so."""

    async def once() -> None:
        over = asyncio.Event()

        async def taken(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(ConnectionError):
                await reader.readuntil(b"\r\n\r\n{}")
                await answer(writer)
            with contextlib.suppress(ConnectionError):
                writer.close()
                await writer.wait_closed()
            over.set()

        server = await asyncio.start_server(taken, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        try:
            async with client_of(LOOPBACK) as client:
                await post(client, f"http://127.0.0.1:{port}/hook", b"{}", {})
        finally:
            await over.wait()
            server.close()

    asyncio.run(once())


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "localhost", "10.1.2.3", "192.168.0.1", "169.254.169.254", "0.0.0.0",
     "100.64.0.1", "[::1]", "[::ffff:127.0.0.1]", "[fd00::1]", "[fe80::1]", "224.0.0.1",
     "[64:ff9b::10.0.0.1]", "[64:ff9b::169.254.169.254]", "[64:ff9b:1::10.0.0.1]", "[fec0::1]", "[::10.0.0.1]",
     "[::93.184.215.14]", "[::ffff:0:127.0.0.1]", "[2002:a00:1::1]", "[2001:0:0a00:1::1]", "[ff0e::1]"],
)  # fmt: skip
def test_nothing_is_posted_into_our_own_network(host: str) -> None:
    with pytest.raises(NotPostedError, match="no address on the internet"):
        posted(f"http://{host}:9/")


def test_a_name_is_looked_up_once_and_its_address_connected_to(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request)
        return httpx.Response(204)

    def found(*_: Any, **__: Any) -> Any:
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", (a, 0)) for a in ("10.0.0.1", "93.184.215.14")]

    async def once() -> None:
        monkeypatch.setattr(socket, "getaddrinfo", found)
        async with httpx.AsyncClient(transport=OutsideOnly(httpx.MockTransport(answer))) as client:
            await post(client, "https://crm.example/hook?a=1", b"{}", {"X-Y": "z"})

    asyncio.run(once())
    (request,) = asked
    assert str(request.url) == "https://93.184.215.14/hook?a=1"
    assert (request.headers["Host"], request.headers["X-Y"]) == ("crm.example", "z")
    assert request.extensions["sni_hostname"] == "crm.example"


def test_a_server_that_says_a_byte_now_and_then_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(customer_posts, "LASTS_S", 0.3)

    async def drip(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 x\r\n")
        while True:
            writer.write(b"X: y\r\n")
            await writer.drain()
            await asyncio.sleep(0.05)

    with pytest.raises(NotAnsweredError, match="no answer within"):
        serving(drip)


def test_of_an_answer_only_its_status_is_read() -> None:
    async def endless(writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 202 x\r\nContent-Length: 1000000000\r\n\r\nx")
        await writer.drain()

    serving(endless)


@pytest.mark.parametrize("status", [301, 404, 500])
def test_what_is_no_success_is_told(status: int) -> None:
    async def answer(writer: asyncio.StreamWriter) -> None:
        writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nLocation: /other\r\n\r\n".encode())
        await writer.drain()

    with pytest.raises(NotPostedError, match=f"HTTP {status}"):
        serving(answer)


@pytest.mark.parametrize("url", ["http://127.0.0.1:99999/", "http://xn--/", "http://a..b/", "ftp://127.0.0.1/"])
def test_whatever_is_wrong_with_a_url_is_a_reason(url: str) -> None:
    with pytest.raises(NotPostedError):
        posted(url, LOOPBACK)


@pytest.mark.parametrize(
    "address", ["93.184.215.14", "2606:2800:21f::1", "::ffff:93.184.215.14", "64:ff9b::93.184.215.14"]
)
def test_the_internet_is_outside(address: str) -> None:
    assert is_of_internet(address, ())


@pytest.mark.parametrize(
    "address",
    ["168.63.129.16", "::ffff:168.63.129.16", "64:ff9b::168.63.129.16", "64:ff9b:1::93.184.215.14", "fd20:ce::254"],
)
def test_what_serves_the_machines_of_a_cloud_is_not_outside(address: str) -> None:
    assert not is_of_internet(address, ())
    assert is_of_internet(address, networks_of(["168.63.129.16/32", "64:ff9b:1::/48", "fd20:ce::/32"]))


def test_a_named_network_is_reached_through_a_translator_too() -> None:
    named = networks_of(["10.20.0.0/16"])
    assert is_of_internet("64:ff9b::10.20.0.1", named)
    assert not is_of_internet("64:ff9b::10.21.0.1", named)


def test_networks_are_told_by_name() -> None:
    assert networks_of(["10.20.0.0/16"]) == (ipaddress.ip_network("10.20.0.0/16"),)
