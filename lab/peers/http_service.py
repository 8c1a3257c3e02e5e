"""A small HTTP server for services that the outside world plays: requests in, an answer of the service's own out."""

from __future__ import annotations

import asyncio
import contextlib
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, Self

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

_LIMIT_S = 5.0


@dataclass
class Request:
    """One HTTP request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


class Reply(NamedTuple):
    """What a service answers."""

    status: int
    body: bytes
    content_type: str = "application/json"


@dataclass
class HttpService:
    """Serves one address until stopped; connections are kept open between requests."""

    answer: Callable[[Request], Awaitable[Reply]]
    _server: asyncio.Server | None = None
    _connections: set[asyncio.Task[None]] = field(default_factory=set)

    @classmethod
    async def start(cls, host: str, port: int, answer: Callable[[Request], Awaitable[Reply]]) -> Self:
        """Open the port."""
        service = cls(answer)
        service._server = await asyncio.start_server(service._serve, host, port)
        return service

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
                while True:
                    reply = await self.answer(await _read(reader))
                    head = (
                        f"HTTP/1.1 {reply.status} x\r\nContent-Type: {reply.content_type}\r\n"
                        f"Content-Length: {len(reply.body)}\r\n\r\n"
                    )
                    writer.write(head.encode() + reply.body)
                    await writer.drain()
        except asyncio.CancelledError:
            if self._server is not None and self._server.is_serving():
                raise
        finally:
            writer.close()


async def _read(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    async with asyncio.timeout(_LIMIT_S):
        first, *lines = head.rstrip("\r\n").split("\r\n")
        method, path, _ = first.split(" ")
        headers = {name.strip().lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await reader.readexactly(int(headers.get("content-length", "0")))
    return Request(method, path, headers, body)
