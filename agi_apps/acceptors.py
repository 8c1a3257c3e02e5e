"""Threads that accept connections and serve them, one after the other; as many as there are connections at once."""

from __future__ import annotations

import contextlib
import logging
import select
import socket
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger(__name__)

# Threads that stay when it is quiet.
RESIDENT = 4
_OUT_OF_DESCRIPTORS_PAUSE_S = 0.1
# For so long whoever has connected before a drain may wait for a thread.
_QUEUE_S = 1.0
_LOOK_S = 0.005


class Acceptors:
    """Serves the connections of a listening socket, at most `limit` at once; more wait in the kernel's queue.

    The kernel hands a connection to a thread that waits in `accept`: no dispatcher, no queue, no second wake-up. When
    the last waiting thread has got one, another thread is started.

    Args:
        listener: blocking, with a receive timeout (SO_RCVTIMEO): it tells a thread that it has been idle.
        serve: serves one connection and closes it; raises nothing.
        limit: connections at once.
    """

    def __init__(self, listener: socket.socket, serve: Callable[[socket.socket], None], limit: int) -> None:
        self._listener = listener
        self._serve = serve
        self._limit = limit
        # The lock itself for every connection, the condition for a drain: what it wraps costs several times the lock.
        self._lock = threading.Lock()
        self._all_left = threading.Condition(self._lock)
        self._draining = False
        self._threads = 0
        self.busy = 0
        """Connections being served."""
        self.served = 0
        """Connections accepted so far."""

    def start(self) -> None:
        """Begin to accept."""
        with self._lock:
            for _ in range(min(RESIDENT, self._limit)):
                self._add_thread()

    def drain(self, timeout_s: float) -> bool:
        """Serve whoever has connected by now and nobody new, and wait for them; False when the time was too short.

        The listening socket is closed as soon as nobody waits at it, however long others are served: whoever comes then
        is refused, or taken by the next server if it listens already, instead of waiting here until he is thrown out.
        """
        until_s = time.monotonic() + timeout_s
        if not self._draining:
            self._close_listener(min(_QUEUE_S, timeout_s))
        with self._lock:
            return self._all_left.wait_for(lambda: not self._threads, max(0.0, until_s - time.monotonic()))

    def _close_listener(self, timeout_s: float) -> None:
        until_s = time.monotonic() + timeout_s
        while select.select([self._listener], [], [], 0)[0] and time.monotonic() < until_s:
            time.sleep(_LOOK_S)  # for the threads that accept
        self._draining = True
        # Close alone would leave the threads that wait in it, and the socket open as long as they do.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()

    def _add_thread(self) -> None:
        self._threads += 1
        threading.Thread(target=self._run, name=f"acceptor-{self._threads}", daemon=True).start()

    def _run(self) -> None:
        while True:
            try:
                peer, _ = self._listener.accept()
            except BlockingIOError:  # idle for the receive timeout
                if self._leave():
                    return
                continue
            except OSError as error:
                if self._draining:
                    self._left()
                    return
                # Out of descriptors, as a rule: connections in progress will free some.
                _log.error("accept: %s", error)
                time.sleep(_OUT_OF_DESCRIPTORS_PAUSE_S)
                continue
            self._begin()
            self._serve(peer)
            self._end()

    def _begin(self) -> None:
        with self._lock:
            self.busy += 1
            self.served += 1
            if self.busy == self._threads < self._limit:
                self._add_thread()

    def _end(self) -> None:
        with self._lock:
            self.busy -= 1

    def _left(self) -> None:
        with self._lock:
            self._threads -= 1
            self._all_left.notify_all()

    def _leave(self) -> bool:
        with self._lock:
            if self._draining or self._threads - self.busy > RESIDENT:
                self._threads -= 1
                self._all_left.notify_all()
                return True
            return False
