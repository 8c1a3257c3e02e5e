"""A talk with Redis that never waits: at each tick what can be sent is sent, and what has come is taken.

So a command may wait in Redis (BLMPOP) for as long as it likes: it keeps nobody, and costs nothing until it is
answered.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from kemi_routes.clock import steady_ms
from kemi_routes.streams import RedisError

if TYPE_CHECKING:
    import socket
    from collections.abc import Sequence

    from kemi_routes.streams import RedisStream

_RECEIVED = 65_536
# Of one turn; nothing that we ask for is as long.
_LONGEST = 4_000_000

Reply = str | int | list["Reply"] | RedisError | None


class NotAllHereError(Exception):
    """The rest of the answer has not come yet."""


def reply_of(data: bytes, start: int = 0) -> tuple[Reply, int]:
    """Return the answer that begins there (RESP 2), and where the next one does.

    Raises:
        NotAllHereError: it has not all come.
        ValueError: this is no answer of Redis.
    """
    end = data.find(b"\r\n", start)
    if end < 0:
        raise NotAllHereError
    kind, line, after = data[start : start + 1], data[start + 1 : end], end + 2
    if kind == b"+":
        return line.decode(errors="replace"), after
    if kind == b"-":
        return RedisError(line.decode(errors="replace")), after
    if kind == b":":
        return int(line), after
    if kind not in (b"$", b"*"):
        raise ValueError(f"no answer of Redis: {data[start : start + 20]!r}")
    count = int(line)
    if count < 0:
        return None, after
    if kind == b"*":
        items: list[Reply] = []
        for _ in range(count):
            item, after = reply_of(data, after)
            items.append(item)
        return items, after
    if len(data) < after + count + 2:
        raise NotAllHereError
    return data[after : after + count].decode(errors="replace"), after + count + 2


class RedisTalk:
    """One connection. A turn is some commands at once, and an answer to each.

    Args:
        beside: the connection beside which this one is made, to the same server.
        silent_ms: how long a turn may take before the connection is given up.
    """

    def __init__(self, beside: RedisStream, silent_ms: int) -> None:
        self._beside = beside
        self._silent_ms = silent_ms
        self._socket: socket.socket | None = None
        self._output = b""
        self._input = b""
        self._greetings = 0
        self._expected = 0
        self._begun_ms = 0

    def begin(self, commands: Sequence[bytes]) -> bool:
        """Begin a turn when the last one is over; say whether there is somebody to talk to.

        Raises:
            OSError: the connection is over, or cannot even be begun.
        """
        if self._socket is None:
            made = self._beside.second()
            if made is None:
                return False
            self._socket, greetings = made
            self._output, self._input, self._greetings = b"".join(greetings), b"", len(greetings)
        self._output += b"".join(commands)
        self._expected = len(commands)
        self._begun_ms = steady_ms()
        self._send(self._socket)
        return True

    def tick(self) -> list[Reply] | None:
        """Send and take what there is; return the answers of the turn once all are there.

        Raises:
            OSError: the connection is over, or silent for too long.
            RedisError: Redis refuses a command, or does not let us in.
            ValueError: whoever is there is not Redis.
        """
        if self._socket is None:
            return None
        self._send(self._socket)
        is_over = False
        with contextlib.suppress(BlockingIOError):
            while data := self._socket.recv(_RECEIVED):
                self._input += data
                if len(self._input) > _LONGEST:
                    raise ValueError("an answer without end")
            is_over = True
        replies = self._replies()
        if is_over:
            raise ConnectionError("Redis closed the connection")
        if replies is None and steady_ms() - self._begun_ms > self._silent_ms:
            raise TimeoutError(f"Redis has said nothing for {self._silent_ms} ms")
        return replies

    def close(self) -> None:
        """Close the connection, if any, as whoever has caught an error must; the turn is lost."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _send(self, connection: socket.socket) -> None:
        # Not connected yet looks like a full buffer here, and like nothing to read there.
        with contextlib.suppress(BlockingIOError):
            while self._output:
                self._output = self._output[connection.send(self._output) :]

    def _replies(self) -> list[Reply] | None:
        replies: list[Reply] = []
        at = 0
        try:
            for _ in range(self._greetings + self._expected):
                reply, at = reply_of(self._input, at)
                if isinstance(reply, RedisError):
                    raise reply
                replies.append(reply)
        except NotAllHereError:
            return None
        self._input = self._input[at:]
        told, self._greetings = replies[self._greetings :], 0
        return told
