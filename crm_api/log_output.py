"""Where log lines go: one that cannot be written, as the disk behind it is full, is lost, not the work it tells of."""

from __future__ import annotations

import contextlib
import io
from typing import TextIO, cast


class _Unfailing(io.TextIOBase):
    """Writes to another stream, or loses what that does not take."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def write(self, text: str, /) -> int:
        with contextlib.suppress(OSError):
            self._stream.write(text)
        return len(text)

    def flush(self) -> None:
        with contextlib.suppress(OSError):
            self._stream.flush()


def log_output(stream: TextIO) -> TextIO:
    """Return a stream that writes to this one and never fails."""
    return cast("TextIO", _Unfailing(stream))
