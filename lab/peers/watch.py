"""Waiting for something a peer will notice, with a deadline and a sentence that says what was missing."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_CREDIT = 2.0


def _never_stalled_s() -> float:
    return 0.0


class Patience:
    """A limit of waiting: an event that is late because nobody could run is no missing one.

    `stalled_s` tells how long, by now, this machine has let work wait for a processor, in seconds. A limit is that much
    later, up to three times what it was to be. As it stands nothing counts as stalled.
    """

    stalled_s: ClassVar[Callable[[], float]] = staticmethod(_never_stalled_s)

    def __init__(self, timeout_s: float) -> None:
        self._timeout_s = timeout_s
        self._began_s, self._stalled_before_s = time.monotonic(), type(self).stalled_s()

    @property
    def left_s(self) -> float:
        """Seconds until the limit as it is by now; 0 when it is over."""
        credit_s = min(type(self).stalled_s() - self._stalled_before_s, _MOST_CREDIT * self._timeout_s)
        return max(0.0, self._timeout_s + credit_s - self.waited_s)

    @property
    def waited_s(self) -> float:
        """Seconds so far."""
        return time.monotonic() - self._began_s


class Watch:
    """Coroutines wait here for a condition; whoever changes what the condition looks at calls `notify`."""

    def __init__(self) -> None:
        self._waiters: set[asyncio.Future[None]] = set()

    def notify(self) -> None:
        """Let every waiter look again."""
        for waiter in self._waiters:
            if not waiter.done():
                waiter.set_result(None)

    async def until(self, condition: Callable[[], bool], timeout_s: float, missing: Callable[[], str]) -> None:
        """Return as soon as the condition holds, at once when it already does.

        Raises:
            TimeoutError: it did not hold in time; the text is what `missing` says then.
        """
        patience = Patience(timeout_s)
        while not condition():
            waiter = asyncio.get_running_loop().create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait_for(waiter, patience.left_s)
            except TimeoutError:
                if condition():
                    return
                if not patience.left_s:
                    raise TimeoutError(f"{missing()} (waited {patience.waited_s:.1f} s)") from None
            finally:
                self._waiters.discard(waiter)
