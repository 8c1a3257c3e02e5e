"""Ships the story of calls to the Redis stream `ep:call_events`, in batches, from a process of its own."""

from __future__ import annotations

import contextlib
import socket
import time
from collections import deque
from typing import TYPE_CHECKING
from urllib.parse import unquote, urlsplit

from kemi_routes import story
from kemi_routes.panel_states import PanelStates

if TYPE_CHECKING:
    from KSR import Ksr

STREAM = "ep:call_events"
SOURCE = "kamailio"
_TRIMMED_AT = "1000000"
# Events of one XADD, and what is kept while Redis is away (about 60 MB); older ones are then given up.
_BATCH = 500
_BUFFERED = 200_000
_TIMEOUT_S = 2.0
_RETRY_S = 1.0
# How often it is said that calls are being watched, when there are none.
_SAY_S = 0.5
_DEFAULT_PORT = 6379


class RedisError(Exception):
    """Redis answered with an error."""


def command(*parts: str) -> bytes:
    """One command in RESP, the protocol of Redis."""
    encoded = [part.encode() for part in parts]
    return b"*%d\r\n" % len(encoded) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in encoded)


class RedisStream:
    """A connection that appends to one stream.

    Args:
        url: `redis://[:password@]host[:port][/database]`.
    """

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        if parts.scheme != "redis" or not parts.hostname:
            raise ValueError(f"EP_REDIS_URL is {url!r}: write it as redis://host:port/database")
        self._address = (parts.hostname, parts.port or _DEFAULT_PORT)
        self._greeting = []
        if parts.password:
            user = (unquote(parts.username),) if parts.username else ()
            self._greeting.append(command("AUTH", *user, unquote(parts.password)))
        if parts.path.strip("/"):
            self._greeting.append(command("SELECT", parts.path.strip("/")))
        self._socket: socket.socket | None = None
        self._input = b""

    def append(self, events: str, states: tuple[str, ...] = ()) -> None:
        """Append one entry (none when `events` is empty), then do the command that keeps the panels' states.

        Raises:
            OSError: Redis is away or silent for two seconds; the connection is closed and made anew next time.
            RedisError: Redis refuses.
        """
        try:
            connection = self._connected()
            if events:
                self._ask(
                    connection,
                    command("XADD", STREAM, "MAXLEN", "~", _TRIMMED_AT, "*", "source", SOURCE, "events", events),
                )
            if states:
                # What is refused here must not keep the story: panels then become unknown, and unknown is not free.
                with contextlib.suppress(RedisError):
                    self._ask(connection, command(*states))
        except (OSError, RedisError):
            self.close()
            raise

    def add(self, stream: str, trimmed_at: str, field: str, value: str) -> None:
        """Append an entry of one field to another stream.

        Raises:
            OSError: Redis is away or silent for two seconds; the connection is closed and made anew next time.
            RedisError: Redis refuses.
        """
        try:
            self._ask(self._connected(), command("XADD", stream, "MAXLEN", "~", trimmed_at, "*", field, value))
        except (OSError, RedisError):
            self.close()
            raise

    def _connected(self) -> socket.socket:
        if self._socket is None:
            self._socket = socket.create_connection(self._address, _TIMEOUT_S)
            self._input = b""
            for greeting in self._greeting:
                self._ask(self._socket, greeting)
        return self._socket

    def second(self) -> tuple[socket.socket, list[bytes]] | None:
        """Begin another connection, which never waits, to the Redis that this one is connected to.

        Return it with the commands that it begins with; None while there is no connection: no name is looked up.

        Raises:
            OSError: it cannot even be begun.
        """
        if self._socket is None:
            return None
        made = socket.socket(self._socket.family, socket.SOCK_STREAM)
        try:
            made.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                made.connect(self._socket.getpeername())
        except OSError:
            made.close()
            raise
        return made, list(self._greeting)

    def close(self) -> None:
        """Close the connection, if any."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _ask(self, connection: socket.socket, request: bytes) -> None:
        connection.sendall(request)
        kind, line = self._line(connection)
        if kind == b"-":
            raise RedisError(line.decode(errors="replace"))
        if kind == b"$":  # the entry's id: its text and a line end
            wanted = int(line) + 2
            while len(self._input) < wanted:
                self._receive(connection)
            self._input = self._input[wanted:]

    def _line(self, connection: socket.socket) -> tuple[bytes, bytes]:
        while b"\r\n" not in self._input:
            self._receive(connection)
        line, _, self._input = self._input.partition(b"\r\n")
        return line[:1], line[1:]

    def _receive(self, connection: socket.socket) -> None:
        data = connection.recv(65536)
        if not data:
            raise ConnectionError("Redis closed the connection")
        self._input += data


class StoryShipper:
    """Empties the queue of the SIP workers every tick; keeps what Redis does not take, up to a bound."""

    def __init__(self, stream: RedisStream) -> None:
        self._stream = stream
        self._states = PanelStates()
        self._said_at = 0.0
        self._kept: deque[str] = deque(maxlen=_BUFFERED)
        self._away = False
        self._retry_at = 0.0

    def tick(self, ksr: Ksr) -> None:
        """Take what is queued and ship it. At least once: after a lost answer a batch may come twice."""
        while ksr.mqueue.mq_fetch(story.QUEUE) > 0:
            event = ksr.mqueue.mqv_get(story.QUEUE)
            if isinstance(event, str):
                self._kept.append(event)
        quiet = not self._kept and time.monotonic() - self._said_at >= _SAY_S
        while (self._kept or quiet) and time.monotonic() >= self._retry_at:
            quiet = False
            batch = [self._kept[i] for i in range(min(_BATCH, len(self._kept)))]
            told = ",".join([event for event in batch if not event.startswith(story.PANEL_CALLED)])
            try:
                self._stream.append(f"[{told}]" if told else "", self._states.command(batch))
                self._said_at = time.monotonic()
            except (OSError, RedisError) as error:
                self._retry_at = time.monotonic() + _RETRY_S
                if not self._away:
                    ksr.warn(
                        f"story of calls is kept here: Redis does not take it ({error}); up to {_BUFFERED} events\n"
                    )
                self._away = True
                return
            if self._away:
                ksr.warn("story of calls is shipped again\n")
                self._away = False
            for _ in batch:
                self._kept.popleft()
