"""Threads that accept connections and serve them, one after the other; as many as there are connections at once."""

from __future__ import annotations

import logging
import threading
import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable

_log = logging.getLogger(__name__)

# Threads that stay when it is quiet.
RESIDENT = 4
_OUT_OF_DESCRIPTORS_PAUSE_S = 0.1


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
        self._lock = threading.Condition(threading.Lock())
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
        """Serve nobody new and wait for what is being served; False when the time was too short."""
        with self._lock:
            self._draining = True
            return self._lock.wait_for(lambda: not self.busy, timeout_s)

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
                    return
                # Out of descriptors, as a rule: connections in progress will free some.
                _log.error("accept: %s", error)
                time.sleep(_OUT_OF_DESCRIPTORS_PAUSE_S)
                continue
            if not self._begin():
                peer.close()
                return
            self._serve(peer)
            self._end()

    def _begin(self) -> bool:
        with self._lock:
            if self._draining:
                return False
            self.busy += 1
            self.served += 1
            if self.busy == self._threads < self._limit:
                self._add_thread()
            return True

    def _end(self) -> None:
        with self._lock:
            self.busy -= 1
            if self._draining and not self.busy:
                self._lock.notify_all()

    def _leave(self) -> bool:
        with self._lock:
            if self._draining or self._threads - self.busy > RESIDENT:
                self._threads -= 1
                return True
            return False
