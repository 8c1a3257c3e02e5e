"""Whose long body a thread of the API waits for: so many at once, the others one after the other."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable


class Turns:
    """Who may wait for a long body: so many at once, the others one after the other."""

    def __init__(self, most: int) -> None:
        self._free = most
        self._waiting: dict[int, None] = {}
        """Files of connections, in the order in which they are served."""
        self._lock = threading.RLock()  # who is made to wait may have another connection closed, and forgotten

    def take(self, connection: Any, wait: Callable[[Any], int]) -> bool:
        """Take a turn; when there is none, have the connection `wait`, which returns its file, and say no."""
        with self._lock:
            if self._free:
                self._free -= 1
                return True
            self._waiting[wait(connection)] = None
            return False

    def give(self, serve: Callable[[int], None]) -> None:
        """Give a turn back."""
        with self._lock:
            self._free += 1
        self.offer(serve)

    def offer(self, serve: Callable[[int], None]) -> None:
        """Have whoever waits longest served, when there is a turn: it may find that somebody else was quicker."""
        with self._lock:
            if self._free and self._waiting:
                file = next(iter(self._waiting))
                del self._waiting[file]
                serve(file)

    def forget(self, file: int) -> None:
        """Forget a connection that waits no longer."""
        if file in self._waiting:
            with self._lock:
                self._waiting.pop(file, None)
