"""The name server of the servers, in the tests' own network namespace: it answers, or takes questions in silence."""

from __future__ import annotations

import asyncio
import socket
import struct
import subprocess
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, cast

from tests.conftest import in_own_network

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.sip.scene import Scene

_PORT = 53
_HEADER = struct.Struct("!6H")
_ANSWERS, _RECURSION, _NO_SUCH_NAME = 0x8180, 0x0100, 3
# A pointer to the name asked for, type A, class IN, seconds, length (RFC 1035, 4.1.3).
_RECORD = struct.Struct("!HHHIH")


class Resolver(asyncio.DatagramProtocol):
    """Answers questions of type A as `addresses` says; silent while that is None.

    Of a name with an empty address it says that the name is there and has none; of another that there is no such name.
    """

    def __init__(self) -> None:
        self.addresses: dict[str, str] | None = None
        self.asked: asyncio.Queue[str] = asyncio.Queue()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """The socket is open."""
        self._transport = cast("asyncio.DatagramTransport", transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """A question."""
        name, end = _name_at(data, _HEADER.size)
        self.asked.put_nowait(name)
        if self.addresses is None:
            return
        question = data[_HEADER.size : end + 4]
        address = self.addresses.get(name)
        told = b"" if not address else _RECORD.pack(0xC00C, 1, 1, 5, 4) + socket.inet_aton(address)
        flags = _ANSWERS | (_NO_SUCH_NAME if address is None else 0)
        header = _HEADER.pack(int.from_bytes(data[:2]), flags, 1, int(bool(told)), 0, 0)
        self._transport.sendto(header + question + told, addr)

    async def is_asked(self, name: str, timeout_s: float) -> None:
        """Until somebody asks for this name."""
        async with asyncio.timeout(timeout_s):
            while await self.asked.get() != name:
                pass


def _name_at(data: bytes, place: int) -> tuple[str, int]:
    labels = []
    while length := data[place]:
        labels.append(data[place + 1 : place + 1 + length].decode("ascii"))
        place += 1 + length
    return ".".join(labels), place + 1


def _own(what: str, address: str) -> None:
    subprocess.run(["ip", "address", what, f"{address}/32", "dev", "lo"], check=True)


@asynccontextmanager
async def resolver(scene: Scene) -> AsyncIterator[Resolver]:
    """Inside the block this is the name server that the servers ask, and it says nothing until it is told what."""
    assert in_own_network(), "elsewhere the machine itself would lose its DNS"
    lines = (scene.stack.settings.root / "etc" / "resolv.conf").read_text(encoding="utf-8").splitlines()
    named = {line.split()[1] for line in lines if line.startswith("nameserver ")} or {"127.0.0.1"}
    here, endpoints = Resolver(), []
    for address in sorted(named):
        if ":" in address:
            continue
        if not address.startswith("127."):
            await asyncio.to_thread(_own, "replace", address)
        endpoint, _ = await asyncio.get_running_loop().create_datagram_endpoint(
            lambda: here, local_addr=(address, _PORT)
        )
        endpoints.append((address, endpoint))
    try:
        yield here
    finally:
        for address, endpoint in endpoints:
            endpoint.close()
            if not address.startswith("127."):
                await asyncio.to_thread(_own, "del", address)
