"""The socket of a client of the API: it waits neither for ever for the rest of a request nor to be rid of an answer."""

from __future__ import annotations

import contextlib
import errno
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, ClassVar, Final, Self

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

# struct tcp_info of Linux (linux/tcp.h): tcpi_last_data_recv, milliseconds, 32 bits of the host's order.
_INFO_BYTES = 56
_LAST_DATA_RECV = slice(52, 56)
_GO_ON: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
_END_OF_HEAD: Final = b"\r\n\r\n"
_AT_ONCE: Final = 65_536


class ClientSocket(socket.socket):
    """A blocking socket with these bounds; a shorter timeout holds, too.

    A client that is too slow is as good as gone: `ConnectionResetError`, which gunicorn takes for no fault of ours.
    """

    silent_s: ClassVar = 10.0
    """A client that has begun a long body says more of it within this time,"""
    body_s: ClassVar = 120.0
    """and all of it within this one."""
    takes_s: ClassVar = 30.0
    """A client takes each piece of its answer within this time."""
    most_after_the_end: ClassVar = 1024 * 1024
    """Bytes that a client may have on their way when it has had its answer."""

    is_late = False
    """Not all of the request came in time: what is there is read, and nothing waited for."""
    is_ending = False
    """Our side has said all."""

    _late_s = float("inf")
    _was_told_to_go_on = False
    _after_the_end = 0
    _is_first_piece = False
    _held = b""

    @classmethod
    def of(cls, accepted: socket.socket) -> Self:
        """Take over a socket that has been accepted."""
        return cls(fileno=accepted.detach())

    def begin(self, *, has_more: bool) -> None:
        """Note that a request is served; `has_more`: its body is still to come, and may be waited for."""
        self._was_told_to_go_on = False
        self._is_first_piece = True
        self._late_s = time.monotonic() + self.body_s if has_more and not self.is_late else 0.0

    def wait_no_more(self) -> None:
        """Note that the request has been answered: of what is left of it nothing is waited for."""
        self.send_held()
        self._late_s = 0.0

    def tell_to_go_on(self) -> None:
        """Tell a client that waits for it to send its body; gunicorn, which would, comes too late."""
        if not self._was_told_to_go_on:
            self._was_told_to_go_on = True
            self.setblocking(False)
            with contextlib.suppress(OSError):  # whoever has gone is noticed by what it no longer says
                self.send(_GO_ON)

    def end(self) -> bool:
        """Say that nothing follows; return whether the client may still be sending (RFC 9112, section 9.6)."""
        self.is_ending = True
        self.shutdown(socket.SHUT_WR)
        return self.goes_on()

    def goes_on(self) -> bool:
        """Read what a client says after its answer, which is of no interest; return whether it has not ended yet."""
        while self._after_the_end < self.most_after_the_end:
            try:
                more = len(self.recv_now(_AT_ONCE))
            except BlockingIOError:
                return True
            except OSError:
                return False
            if not more:
                return False
            self._after_the_end += more
        return False

    def waited_s(self) -> float:
        """How long ago the client's last bytes came, in seconds, also before anybody read them: the kernel counts."""
        info = self.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        return int.from_bytes(info[_LAST_DATA_RECV], sys.byteorder) / 1_000

    def recv_now(self, size: int) -> bytes:
        """Return what is there; raise `BlockingIOError` when it is nothing."""
        self.setblocking(False)  # with a timeout of before Python would wait, whatever the flag says
        return super().recv(size)

    def recv(self, size: int, flags: int = 0, /) -> bytes:
        """Return what comes next."""
        set_s = self.gettimeout()
        left_s = min(self.silent_s, self._late_s - time.monotonic(), self.silent_s if set_s is None else set_s)
        if left_s <= 0:
            try:
                return self.recv_now(size)
            except BlockingIOError:
                raise _too_slow("the request was not there as a whole in time") from None
        self.settimeout(left_s)
        try:
            return super().recv(size, flags)
        except TimeoutError:
            raise _too_slow(f"nothing more of the request came within {left_s:.0f} s") from None

    def sendall(self, data: ReadableBuffer, flags: int = 0, /) -> None:
        """Send all of it; the head of an answer is held until its body is there, or the answer ends without one.

        gunicorn sends both by themselves: each costs a passage through the kernel (5 of 172 us of a
        ring plan, more where the thread was asleep), and wakes the client.
        """
        if self._is_first_piece:
            self._is_first_piece = False
            piece = bytes(data)
            if piece.endswith(_END_OF_HEAD):
                self._held = piece
                return
        elif self._held:
            data, self._held = self._held + bytes(data), b""
        self._send_now(data, flags)

    def send_held(self) -> None:
        """Send what has been held."""
        if self._held:
            held, self._held = self._held, b""
            self._send_now(held, 0)

    def shutdown(self, how: int, /) -> None:
        """Say that nothing follows what has been said."""
        self.send_held()
        super().shutdown(how)

    def sendfile(self, file: Any, offset: int = 0, count: int | None = None) -> int:
        """Send a file, which goes by the kernel alone."""
        self.send_held()
        return super().sendfile(file, offset, count)

    def _send_now(self, data: ReadableBuffer, flags: int) -> None:
        self.settimeout(self.takes_s)
        try:
            super().sendall(data, flags)
        except TimeoutError:
            raise _too_slow(f"the answer was not taken within {self.takes_s:.0f} s") from None


def _too_slow(told: str) -> ConnectionResetError:
    return ConnectionResetError(errno.ECONNRESET, told)
