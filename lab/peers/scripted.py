"""A scripted SIP peer: one UDP socket at one address, any number of accounts, full dialogs and any bytes.

For situations that a real phone cannot be brought into: exact timing, forged headers, broken messages, a late 200.
Real phones are `lab.peers.baresip`.
"""

from __future__ import annotations

import contextlib
import secrets
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Self

from lab.peers import digest, message
from lab.peers.calls import IncomingCall, OutgoingCall
from lab.peers.message import SipMessage
from lab.peers.rtp import RtpStream, open_stream
from lab.peers.transactions import ClientTransaction, Received, SipSocket, open_socket
from lab.peers.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.peers.digest import Credentials

_CHALLENGES = {401: ("WWW-Authenticate", "Authorization"), 407: ("Proxy-Authenticate", "Proxy-Authorization")}


@dataclass(frozen=True)
class SipServer:
    """Where to register and to call: address and port of the proxy, and the SIP domain."""

    address: str
    domain: str
    port: int = 5060


@dataclass
class Binding:
    """A registration of one account: its Call-ID and sequence number grow as RFC 3261 section 10.2 wants it."""

    call_id: str = field(default_factory=lambda: secrets.token_hex(12))
    cseq: int = field(default_factory=lambda: int(time.time()) & 0x7FFFFFF)


class ScriptedPeer:
    """A SIP user agent under a script's control."""

    def __init__(self, server: SipServer) -> None:
        self.server = server
        self.ringing: list[IncomingCall] = []
        self.on_register: Callable[[Received], None] | None = None
        self.is_one_server = False
        """All INVITEs reach one server, and it refuses what it takes for a loop; else each contact is a phone."""
        self._numbers: dict[tuple[str, str], int] = {}
        self._socket: SipSocket | None = None
        self._watch = Watch()
        self._bindings: dict[str, Binding] = {}
        self._calls: dict[str, OutgoingCall | IncomingCall] = {}
        self._by_branch: dict[str, IncomingCall] = {}
        self._by_tag: dict[str, IncomingCall] = {}
        self._streams: list[RtpStream] = []
        self._spare: list[RtpStream] = []

    @classmethod
    async def open(cls, server: SipServer, address: str, port: int = 5060, streams: int = 4) -> Self:
        """A peer at a local address; `streams` is how many calls may ring it at once."""
        peer = cls(server)
        peer._socket = await open_socket(address, port, (server.address, server.port), peer._take)
        peer._spare = [await open_stream(address) for _ in range(streams)]
        peer._streams = list(peer._spare)
        return peer

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    @property
    def socket(self) -> SipSocket:
        """The socket: everything received, and raw sending."""
        if self._socket is None:
            raise RuntimeError("the peer is not open; make it with ScriptedPeer.open()")
        return self._socket

    def close(self) -> None:
        """Close every socket."""
        for stream in self._streams:
            stream.close()
        if self._socket is not None:
            self._socket.close()

    async def hang_up_everything(self, timeout_s: float = 5.0) -> None:
        """End every call this peer has placed or taken and that goes on; one that does not end in time is left."""
        for call in self._calls.values():
            with contextlib.suppress(TimeoutError):
                if call.is_established:
                    await call.bye(timeout_s)
                elif isinstance(call, OutgoingCall) and call.is_pending:
                    await call.cancel(timeout_s)

    def request(self, method: str, uri: str, account: str, *, to: str = "", display_name: str = "") -> SipMessage:
        """An out-of-dialog request of an account, ready to send or to be spoilt.

        Args:
            method: SIP method.
            uri: request URI.
            account: user of From and Contact.
            to: user of the To header; the account itself when empty.
            display_name: put into From as given, quoting included.
        """
        own = f"<sip:{account}@{self.server.domain}>"
        built = message.request(method, uri)
        built.add("Max-Forwards", "70")
        built.add("From", f"{display_name} {own};tag={secrets.token_hex(4)}".lstrip())
        built.add("To", f"<sip:{to or account}@{self.server.domain}>")
        built.add("Call-ID", secrets.token_hex(12))
        built.add("CSeq", f"1 {method}")
        built.add("Contact", f"<sip:{account}@{self.socket.address}:{self.socket.port}>")
        return built

    async def send(
        self, built: SipMessage, credentials: Credentials | None = None, timeout_s: float = 5.0
    ) -> SipMessage:
        """Send a request, answer one digest challenge when there are credentials; returns the final response."""
        return await (await self._send(built, credentials, timeout_s)).wait_final(timeout_s)

    async def register(
        self, credentials: Credentials, *, expires_s: int = 600, contact: str = "", timeout_s: float = 5.0
    ) -> SipMessage:
        """Register an account at this peer's address; `expires_s` 0 takes the binding away."""
        account = credentials.username
        binding = self._bindings.setdefault(account, Binding())
        binding.cseq += 1
        built = self.request("REGISTER", f"sip:{self.server.domain}", account)
        built.replace("Call-ID", binding.call_id)
        built.replace("CSeq", f"{binding.cseq} REGISTER")
        if contact:
            built.replace("Contact", contact)
        built.add("Expires", str(expires_s))
        final = await self.send(built, credentials, timeout_s)
        binding.cseq += 1
        return final

    async def call(
        self,
        credentials: Credentials,
        dialled: str,
        *,
        headers: tuple[tuple[str, str], ...] = (),
        description: bytes | None = None,
        display_name: str = "",
        max_forwards: int = 70,
        video_port: int | None = None,
        call_id: str = "",
        timeout_s: float = 5.0,
    ) -> OutgoingCall:
        """Place a call and answer the challenge. Returns when the INVITE with credentials is on its way, or refused.

        Args:
            credentials: the calling account.
            dialled: user of the request URI and To.
            headers: more headers, appended as given.
            display_name: put into From as given, quoting included.
            max_forwards: hops the request may still take.
            video_port: offers H.264 at this port, too.
            call_id: instead of one made up.
            timeout_s: longest wait for the challenge.
            description: session description instead of our own; empty bytes for none at all.
        """
        built = self.request(
            "INVITE", f"sip:{dialled}@{self.server.domain}", credentials.username, to=dialled, display_name=display_name
        )
        built.replace("Max-Forwards", str(max_forwards))
        if call_id:
            built.replace("Call-ID", call_id)
        built.headers.extend(headers)
        return await self.place(built, credentials, description=description, video_port=video_port, timeout_s=timeout_s)

    async def place(
        self,
        built: SipMessage,
        credentials: Credentials | None,
        *,
        description: bytes | None = None,
        video_port: int | None = None,
        timeout_s: float = 5.0,
    ) -> OutgoingCall:
        """Place a call by an INVITE of any shape, described and answered for as `call` does it."""
        stream = await open_stream(self.socket.address)
        self._streams.append(stream)
        call = OutgoingCall(self.socket, stream, built.get("Call-ID"))
        call.video_port = video_port
        built.body = call.describe() if description is None else description
        if built.body and not built.get("Content-Type"):
            built.add("Content-Type", "application/sdp")
        call.local = built.get("From")
        self._calls[call.call_id] = call
        call.transaction = await self._send(built, credentials, timeout_s)
        return call

    async def incoming(self, account: str = "", timeout_s: float = 5.0, since_s: float = 0.0) -> IncomingCall:
        """The first call that rings an account (any when empty) at or after a monotonic time, past ones included."""

        def found() -> IncomingCall | None:
            return next((call for call in self.ringing if self._is_for(call, account, since_s)), None)

        await self._watch.until(
            lambda: found() is not None,
            timeout_s,
            lambda: f"{self.socket.address}: no call rang {account or 'anybody'} here",
        )
        call = found()
        if call is None:
            raise AssertionError("a call that was there is gone")
        return call

    @staticmethod
    def _is_for(call: IncomingCall, account: str, since_s: float) -> bool:
        user = call.invite.uri.removeprefix("sip:").partition("@")[0]
        return call.received.at_s >= since_s and account in ("", user)

    async def _send(self, built: SipMessage, credentials: Credentials | None, timeout_s: float) -> ClientTransaction:
        transaction = self.socket.send_request(built)
        if credentials is None:
            return transaction
        first = await transaction.wait_status(lambda status: status != 100, timeout_s, "answer")  # noqa: PLR2004
        if first.status not in _CHALLENGES:
            return transaction
        challenge_header, answer_header = _CHALLENGES[first.status]
        challenge = digest.parse_challenge(first.get(challenge_header))
        again = SipMessage(built.start_line, [pair for pair in built.headers if pair[0] != "Via"], built.body)
        again.replace("CSeq", f"{built.cseq + 1} {built.method}")
        again.add(answer_header, digest.authorization(challenge, credentials, built.method, built.uri))
        return self.socket.send_request(again)

    def _take(self, got: Received) -> None:
        call_id, method = got.message.get("Call-ID"), got.message.method
        if method == "INVITE" and not message.parameter(got.message.get("To"), "tag"):
            self._take_invite(got)
        elif method == "CANCEL":
            self._take_cancel(got)
        elif method == "REGISTER" and self.on_register is not None:
            self.on_register(got)
        elif call_id in self._calls:
            self._dialog_of(got).take(got)
        elif method != "ACK":
            self.answer_outside(got, 200 if method == "OPTIONS" else 481)

    def _take_invite(self, got: Received) -> None:
        if self.is_one_server and self._is_loop(got.message):
            self.answer_outside(got, 482)
            return
        if not self._spare:
            self.answer_outside(got, 486)
            return
        call = IncomingCall(self.socket, self._spare.pop(), got)
        self.ringing.append(call)
        self._calls[call.call_id] = call
        self._by_branch[call.invite.branch] = call
        self._by_tag[message.parameter(call.local, "tag")] = call
        self._watch.notify()

    def _is_loop(self, invite: SipMessage) -> bool:
        """Known by Call-ID and tag, and its number is no higher (RFC 3261, 8.2.2.2 and 22.2)."""
        name = invite.get("Call-ID"), message.parameter(invite.get("From"), "tag")
        before = self._numbers.get(name, -1)
        self._numbers[name] = max(before, invite.cseq)
        return invite.cseq <= before

    def _take_cancel(self, got: Received) -> None:
        call = self._by_branch.get(got.message.branch)
        if call is None or call.invite.cseq != got.message.cseq:  # RFC 3261, 9.1
            self.answer_outside(got, 481)
        else:
            call.take_cancel(got)

    def _dialog_of(self, got: Received) -> OutgoingCall | IncomingCall:
        """Several branches of one fork may ring one peer with one Call-ID: the To tag tells them apart."""
        tag = message.parameter(got.message.get("To"), "tag")
        return self._by_tag.get(tag) or self._calls[got.message.get("Call-ID")]

    def answer_outside(self, got: Received, status: int, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Answer a request that belongs to no call."""
        built = message.response(status, "Outside of a call")
        built.headers.extend(headers)
        for name in ("Via", "From", "To", "Call-ID", "CSeq"):
            for value in got.message.get_all(name):
                built.add(name, value)
        self.socket.send_response(got, built)
