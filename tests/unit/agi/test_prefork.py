"""What the processes of the FastAGI server share."""

from __future__ import annotations

import os
import signal
import socket
import struct
import time
from contextlib import closing, contextmanager
from typing import TYPE_CHECKING

from agi_apps.prefork import Beats, listen

if TYPE_CHECKING:
    from collections.abc import Iterator


_LATEST_S = 60.0
"""A busy machine lets the other process begin by then."""


def test_a_beat_is_never_seen_half_written() -> None:
    began_s = time.monotonic()
    beats = Beats(2)
    beats.write(1, began_s)
    writer = os.fork()
    if not writer:
        while True:
            beats.write(1, time.monotonic())
    try:
        seen: set[float] = set()
        while time.monotonic() < began_s + 1 or (len(seen) == 1 and time.monotonic() < began_s + _LATEST_S):
            seen.update(beats.read(1) for _ in range(1000))
    finally:
        os.kill(writer, signal.SIGKILL)
        os.waitpid(writer, 0)
    assert len(seen) > 1, "the other process wrote nothing"
    assert began_s <= min(seen)
    assert max(seen) <= time.monotonic()
    assert beats.read(0) == 0.0


def _segments_received(link: socket.socket) -> int:
    """`tcpi_segs_in` of Linux's `struct tcp_info` (include/uapi/linux/tcp.h)."""
    (segments,) = struct.unpack_from("=I", link.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 256), 140)
    return int(segments)


@contextmanager
def _connected() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Asterisk's end of a connection, and the server's."""
    (listener,) = listen(("127.0.0.1", 0), 1)
    with closing(listener), socket.create_connection(listener.getsockname()) as asterisk:
        listener.setblocking(True)
        connection, _ = listener.accept()
        with closing(connection):
            yield asterisk, connection


def test_an_environment_written_line_by_line_is_acknowledged_a_few_times_only() -> None:
    with _connected() as (asterisk, connection):
        lines = [b"agi_something: a value as long as they are\n"] * 25
        for line in lines:
            asterisk.send(line)
        read = b""
        while len(read) < sum(map(len, lines)):
            read += connection.recv(4096)
        assert _segments_received(asterisk) < len(lines) / 2


def test_a_long_environment_arrives_whole() -> None:
    with _connected() as (asterisk, connection):
        asterisk.setblocking(False)
        sent, read = 0, b""
        text = b"".join(b"agi_arg_%d: %s\n" % (index, b"x" * 500) for index in range(30))
        while len(read) < len(text):
            if sent < len(text):
                sent += asterisk.send(text[sent:])
            read += connection.recv(4096)
        assert read == text
