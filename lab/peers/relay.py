"""The HTTP side of a simulated panel: a Beward panel's relay command and what it says of itself, with faults to order.

Beward: basic authentication, `GET /cgi-bin/intercom_cgi?action=maindoor` on port 80; `sip_cgi?action=regstatus` tells
whether its SIP accounts are registered, `intercom_cgi?action=linelevel` the level of an apartment's line.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, Self

if TYPE_CHECKING:
    from lab.peers.door import Door

# `offline` needs no relay at all: the panel has no HTTP server then.
Fault = Literal["none", "refuses", "hangs"]
_PICTURE = ("/cgi-bin/images_cgi", "channel=0")
PICTURE = b"\xff\xd8\xff\xe0 a visitor at the door \xff\xd9"
"""What the panel's camera sees."""
_OPEN = ("/cgi-bin/intercom_cgi", "action=maindoor")
_REGISTERED = ("/cgi-bin/sip_cgi", "action=regstatus&AccountReg")
_LINE = re.compile(r"/cgi-bin/intercom_cgi\?action=linelevel&Apartment=[1-9][0-9]{0,3}")
_HEADER_LIMIT_S = 5.0


@dataclass
class HttpRelay:
    """A small HTTP server that opens one door. Made by `start`."""

    door: Door
    username: str
    password: str
    fault: Fault = "none"
    requests: list[str] = field(default_factory=list)
    registered: bool = True
    line_level: str = "512"
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    async def start(
        cls, door: Door, address: str, username: str, password: str, *, port: int = 80, fault: Fault = "none"
    ) -> Self:
        """Serve at a panel's address; port 0 is one that is free."""
        relay = cls(door, username, password, fault)
        relay._server = await asyncio.start_server(relay._serve, address, port)
        return relay

    @property
    def port(self) -> int:
        """Where it listens.

        Raises:
            RuntimeError: it was never started.
        """
        if self._server is None:
            raise RuntimeError("a relay listens once it is started")
        return int(self._server.sockets[0].getsockname()[1])

    async def stop(self) -> None:
        """Close the port and every connection."""
        for task in self._connections:
            task.cancel()
        await asyncio.gather(*self._connections, return_exceptions=True)
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._connections.add(task)
            task.add_done_callback(self._connections.discard)
        try:
            with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
                async with asyncio.timeout(_HEADER_LIMIT_S):
                    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                if self.fault == "hangs":
                    await asyncio.Event().wait()
                status, answer = self._answer(head)
                body = answer if isinstance(answer, bytes) else answer.encode()
                writer.write(
                    f"HTTP/1.1 {status}\r\nContent-Type: text/plain\r\nContent-Length: {len(body)}\r\n"
                    'WWW-Authenticate: Basic realm="panel"\r\nConnection: close\r\n\r\n'.encode()
                    + body
                )
                await writer.drain()
        except asyncio.CancelledError:
            if self._server is not None and self._server.is_serving():
                raise
        finally:
            writer.close()

    def _answer(self, head: str) -> tuple[str, str | bytes]:
        request_line, *header_lines = head.split("\r\n")
        self.requests.append(request_line)
        if self.fault == "refuses":
            return "500 Internal Server Error", "relay fault"
        expected = "Basic " + base64.b64encode(f"{self.username}:{self.password}".encode()).decode()
        headers = {name.strip().lower(): value.strip() for name, _, value in (h.partition(":") for h in header_lines)}
        if headers.get("authorization") != expected:
            return "401 Unauthorized", "who are you"
        method, _, rest = request_line.partition(" ")
        path, _, query = rest.partition(" ")[0].partition("?")
        return self._obey(method, path, query)

    def _obey(self, method: str, path: str, query: str) -> tuple[str, str | bytes]:
        if (method, path, query) == ("GET", *_PICTURE):
            return "200 OK", PICTURE
        if (method, path, query) == ("GET", *_REGISTERED):
            return "200 OK", f"AccountReg1={int(self.registered)}\nAccountReg2=0\n"
        if method == "GET" and _LINE.fullmatch(f"{path}?{query}"):
            return "200 OK", f"{self.line_level}\n"
        if (path, query) != _OPEN:
            return "404 Not Found", f"no such command: {path}?{query}"
        if method != "GET":
            return "405 Method Not Allowed", method
        self.door.open("http")
        return "200 OK", "OK\n"
