"""Waiting for something a peer will notice, with a deadline and a sentence that says what was missing."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable


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
        loop = asyncio.get_running_loop()
        deadline = loop.time() + timeout_s
        while not condition():
            waiter = loop.create_future()
            self._waiters.add(waiter)
            try:
                await asyncio.wait_for(waiter, max(0.0, deadline - loop.time()))
            except TimeoutError:
                if condition():
                    return
                raise TimeoutError(f"{missing()} (waited {timeout_s} s)") from None
            finally:
                self._waiters.discard(waiter)
