"""Connections are served at once up to the limit, by threads that are used again."""

from __future__ import annotations

import socket
import struct
import threading
import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import pytest

from agi_apps.acceptors import RESIDENT, Acceptors

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(name="listener")
def _listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, struct.pack("@ll", 0, 50_000))
        yield listener


class Peers:
    """Connections that last until they are released; remembers who served them."""

    def __init__(self) -> None:
        self.release = threading.Event()
        self.arrived = threading.Semaphore(0)
        self.served_by: list[threading.Thread] = []

    def serve(self, peer: socket.socket) -> None:
        self.served_by.append(threading.current_thread())
        self.arrived.release()
        assert self.release.wait(60)
        peer.close()


def connect(listener: socket.socket, connections: int, stack: ExitStack) -> None:
    for _ in range(connections):
        stack.enter_context(socket.create_connection(listener.getsockname(), 60))


def test_connections_are_served_side_by_side_up_to_the_limit(listener: socket.socket) -> None:
    peers = Peers()
    acceptors = Acceptors(listener, peers.serve, 7)
    acceptors.start()
    with ExitStack() as stack:
        connect(listener, 9, stack)
        for _ in range(7):
            assert peers.arrived.acquire(timeout=60)
        assert not peers.arrived.acquire(timeout=0.2)
        assert acceptors.busy == 7
        peers.release.set()
        for _ in range(2):
            assert peers.arrived.acquire(timeout=60)
        assert acceptors.drain(60)
    assert (acceptors.busy, acceptors.served) == (0, 9)


def test_threads_that_are_not_needed_any_more_leave(listener: socket.socket) -> None:
    peers = Peers()
    acceptors = Acceptors(listener, peers.serve, 64)
    acceptors.start()
    with ExitStack() as stack:
        connect(listener, 12, stack)
        for _ in range(12):
            assert peers.arrived.acquire(timeout=60)
    peers.release.set()
    until_s = time.monotonic() + 60
    while sum(thread.is_alive() for thread in peers.served_by) > RESIDENT and time.monotonic() < until_s:
        time.sleep(0.01)  # which of them stay, nobody can say
    assert sum(thread.is_alive() for thread in peers.served_by) <= RESIDENT
    assert acceptors.drain(60)


def test_a_drain_that_is_too_short_says_so(listener: socket.socket) -> None:
    peers = Peers()
    acceptors = Acceptors(listener, peers.serve, 2)
    acceptors.start()
    with ExitStack() as stack:
        connect(listener, 1, stack)
        assert peers.arrived.acquire(timeout=60)
        assert not acceptors.drain(0.05)
        peers.release.set()
        assert acceptors.drain(60)


def test_nobody_is_served_after_a_drain(listener: socket.socket) -> None:
    peers = Peers()
    acceptors = Acceptors(listener, peers.serve, 2)
    acceptors.start()
    address = listener.getsockname()
    assert acceptors.drain(60)
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(address, 60)
    assert not peers.served_by


def test_while_one_connection_lingers_the_others_are_refused_and_those_that_had_come_are_served(
    listener: socket.socket,
) -> None:
    peers = Peers()
    address = listener.getsockname()
    acceptors = Acceptors(listener, peers.serve, 3)
    with ExitStack() as stack:
        connect(listener, 3, stack)  # queued before anybody accepts
        acceptors.start()
        assert not acceptors.drain(0.5)
        for _ in range(3):
            assert peers.arrived.acquire(timeout=60), "it had connected in time"
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(address, 60)
        peers.release.set()
        assert acceptors.drain(60)
