"""The SIP messages a baresip process sent and received, read from what it prints under `-s`.

baresip tells its controller that a call was closed, but not why a CANCEL came; the Reason header (RFC 3326) is only
in the message, and the trace has the message.
"""

from __future__ import annotations

import re
import time
from dataclasses import dataclass

from lab.peers import message

# What baresip 1.1 prints (src/ua.c, sip_trace_handler): colour, "#", transport and addresses, the packet, colour off.
_BEGIN = b"\x1b[36;1m#\n"
_END = b"\n\x1b[;m\n"
_ADDRESSES = re.compile(rb"^(\S+) (\S+) -> (\S+)\n")


@dataclass(frozen=True)
class TracedMessage:
    """One message of the trace: when it was printed (monotonic seconds), from and to (`address:port`)."""

    at_s: float
    source: str
    destination: str
    message: message.SipMessage


class SipTraceReader:
    """Takes baresip's output in any pieces, returns the messages that became complete and the other text."""

    def __init__(self) -> None:
        self._pending = b""

    def feed(self, data: bytes) -> tuple[list[TracedMessage], str]:
        """Take the next piece of output."""
        self._pending += data
        found: list[TracedMessage] = []
        text = b""
        while True:
            begin = self._pending.find(_BEGIN)
            if begin < 0:
                keep = _partial_suffix(self._pending, _BEGIN)
                cut = len(self._pending) - keep
                text, self._pending = text + self._pending[:cut], self._pending[cut:]
                break
            end = self._pending.find(_END, begin)
            if end < 0:
                text, self._pending = text + self._pending[:begin], self._pending[begin:]
                break
            text += self._pending[:begin]
            traced = _read(self._pending[begin + len(_BEGIN) : end])
            if traced is not None:
                found.append(traced)
            self._pending = self._pending[end + len(_END) :]
        return found, text.decode("utf-8", "replace")


def _read(block: bytes) -> TracedMessage | None:
    addresses = _ADDRESSES.match(block)
    if addresses is None:
        return None
    packet = block[addresses.end() :]
    if not packet.endswith(b"\r\n\r\n") and b"\r\n\r\n" not in packet:
        packet += b"\n\r\n"  # the last line end went into the end mark
    try:
        parsed = message.parse(packet)
    except message.NotSipError:
        return None
    return TracedMessage(time.monotonic(), addresses[2].decode(), addresses[3].decode(), parsed)


def _partial_suffix(data: bytes, mark: bytes) -> int:
    """How many bytes at the end of the data could be the beginning of the mark."""
    return next((size for size in range(len(mark) - 1, 0, -1) if data.endswith(mark[:size])), 0)
