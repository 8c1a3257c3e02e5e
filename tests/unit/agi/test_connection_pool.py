"""Connections are served at once up to the limit, by greenlets that are used again."""

from __future__ import annotations

import socket

import gevent
import gevent.event

from agi_apps.connection_pool import ConnectionPool


class Peers:
    """Connections that last until they are released; remembers who served them."""

    def __init__(self) -> None:
        self.release = gevent.event.Event()
        self.served_by: list[object] = []
        self.now = self.most = 0

    def serve(self, peer: socket.socket) -> None:
        self.now += 1
        self.most = max(self.most, self.now)
        self.served_by.append(gevent.getcurrent())
        self.release.wait()
        peer.close()
        self.now -= 1


def test_connections_are_served_side_by_side_up_to_the_limit() -> None:
    peers = Peers()
    pool = ConnectionPool(peers.serve, 3)
    accepted = 0
    try:
        with gevent.Timeout(0.2):
            for _ in range(5):
                pool.wait_for_room()
                pool.submit(socket.socket())
                accepted += 1
    except gevent.Timeout:
        pass
    assert (accepted, pool.busy, peers.most) == (3, 3, 3)
    peers.release.set()
    assert pool.drain(1.0)
    assert pool.busy == 0


def test_a_greenlet_serves_the_next_connection_too() -> None:
    peers = Peers()
    peers.release.set()
    pool = ConnectionPool(peers.serve, 8)
    for _ in range(4):
        pool.submit(socket.socket())
        gevent.sleep(0)
    assert len(set(peers.served_by)) == 1
    assert pool.drain(1.0)


def test_a_drain_that_is_too_short_says_so_and_ends_what_hangs() -> None:
    peers = Peers()
    pool = ConnectionPool(peers.serve, 2)
    pool.submit(socket.socket())
    assert not pool.drain(0.05)
