"""A circuit breaker: after a failure a neighbour is left alone for a moment, so that its outage costs no call time."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


class Breaker:
    """Open for `rest_s` seconds after each failure."""

    def __init__(self, rest_s: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._rest_s = rest_s
        self._clock = clock
        self._open_until_s = float("-inf")

    @property
    def is_open(self) -> bool:
        """Whether the neighbour is to be left alone now."""
        return self._clock() < self._open_until_s

    def failed(self) -> None:
        """The neighbour did not answer."""
        self._open_until_s = self._clock() + self._rest_s
