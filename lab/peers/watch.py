"""Waiting for something a peer will notice, with a deadline and a sentence that says what was missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from collections.abc import Callable

_MOST_CREDIT = 2.0


def _never_stalled_s() -> float:
    return 0.0


class Watch:
    """Coroutines wait here for a condition; whoever changes what the condition looks at calls `notify`.

    `stalled_s` tells how long, by now, this machine has let work wait for a processor, in seconds. A wait that began
    before is that much longer, up to three times what it was to be: an event that is late because nobody could run is
    no missing one. As it stands nothing counts as stalled.
    """

    stalled_s: ClassVar[Callable[[], float]] = staticmethod(_never_stalled_s)

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
        loop = asyncio.get_running_loop()
        began, stalled_before_s = loop.time(), type(self).stalled_s()
        deadline = began + timeout_s
        while not condition():
            waiter = loop.create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait_for(waiter, max(0.0, deadline - loop.time()))
            except TimeoutError:
                if condition():
                    return
                credit_s = min(type(self).stalled_s() - stalled_before_s, _MOST_CREDIT * timeout_s)
                if began + timeout_s + credit_s <= loop.time():
                    raise TimeoutError(f"{missing()} (waited {loop.time() - began:.1f} s)") from None
                deadline = began + timeout_s + credit_s
            finally:
                self._waiters.discard(waiter)
