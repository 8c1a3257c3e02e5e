"""Ends what takes too long: a watchdog over the connections being served, as a blocked thread cannot watch itself."""

from __future__ import annotations

import socket
import threading
import time
from contextlib import suppress
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Turn:
    """One connection, from accept to close."""

    __slots__ = ("_claim", "_late", "_late_done", "ends_at", "expired", "peer")

    def __init__(self, peer: socket.socket, limit_s: float) -> None:
        self.peer = peer
        self.expired = False
        self.ends_at = time.monotonic() + limit_s
        self._claim = threading.Lock()
        self._late: Callable[[], None] | None = None
        self._late_done: threading.Event | None = None

    def expect(self, limit_s: float, late: Callable[[], None] | None = None) -> None:
        """Give the next step `limit_s` seconds; `late` then answers the peer in its place, else the peer is cut off."""
        self._late = late
        self.ends_at = time.monotonic() + limit_s

    def claim(self) -> bool:
        """Take the right to answer the peer: True for the first who asks, for nobody else."""
        return self._claim.acquire(blocking=False)

    def wait_for_late(self, limit_s: float) -> None:
        """After a lost claim: wait until the late answer is out, before the connection is closed."""
        if self._late_done is not None:
            self._late_done.wait(limit_s)

    def expire(self) -> None:
        """The time is over (called by the watchdog)."""
        self.expired = True
        late = self._late
        if late is None:
            self._cut()
            return
        done = self._late_done = threading.Event()  # before the claim: whoever loses it finds it
        if self.claim():
            # The peer may be slow to read as well: that must not hold up the watchdog.
            threading.Thread(target=self._answer_late, args=(late, done), daemon=True).start()

    def _answer_late(self, late: Callable[[], None], done: threading.Event) -> None:
        try:
            late()
        finally:
            self._cut()
            done.set()

    def _cut(self) -> None:
        """Wake whoever waits for the peer; the thread that serves the connection closes it."""
        with suppress(OSError):  # gone already
            self.peer.shutdown(socket.SHUT_RDWR)


class Deadlines:
    """The connections being served now."""

    def __init__(self) -> None:
        self._turns: set[Turn] = set()

    def begin(self, peer: socket.socket, limit_s: float) -> Turn:
        """Watch a connection."""
        turn = Turn(peer, limit_s)
        self._turns.add(turn)
        return turn

    def end(self, turn: Turn) -> None:
        """Watch it no longer."""
        self._turns.discard(turn)

    def enforce(self) -> None:
        """Expire what is over its time; called several times a second."""
        now = time.monotonic()
        for turn in list(self._turns):
            if now > turn.ends_at:
                turn.ends_at = float("inf")
                turn.expire()
