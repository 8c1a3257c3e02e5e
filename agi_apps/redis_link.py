"""Redis in as few instructions as possible: pooled sockets, pipelines, a circuit breaker; hiredis does the protocol.

redis-py spends several times the CPU of the command itself on each call; on the path of a call that counts.
"""

from __future__ import annotations

import socket
import struct
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

import hiredis

from agi_apps.breaker import Breaker

Argument = str | bytes | int
Reply = bytes | int | list["Reply"] | hiredis.HiredisError | None


class RedisAway(Exception):  # noqa: N818 - states the fact
    """Redis did not answer in time, or is being left alone after that."""


class _Address(NamedTuple):
    host: str
    port: int
    username: str
    password: str
    database: int


def _parse(url: str) -> _Address:
    parts = urlsplit(url)
    if parts.scheme != "redis" or not parts.hostname:
        raise ValueError(f"redis_url is {url!r}, must be redis://[:password@]host:port[/database]")
    database = parts.path.lstrip("/") or "0"
    if not database.isdigit():
        raise ValueError(f"redis_url is {url!r}, its path must be the number of a database")
    return _Address(
        parts.hostname, parts.port or 6379, unquote(parts.username or ""), unquote(parts.password or ""), int(database)
    )


class _Connection:
    def __init__(self, address: _Address, timeout_s: float) -> None:
        self._socket = socket.create_connection((address.host, address.port), timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        # The kernel keeps the time: Python's own timeouts cost a poll() before each recv() and send().
        self._socket.setblocking(True)
        limit = struct.pack("@ll", int(timeout_s), int(timeout_s % 1 * 1e6))
        for direction in (socket.SO_RCVTIMEO, socket.SO_SNDTIMEO):
            self._socket.setsockopt(socket.SOL_SOCKET, direction, limit)
        self._reader = hiredis.Reader()
        hello: list[tuple[Argument, ...]] = []
        if address.password:
            hello.append(("AUTH", *((address.username,) if address.username else ()), address.password))
        if address.database:
            hello.append(("SELECT", address.database))
        for reply in self.pipeline(hello):
            if isinstance(reply, hiredis.HiredisError):
                self.close()
                raise RedisAway(str(reply))

    def pipeline(self, commands: list[tuple[Argument, ...]]) -> list[Reply]:
        if not commands:
            return []
        # hiredis types its tuple as of one element
        self._socket.sendall(b"".join([hiredis.pack_command(command) for command in commands]))  # type: ignore[arg-type]
        replies: list[Reply] = []
        while len(replies) < len(commands):
            reply = self._reader.gets()
            if reply is False:  # hiredis: not complete yet
                data = self._socket.recv(16_384)
                if not data:
                    raise ConnectionResetError("closed by Redis")
                self._reader.feed(data)
                continue
            replies.append(reply)
        return replies

    def close(self) -> None:
        self._socket.close()


class RedisLink:
    """Commands to one Redis. Any number of threads may use it at once."""

    def __init__(self, url: str, timeout_s: float = 0.15, rest_s: float = 1.0) -> None:
        self._address = _parse(url)
        self._timeout_s = timeout_s
        self._idle: list[_Connection] = []
        self._breaker = Breaker(rest_s)

    @property
    def is_away(self) -> bool:
        """Whether Redis is being left alone after a failure."""
        return self._breaker.is_open

    def mget(self, *keys: str) -> list[bytes | None]:
        """Values of several keys.

        Raises:
            RedisAway: no answer, or a key that holds no string.
        """
        reply = self.execute("MGET", *keys)
        if not isinstance(reply, list):
            raise RedisAway(f"MGET answered {reply!r}")
        return [value if isinstance(value, bytes) else None for value in reply]

    def execute(self, *command: Argument) -> Reply:
        """One command.

        Raises:
            RedisAway: no answer, or the answer was an error.
        """
        return self.pipeline([command])[0]

    def pipeline(self, commands: list[tuple[Argument, ...]]) -> list[Reply]:
        """Several commands in one round trip.

        An idle connection may have died with an earlier Redis; a fresh one is tried then, once, if no reply can have
        been produced. Commands that must not run twice carry their own guard.

        Raises:
            RedisAway: no answer within the timeout, an error as answer, or the breaker is open.
        """
        if self._breaker.is_open:
            raise RedisAway("left alone after a failure")
        connection: _Connection | None = None
        try:
            connection = self._take_idle()
            if connection is not None:
                try:
                    replies = connection.pipeline(commands)
                except (ConnectionError, BrokenPipeError):
                    connection.close()
                    self.close_idle()
                    connection = _Connection(self._address, self._timeout_s)
                    replies = connection.pipeline(commands)
            else:
                connection = _Connection(self._address, self._timeout_s)
                replies = connection.pipeline(commands)
        except (OSError, hiredis.HiredisError) as error:
            self._breaker.failed()
            self._close(connection)
            self.close_idle()
            told = f"no answer within {self._timeout_s} s" if isinstance(error, BlockingIOError) else str(error)
            raise RedisAway(told) from error
        self._idle.append(connection)
        for reply in replies:
            if isinstance(reply, hiredis.HiredisError):
                raise RedisAway(str(reply)) from reply
        return replies

    @staticmethod
    def _close(connection: _Connection | None) -> None:
        if connection is not None:
            connection.close()

    def _take_idle(self) -> _Connection | None:
        try:
            return self._idle.pop()
        except IndexError:
            return None

    def close_idle(self) -> None:
        """Close the connections that nobody uses now; the next command opens one anew."""
        while (connection := self._take_idle()) is not None:
            connection.close()
