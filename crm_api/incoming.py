"""How much of a request has come: looked at before a thread takes it, so that none waits for the rest.

Nothing is decided here but who waits: gunicorn reads the same head again, and refuses what it does not like.
"""

from __future__ import annotations

import re
from enum import Enum
from typing import Final

LONGEST_HEAD: Final = 65_536
"""Bytes; so much without an end is handed to gunicorn, which refuses it."""
SHORT_BODY: Final = 65_536
"""Bytes: a body up to this is awaited without a thread, and whoever shows no token sends none that is longer."""
_END_OF_HEAD: Final = b"\r\n\r\n"
_FRAMING: Final = re.compile(rb"\r\n(content-length|transfer-encoding|expect):[ \t]*([^\r\n]*)", re.IGNORECASE)
"""As gunicorn reads it: each line ends with CRLF, and no blank stands before the colon (RFC 9112, 5.1)."""
_LENGTH: Final = re.compile(rb"[0-9]{1,18}")


class Come(Enum):
    """What of the next request has come."""

    PART_OF_HEAD = "part of its head, or nothing"
    PART_OF_BODY = "its head, and part of a short body"
    WHOLE = "all of it, as far as it is read"
    LONG = "its head; its body is long, or nobody says how long"


def come(ahead: bytes) -> Come:
    """Say what of a request is there.

    Args:
        ahead: all that has been received and belongs to no request before.
    """
    end = ahead.find(_END_OF_HEAD)
    if end < 0:
        return Come.WHOLE if len(ahead) >= LONGEST_HEAD else Come.PART_OF_HEAD
    body = 0
    for name, value in _FRAMING.findall(ahead, 0, end):
        if name.lower() == b"transfer-encoding":
            return Come.LONG
        if name.lower() == b"content-length":
            if _LENGTH.fullmatch(value.rstrip(b" \t")) is None:
                return Come.WHOLE  # refused
            body = max(body, int(value))  # more than one is refused
    if body > SHORT_BODY:
        return Come.LONG
    return Come.WHOLE if len(ahead) >= end + len(_END_OF_HEAD) + body else Come.PART_OF_BODY


def waits_to_go_on(ahead: bytes) -> bool:
    """Say whether a client sends its body only when it is told to (RFC 9110, 10.1.1), and none of it has come."""
    end = ahead.find(_END_OF_HEAD)
    fields = _FRAMING.findall(ahead, 0, end) if len(ahead) == end + len(_END_OF_HEAD) else []
    return any(name.lower() == b"expect" and value.strip().lower() == b"100-continue" for name, value in fields)
