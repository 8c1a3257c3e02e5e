"""Where log lines go: one that cannot be written, as the disk behind it is full, is lost, not the work it tells of.

What others have sent stands in them: it neither begins another line nor commands the terminal of who reads.
"""

from __future__ import annotations

import contextlib
import io
from typing import TYPE_CHECKING, Any, Final, TextIO, cast

if TYPE_CHECKING:
    from structlog.typing import WrappedLogger

_CONTROLS: Final = (*range(0x20), *range(0x7F, 0xA0))
_LINES_AND_DIRECTIONS: Final = (0x2028, 0x2029, *range(0x202A, 0x202F), *range(0x2066, 0x206A))
_ESCAPED: Final = {code: f"\\x{code:02x}" for code in _CONTROLS} | {
    code: f"\\u{code:04x}" for code in _LINES_AND_DIRECTIONS
}


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


def on_one_line(_logger: WrappedLogger, _method: str, line: Any) -> str:
    """Return a line with whatever ends one, commands a terminal or turns its writing round told by its number.

    The last processor of structlog; the renderer before it has escaped line feeds.
    """
    return str(line).translate(_ESCAPED)
