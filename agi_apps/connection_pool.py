"""Greenlets that serve one connection after the other, as many as there ever were at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import gevent
import gevent.event
import gevent.queue

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable


class ConnectionPool:
    """Serves connections, at most `limit` at once.

    A greenlet of its own for each connection would map and unmap memory for it (Python 3.11 gives every greenlet a
    chunk of data stack): two system calls and some page faults, 480 times a second.

    Args:
        serve: serves one connection and closes it; raises nothing.
        limit: connections at once.
    """

    def __init__(self, serve: Callable[[socket.socket], None], limit: int) -> None:
        self._serve = serve
        self._limit = limit
        self._waiting: gevent.queue.SimpleQueue[socket.socket] = gevent.queue.SimpleQueue()
        self._greenlets: list[gevent.Greenlet[[], None]] = []
        self._room = gevent.event.Event()
        self._room.set()
        self._quiet = gevent.event.Event()
        self._quiet.set()
        self.busy = 0
        """Connections being served or about to be."""

    def wait_for_room(self) -> None:
        """Wait until one more connection may be submitted."""
        self._room.wait()

    def submit(self, peer: socket.socket) -> None:
        """Have a connection served; only after `wait_for_room`."""
        self.busy += 1
        self._quiet.clear()
        if self.busy >= self._limit:
            self._room.clear()
        if self.busy > len(self._greenlets):
            self._greenlets.append(gevent.spawn(self._run))
        self._waiting.put(peer)

    def drain(self, timeout_s: float) -> bool:
        """Wait for what is being served, then end the greenlets; False when the time was too short."""
        quiet = bool(self._quiet.wait(timeout_s))
        gevent.killall(self._greenlets)
        self._greenlets = []
        return quiet

    def _run(self) -> None:
        while True:
            peer = self._waiting.get()
            self._serve(peer)
            self.busy -= 1
            self._room.set()
            if not self.busy:
                self._quiet.set()
