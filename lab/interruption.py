"""A command that is told to end, or whose terminal is gone, ends as with Ctrl-C: it clears away what it has started."""

from __future__ import annotations

import signal
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from types import FrameType

_ENDINGS: Final = (signal.SIGTERM, signal.SIGHUP)


def end_like_ctrl_c() -> None:
    """Have TERM and HUP end this process as Ctrl-C does; what nohup(1) has us ignore stays ignored."""
    for number in _ENDINGS:
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, _interrupt)


def _interrupt(_number: int, _frame: FrameType | None) -> None:
    # A terminal that closes says so more than once: that is not to interrupt the clearing away. Not by SIG_IGN, which
    # programs started meanwhile would take over.
    for number in _ENDINGS:
        signal.signal(number, lambda *_: None)
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:  # started with `&` by a script
        raise KeyboardInterrupt
    signal.raise_signal(signal.SIGINT)
