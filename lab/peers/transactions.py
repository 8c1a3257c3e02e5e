"""The UDP socket of a scripted peer: client transactions with retransmission, everything kept with its time.

RFC 3261 section 17, as far as a test peer needs it: requests are sent again (T1 0.5 s, doubling) until any answer
comes; a request received twice gets the stored answer again; the final response of an INVITE is sent again until its
ACK comes; the ACK of a failed INVITE is sent here, and that of an answer again whenever the answer comes again.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import secrets
import struct
import time
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, cast

from lab.peers import message
from lab.peers.watch import Watch

if TYPE_CHECKING:
    from lab.peers.message import SipMessage

T1_S, T2_S = 0.5, 4.0
_SIOCGSTAMPNS = 0x8907
_TIMESPEC = struct.Struct("@ll")
_MULTIPLE_CHOICES = 300
_OK = 200
_SENDINGS = 8
"""32 s in all, timers B, F and H of RFC 3261."""


@dataclass(frozen=True)
class Received:
    """A datagram that came in: when the kernel had it (monotonic seconds), the message, the bytes, and from where."""

    at_s: float
    message: SipMessage
    data: bytes
    source: tuple[str, int]


@dataclass
class ClientTransaction:
    """One request on its way, and the responses to it so far."""

    request: SipMessage
    sent_s: float = field(default_factory=time.monotonic)
    responses: list[Received] = field(default_factory=list)
    sent_count: int = 1
    acknowledgement: SipMessage | None = None
    """The ACK of the 2xx, once it has been sent."""
    watch: Watch = field(default_factory=Watch)

    @property
    def final(self) -> SipMessage | None:
        """The final response, None while there is none."""
        return next((got.message for got in self.responses if got.message.status >= _OK), None)

    @property
    def statuses(self) -> list[int]:
        """Status codes in the order they came."""
        return [got.message.status for got in self.responses]

    async def wait_final(self, timeout_s: float) -> SipMessage:
        """The final response."""
        return await self.wait_status(lambda status: status >= _OK, timeout_s, "a final response")

    async def wait_status(self, accept: Callable[[int], bool], timeout_s: float, what: str) -> SipMessage:
        """The first response whose status is accepted, past ones included."""

        def found() -> SipMessage | None:
            return next((got.message for got in self.responses if accept(got.message.status)), None)

        await self.watch.until(
            lambda: found() is not None,
            timeout_s,
            lambda: f"{self.request.start_line!r}: no {what}; received {self.statuses}",
        )
        response = found()
        if response is None:
            raise AssertionError("a response that was there is gone")
        return response


RequestHandler = Callable[[Received], None]


class SipSocket(asyncio.DatagramProtocol):
    """A UDP socket that speaks SIP. Made by `open_socket`."""

    def __init__(self, server: tuple[str, int], on_request: RequestHandler) -> None:
        self.server = server
        self.received: list[Received] = []
        self.not_sip: list[bytes] = []
        self.watch = Watch()
        self._on_request = on_request
        self._transport: asyncio.DatagramTransport | None = None
        self._clients: dict[tuple[str, str], ClientTransaction] = {}
        self._requests: set[tuple[str, str]] = set()
        self._answers: dict[tuple[str, str], bytes] = {}
        self._resends: set[asyncio.Task[None]] = set()

    @property
    def address(self) -> str:
        """Local address."""
        return str(self._open_transport().get_extra_info("sockname")[0])

    @property
    def port(self) -> int:
        """Local port."""
        return int(self._open_transport().get_extra_info("sockname")[1])

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """asyncio: the socket is open."""
        # No isinstance: the selector loop's datagram transport of Python 3.11 is not declared as one.
        self._transport = cast("asyncio.DatagramTransport", transport)
        with contextlib.suppress(FileNotFoundError):  # nothing has come yet; from now on all that comes is stamped
            self._arrived_s()

    def error_received(self, exc: Exception) -> None:
        """asyncio: an ICMP error; the retransmission deals with it (Kamailio may be restarting)."""
        del exc

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        """asyncio: one datagram arrived."""
        try:
            parsed = message.parse(data)
        except message.NotSipError:
            if data.strip():  # an empty line is a keep-alive, RFC 5626 section 3.5.1
                self.not_sip.append(data)
                self.watch.notify()
            return
        got = Received(self._arrived_s(), parsed, data, addr)
        self.received.append(got)
        if parsed.is_response:
            self._take_response(got)
        else:
            self._take_request(got)
        self.watch.notify()

    def _arrived_s(self) -> float:
        """Return when the datagram that was just read arrived (socket(7), SIOCGSTAMP): a busy peer reads it late."""
        file: int = self._open_transport().get_extra_info("socket").fileno()
        seconds, nanoseconds = _TIMESPEC.unpack(fcntl.ioctl(file, _SIOCGSTAMPNS, bytes(_TIMESPEC.size)))
        ago_s: float = time.time() - seconds - nanoseconds / 1e9
        return time.monotonic() - max(0.0, ago_s)

    def send_bytes(self, data: bytes, destination: tuple[str, int] | None = None) -> None:
        """Send any bytes, well formed or not."""
        self._open_transport().sendto(data, destination or self.server)

    def send_request(self, request: SipMessage, destination: tuple[str, int] | None = None) -> ClientTransaction:
        """Send a request and keep sending it until an answer comes; an ACK is sent once."""
        if not request.get("Via"):
            request.headers.insert(0, ("Via", self.via(new_branch())))
        transaction = ClientTransaction(request)
        self.send_bytes(request.encode(), destination)
        if request.method != "ACK":
            self._clients[(request.branch, request.method)] = transaction
            self._keep(self._resend(transaction, destination))
        return transaction

    def send_response(self, to: Received, response: SipMessage) -> bytes:
        """Answer a request, and return what was sent; it is kept for the request's retransmissions."""
        data = response.encode()
        self._answers[(to.message.branch, to.message.method)] = data
        self.send_bytes(data, to.source)
        if to.message.method == "INVITE" and response.status >= _MULTIPLE_CHOICES:
            acknowledged = (to.message.branch, "ACK")
            self.repeat(data, to.source, lambda: acknowledged in self._requests)
        return data

    def repeat(self, data: bytes, destination: tuple[str, int], acknowledged: Callable[[], bool]) -> None:
        """Send the final response of an INVITE, which has been sent once, again until it is acknowledged."""
        self._keep(self._repeat(data, destination, acknowledged))

    def via(self, branch: str) -> str:
        """Via value of this socket."""
        return f"SIP/2.0/UDP {self.address}:{self.port};branch={branch};rport"

    async def wait_received(
        self, accept: Callable[[SipMessage], bool], timeout_s: float, what: str, since_s: float = 0.0
    ) -> Received:
        """The first accepted message that came at or after `since_s` (monotonic), past ones included."""

        def found() -> Received | None:
            return next((got for got in self.received if got.at_s >= since_s and accept(got.message)), None)

        await self.watch.until(lambda: found() is not None, timeout_s, lambda: f"{self.address}: {what} did not come")
        got = found()
        if got is None:
            raise AssertionError("a message that was there is gone")
        return got

    def close(self) -> None:
        """Stop sending and close."""
        for task in self._resends:
            task.cancel()
        if self._transport is not None:
            self._transport.close()

    async def _resend(self, transaction: ClientTransaction, destination: tuple[str, int] | None) -> None:
        wait_s = T1_S
        while transaction.sent_count < _SENDINGS:
            await asyncio.sleep(wait_s)
            if transaction.responses:
                return
            self.send_bytes(transaction.request.encode(), destination)
            transaction.sent_count += 1
            wait_s = wait_s * 2 if transaction.request.method == "INVITE" else min(wait_s * 2, T2_S)

    async def _repeat(self, data: bytes, destination: tuple[str, int], acknowledged: Callable[[], bool]) -> None:
        wait_s = T1_S
        for _ in range(_SENDINGS - 1):
            await asyncio.sleep(wait_s)
            if acknowledged():
                return
            self.send_bytes(data, destination)
            wait_s = min(wait_s * 2, T2_S)

    def _keep(self, sending: Coroutine[None, None, None]) -> None:
        task = asyncio.get_running_loop().create_task(sending)
        self._resends.add(task)
        task.add_done_callback(self._resends.discard)

    def _take_response(self, got: Received) -> None:
        transaction = self._clients.get((got.message.branch, got.message.method))
        if transaction is None:
            return
        if transaction.request.method == "INVITE" and got.message.status >= _MULTIPLE_CHOICES:
            self._acknowledge_failure(transaction.request, got)
        elif got.message.status >= _OK and transaction.acknowledgement is not None:
            self.send_bytes(transaction.acknowledgement.encode())
        transaction.responses.append(got)
        transaction.watch.notify()

    def _acknowledge_failure(self, invite: SipMessage, got: Received) -> None:
        """ACK for a non-2xx answer: same branch, same request URI, To of the answer (RFC 3261 section 17.1.1.3)."""
        ack = message.request("ACK", invite.uri)
        ack.add("Via", invite.get("Via"))
        for name in ("Max-Forwards", "Route", "From", "Call-ID"):
            for value in invite.get_all(name):
                ack.add(name, value)
        ack.add("To", got.message.get("To"))
        ack.add("CSeq", f"{invite.cseq} ACK")
        self.send_bytes(ack.encode(), got.source)

    def _take_request(self, got: Received) -> None:
        key = (got.message.branch, got.message.method)
        answer = self._answers.get(key)
        if answer is not None and got.message.method != "ACK":
            self.send_bytes(answer, got.source)
            return
        if key not in self._requests or got.message.method == "ACK":
            self._requests.add(key)
            self._on_request(got)

    def _open_transport(self) -> asyncio.DatagramTransport:
        if self._transport is None:
            raise RuntimeError("the SIP socket is not open; make it with open_socket()")
        return self._transport


def new_branch() -> str:
    """A branch with the magic cookie of RFC 3261."""
    return "z9hG4bK" + secrets.token_hex(8)


async def open_socket(address: str, port: int, server: tuple[str, int], on_request: RequestHandler) -> SipSocket:
    """A SIP socket at a local address; port 0 takes a free one."""
    _, socket = await asyncio.get_running_loop().create_datagram_endpoint(
        lambda: SipSocket(server, on_request), local_addr=(address, port)
    )
    return socket
