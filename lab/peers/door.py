"""The door of a simulated panel: a relay that opens for its own code or its own HTTP command, and remembers why."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Literal

from lab.peers.watch import Watch

Cause = Literal["dtmf", "http"]


@dataclass(frozen=True)
class Opening:
    """The relay closed its contact: when (monotonic seconds) and on whose command."""

    at_s: float
    cause: Cause


@dataclass
class Door:
    """A door that opens when its code has been dialled, and shuts by itself.

    Attributes:
        code: keys that open it, in this order, in one call.
        open_for_s: how long the relay holds; a command meanwhile is a new opening.
        openings: every opening so far.
    """

    code: str
    open_for_s: float = 3.0
    openings: list[Opening] = field(default_factory=list)
    _heard: str = ""
    _watch: Watch = field(default_factory=Watch)

    @property
    def is_open(self) -> bool:
        """The relay holds the door open at this moment."""
        return bool(self.openings) and time.monotonic() - self.openings[-1].at_s < self.open_for_s

    def begin_call(self) -> None:
        """Forget the keys of the call before."""
        self._heard = ""

    def hear(self, key: str) -> None:
        """A key arrived in the panel's stream."""
        self._heard = (self._heard + key)[-len(self.code) :]
        if self.code and self._heard == self.code:
            self._heard = ""
            self.open("dtmf")

    def open(self, cause: Cause) -> None:
        """Switch the relay."""
        self.openings.append(Opening(time.monotonic(), cause))
        self._watch.notify()

    async def wait_opened(self, timeout_s: float = 5.0, since_s: float = 0.0) -> Opening:
        """The first opening at or after a monotonic time, past ones included."""

        def found() -> Opening | None:
            return next((opening for opening in self.openings if opening.at_s >= since_s), None)

        await self._watch.until(
            lambda: found() is not None,
            timeout_s,
            lambda: f"the door stayed shut; keys heard: {self._heard!r}, openings before: {len(self.openings)}",
        )
        opening = found()
        if opening is None:
            raise AssertionError("an opening that was there is gone")
        return opening
