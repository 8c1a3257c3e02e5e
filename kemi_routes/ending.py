"""The end of Kamailio (SIGTERM): the process that ships the story ships what is queued by then, and goes.

Kamailio's own handler leaves at once, with the events of the last moments in memory that is shared no more.
"""

from __future__ import annotations

import os
import signal
from typing import Final

_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)
LONGEST_S: Final = 3
"""A worker that was ended in the middle of a change may have left shared memory locked for ever."""


class Ending:
    """Belongs to one process, which asks at each tick."""

    def __init__(self) -> None:
        self._watches = False
        self._has_come = False

    def watch(self) -> None:
        """Take the signal from Kamailio, at the first tick: before, nobody knows which process this is."""
        if not self._watches:
            self._watches = True
            for number in _SIGNALS:
                signal.signal(number, self._come)

    def _come(self, _number: int, _frame: object) -> None:
        self._has_come = True
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(LONGEST_S)

    def leave_if_come(self) -> None:
        """End this process when it has been told to; as Kamailio does it, without a word to anybody."""
        if self._has_come:
            os._exit(0)
