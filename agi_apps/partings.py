"""Connections that have had their last command: nobody waits for what Asterisk answers, it is looked at later.

A thread that waited for the answer would be woken for nothing but closing, and Asterisk once more for our end of the
connection: with the command it finds the end of our commands, and goes on with the call at once (res_agi.c, `run_agi`).
"""

from __future__ import annotations

import logging
import socket
import time
from collections import deque
from contextlib import suppress

_log = logging.getLogger(__name__)

LOOK_AFTER_S = 0.25
GIVEN_UP_AFTER_S = 5.0
_BYTES = 4_096
# It is done; it was done or not on a channel that is gone.
_EXPECTED = (b"200 ", b"511 ", b"HANGUP")


class Partings:
    """Keeps such connections until Asterisk has answered."""

    def __init__(self) -> None:
        self._waiting: deque[tuple[float, str, socket.socket]] = deque()

    def add(self, peer: socket.socket, call_id: str) -> None:
        """Say that no command follows; the connection is closed by `look`."""
        with suppress(OSError):  # gone already
            peer.shutdown(socket.SHUT_WR)
        self._waiting.append((time.monotonic(), call_id, peer))

    def look(self) -> None:
        """Close those that are answered, and say what was no answer; called several times a second."""
        now = time.monotonic()
        for _ in range(len(self._waiting)):
            since, call_id, peer = self._waiting[0]
            if now - since < LOOK_AFTER_S:
                return
            self._waiting.popleft()
            if _is_answered(peer, call_id) or now - since > GIVEN_UP_AFTER_S:
                peer.close()
            else:
                self._waiting.append((since, call_id, peer))


def _is_answered(peer: socket.socket, call_id: str) -> bool:
    try:
        said = peer.recv(_BYTES, socket.MSG_DONTWAIT)
    except BlockingIOError:
        return False
    except OSError:  # gone without an answer
        return True
    if said and not said.startswith(_EXPECTED):
        _log.warning("[%s] Asterisk refused its answer: %r", call_id, said[:80])
    return True
