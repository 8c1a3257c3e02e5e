"""The socket of a client of the API: it waits neither for ever for the rest of a request nor to be rid of an answer."""

from __future__ import annotations

import errno
import socket
import time
from typing import TYPE_CHECKING, ClassVar, Self

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


class ClientSocket(socket.socket):
    """A blocking socket with these bounds; a shorter timeout holds, too.

    A client that is too slow is as good as gone: `ConnectionResetError`, which gunicorn takes for no fault of ours.
    """

    silent_s: ClassVar = 10.0
    """A client that has begun a body says more of it within this time,"""
    body_s: ClassVar = 120.0
    """and all of it within this one."""
    takes_s: ClassVar = 30.0
    """A client takes each piece of its answer within this time."""

    _late_s = float("inf")

    @classmethod
    def of(cls, accepted: socket.socket) -> Self:
        """Take over a socket that has been accepted."""
        return cls(fileno=accepted.detach())

    def begin(self) -> None:
        """Note that a request begins."""
        self._late_s = time.monotonic() + self.body_s

    def recv_now(self, size: int) -> bytes:
        """Return what is there; raise `BlockingIOError` when it is nothing."""
        return super().recv(size, socket.MSG_DONTWAIT)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return what comes next."""
        set_s = self.gettimeout()
        left_s = min(self.silent_s, self._late_s - time.monotonic(), self.silent_s if set_s is None else set_s)
        if left_s <= 0:
            raise _too_slow(f"the request was not there as a whole within {self.body_s:.0f} s")
        self.settimeout(left_s)
        try:
            return super().recv(size, flags)
        except TimeoutError:
            raise _too_slow(f"nothing more of the request came within {left_s:.0f} s") from None

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send all of it."""
        self.settimeout(self.takes_s)
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise _too_slow(f"the answer was not taken within {self.takes_s:.0f} s") from None


def _too_slow(told: str) -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, told)
