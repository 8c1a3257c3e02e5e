"""A request's age, as the kernel tells it: bytes that wait to be read grow old."""

from __future__ import annotations

import socket
import time
from typing import TYPE_CHECKING

import pytest

from agi_apps.connection import waited_s
from agi_apps.prefork import listen

if TYPE_CHECKING:
    from collections.abc import Iterator

Pair = tuple[socket.socket, socket.socket]
_LINES = [f"agi_arg_{number}: ".ljust(60, "x").encode() + b"\n" for number in range(40)]


@pytest.fixture(name="link")
def _link() -> Iterator[Pair]:
    """A connection that Asterisk has made, and the listener at which it waits."""
    (listener,) = listen(("127.0.0.1", 0), 1)
    with listener, socket.create_connection(listener.getsockname()) as asterisk:
        yield asterisk, listener


def read_after(link: Pair, seconds: float) -> float:
    asterisk, listener = link
    for line in _LINES:  # as Asterisk writes its environment
        asterisk.sendall(line)
    time.sleep(seconds)
    peer, _ = listener.accept()
    with peer:
        assert peer.recv(4_096) == b"".join(_LINES)
        return waited_s(peer)


def test_what_is_read_at_once_is_new(link: Pair) -> None:
    assert read_after(link, 0.1) < 0.5


def test_what_has_waited_to_be_accepted_is_as_old_as_its_last_byte(link: Pair) -> None:
    assert 0.9 < read_after(link, 1.0) < 1.5
