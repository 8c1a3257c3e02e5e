"""Where log lines go: one that cannot be written, as the disk behind it is full, is lost, not the work it tells of."""

from __future__ import annotations

import contextlib
import io
import os
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from typing_extensions import Buffer


class _Unfailing(io.RawIOBase):
    """Writes to a descriptor that stays open, or loses what it cannot write."""

    def __init__(self, descriptor: int) -> None:
        self._descriptor = descriptor

    def writable(self) -> bool:
        return True

    def write(self, data: Buffer, /) -> int:
        with contextlib.suppress(OSError):
            os.write(self._descriptor, data)
        return memoryview(data).nbytes


def log_output(descriptor: int) -> TextIO:
    """Return a stream to a descriptor that never fails."""
    # One write a line, however long: lines of several processes share one file.
    return io.TextIOWrapper(io.BufferedWriter(_Unfailing(descriptor), 1 << 20), "utf-8", "backslashreplace")
