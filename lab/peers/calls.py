"""The two sides of a call of a scripted peer: one it places, one that rings it; and the dialog both share."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from lab.peers import message, sdp
from lab.peers.watch import Watch

if TYPE_CHECKING:
    from lab.peers.message import SipMessage
    from lab.peers.rtp import RtpStream
    from lab.peers.transactions import ClientTransaction, Received, SipSocket

_OK, _MULTIPLE_CHOICES, _UNAUTHORIZED, _PROXY_AUTHENTICATION_REQUIRED = 200, 300, 401, 407
_REASONS = {
    180: "Ringing", 183: "Session Progress", 200: "OK", 404: "Not Found", 480: "Temporarily Unavailable",
    486: "Busy Here", 487: "Request Terminated", 488: "Not Acceptable Here", 603: "Decline",
}  # fmt: skip


class Dialog:
    """What both sides of a call have in common once it exists (RFC 3261 section 12)."""

    def __init__(self, socket: SipSocket, rtp: RtpStream, call_id: str) -> None:
        self.socket = socket
        self.rtp = rtp
        self.call_id = call_id
        self.local = ""
        self.remote = ""
        self.target = ""
        self.contact = f"<sip:{socket.address}:{socket.port}>"
        """Contact of our answers; by default where we are."""
        self.routes: list[str] = []
        self.local_cseq = secrets.randbelow(10_000) + 1
        self._remote_cseq = -1
        self._invited: set[int] = set()
        self.requests: list[Received] = []
        self.remote_video: sdp.Media | None = None
        self.hung_up = False
        self.video_port: int | None = None
        self.video_type = sdp.H264
        self.payload_types: tuple[int, ...] = (sdp.PCMU, sdp.PCMA, sdp.TELEPHONE_EVENT)
        self.watch = Watch()

    @property
    def ended(self) -> bool:
        """The other side has hung up."""
        return any(got.message.method == "BYE" for got in self.requests)

    @property
    def is_established(self) -> bool:
        """Answered and acknowledged, and nobody has hung up."""
        raise NotImplementedError

    def request(self, method: str, body: bytes = b"", content_type: str = "") -> SipMessage:
        """An in-dialog request with the next sequence number."""
        self.local_cseq += 1
        built = message.request(method, self.target)
        built.add("Max-Forwards", "70")
        for route in self.routes:
            built.add("Route", route)
        built.add("From", self.local)
        built.add("To", self.remote)
        built.add("Call-ID", self.call_id)
        built.add("CSeq", f"{self.local_cseq} {method}")
        built.add("Contact", f"<sip:{self.socket.address}:{self.socket.port}>")
        if body:
            built.add("Content-Type", content_type)
            built.body = body
        return built

    async def bye(self, timeout_s: float = 5.0) -> int:
        """Hang up; returns the status of the answer."""
        self.hung_up = True
        return (await self.socket.send_request(self.request("BYE")).wait_final(timeout_s)).status

    async def info(self, key: str, duration_ms: int = 160, timeout_s: float = 5.0) -> int:
        """Press a key by SIP INFO, `application/dtmf-relay`; returns the status of the answer."""
        body = f"Signal={key}\r\nDuration={duration_ms}\r\n".encode()
        built = self.request("INFO", body, "application/dtmf-relay")
        return (await self.socket.send_request(built).wait_final(timeout_s)).status

    async def reinvite(self, description: bytes, timeout_s: float = 5.0) -> SipMessage:
        """Change the session; the answer is acknowledged and returned."""
        transaction = self.socket.send_request(self.request("INVITE", description, "application/sdp"))
        final = await transaction.wait_final(timeout_s)
        if final.status < _MULTIPLE_CHOICES:
            self.acknowledge(transaction, final)
        return final

    def acknowledge(self, transaction: ClientTransaction, final: SipMessage) -> None:
        """ACK of a 2xx: a transaction of its own (RFC 3261 section 13.2.2.4)."""
        ack = self.request("ACK")
        self.local_cseq -= 1
        ack.replace("CSeq", f"{final.cseq} ACK")
        transaction.acknowledgement = self.socket.send_request(ack).request

    async def wait_request(self, method: str, timeout_s: float) -> Received:
        """The first in-dialog request of a method, past ones included."""

        def found() -> Received | None:
            return next((got for got in self.requests if got.message.method == method), None)

        await self.watch.until(lambda: found() is not None, timeout_s, lambda: f"call {self.call_id}: no {method} came")
        got = found()
        if got is None:
            raise AssertionError("a request that was there is gone")
        return got

    def take(self, got: Received) -> None:
        """A request of this dialog arrived: keep it and answer it as a phone would.

        An ACK is that of an INVITE by its number (RFC 3261, 17.1.1.3); another request's number grows (12.2.2).
        """
        if got.message.method == "ACK":
            if got.message.cseq not in self._invited:
                return
        elif got.message.cseq <= self._remote_cseq:
            self.respond(got, 500)
            return
        self.note_number(got.message)
        self.requests.append(got)
        if got.message.method == "INVITE":
            self.aim(got.message.body)
            self.respond(got, _OK, self.describe())
        elif got.message.method != "ACK":
            self.respond(got, _OK)
        self.watch.notify()

    def note_number(self, asked: SipMessage) -> None:
        """Remember the number of a request of the other side."""
        self._remote_cseq = max(self._remote_cseq, asked.cseq)
        if asked.method == "INVITE":
            self._invited.add(asked.cseq)

    def aim(self, body: bytes) -> None:
        """Send media to where a description says."""
        media = sdp.audio(body)
        if media is not None:
            self.rtp.aim(media)
        self.remote_video = sdp.video(body)

    def describe(self) -> bytes:
        """Our session description."""
        return sdp.write(
            self.socket.address,
            self.rtp.port,
            payload_types=self.payload_types,
            video_port=self.video_port,
            video_type=self.video_type,
        )

    def respond(
        self, got: Received, status: int, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
    ) -> bytes:
        """Answer a request of the other side; returns what was sent."""
        return self.socket.send_response(got, self.response(got, status, body, headers))

    def response(
        self, got: Received, status: int, body: bytes = b"", headers: tuple[tuple[str, str], ...] = ()
    ) -> SipMessage:
        """An answer to a request of the other side, ready to send or to be spoilt."""
        built = message.response(status, _REASONS.get(status, "Because"))
        for name in ("Via", "Record-Route", "From", "Call-ID", "CSeq"):
            for value in got.message.get_all(name):
                built.add(name, value)
        to = got.message.get("To")
        tagged = to if message.parameter(to, "tag") or not self.local else self.local
        built.add("To", tagged)
        built.add("Contact", self.contact)
        built.headers.extend(headers)
        if body:
            built.add("Content-Type", "application/sdp")
            built.body = body
        return built


class OutgoingCall(Dialog):
    """A call this peer places. `ScriptedPeer.call` makes it and answers the digest challenge."""

    def __init__(self, socket: SipSocket, rtp: RtpStream, call_id: str) -> None:
        super().__init__(socket, rtp, call_id)
        self.started_s = time.monotonic()
        self.transaction: ClientTransaction | None = None

    @property
    def is_established(self) -> bool:
        """Answered and acknowledged, and nobody has hung up."""
        return bool(self.target) and not self.hung_up and not self.ended

    @property
    def is_pending(self) -> bool:
        """No final answer yet, but a provisional one: it can be cancelled (RFC 3261 section 9.1)."""
        return self.transaction is not None and self.transaction.final is None and bool(self.transaction.responses)

    @property
    def statuses(self) -> list[int]:
        """Status codes of the INVITE so far (of the one with credentials, once it is sent)."""
        return self._transaction().statuses

    async def wait_status(self, status: int, timeout_s: float) -> SipMessage:
        """The first response of this status; a media description in it is followed."""
        response = await self._transaction().wait_status(lambda found: found == status, timeout_s, f"{status}")
        if response.body:
            self.aim(response.body)
        return response

    async def ringing(self, timeout_s: float = 5.0) -> SipMessage:
        """Until the first 180 or 183."""
        return await self._transaction().wait_status(lambda status: status in (180, 183), timeout_s, "180 or 183")

    async def final(self, timeout_s: float = 5.0) -> SipMessage:
        """The final response; a 2xx is acknowledged and makes the dialog."""
        final = await self._transaction().wait_final(timeout_s)
        if _OK <= final.status < _MULTIPLE_CHOICES and not self.target:
            self.remote = final.get("To")
            self.target = message.uri_of(final.get("Contact"))
            record = [entry for value in final.get_all("Record-Route") for entry in message.split_list(value)]
            self.routes = record[::-1]
            self.local_cseq = final.cseq
            self.aim(final.body)
            self.acknowledge(self._transaction(), final)
        return final

    async def answered(self, timeout_s: float = 5.0) -> None:
        """Until somebody answers; starts to talk.

        Raises:
            AssertionError: the call was refused.
        """
        final = await self.final(timeout_s)
        if final.status >= _MULTIPLE_CHOICES:
            raise AssertionError(f"the call was not answered but refused: {final.start_line}")
        self.rtp.talk()

    async def cancel(self, timeout_s: float = 5.0) -> SipMessage:
        """Give up before the answer; returns the final response of the INVITE (487)."""
        invite = self._transaction().request
        built = message.request("CANCEL", invite.uri)
        built.add("Via", invite.get("Via"))
        for name in ("Max-Forwards", "From", "To", "Call-ID"):
            built.add(name, invite.get(name))
        built.add("CSeq", f"{invite.cseq} CANCEL")
        self.socket.send_request(built)
        return await self._transaction().wait_final(timeout_s)

    def _transaction(self) -> ClientTransaction:
        if self.transaction is None:
            raise RuntimeError("the call has not been sent yet")
        return self.transaction


class IncomingCall(Dialog):
    """A call that rings this peer. It answers CANCEL and retransmissions by itself; the rest is the script's."""

    def __init__(self, socket: SipSocket, rtp: RtpStream, got: Received) -> None:
        super().__init__(socket, rtp, got.message.get("Call-ID"))
        self.received = got
        self.invite = got.message
        self.cancelled: Received | None = None
        self._final = False
        self._answered = False
        self.local = f"{self.invite.get('To')};tag={secrets.token_hex(4)}"
        self.remote = self.invite.get("From")
        self.target = message.uri_of(self.invite.get("Contact"))
        self.routes = [entry for value in self.invite.get_all("Record-Route") for entry in message.split_list(value)]
        self.aim(self.invite.body)
        self.note_number(self.invite)

    @property
    def is_established(self) -> bool:
        """Answered and acknowledged, and nobody has hung up."""
        return self._answered and self._is_acknowledged and not self.hung_up and not self.ended

    @property
    def _is_acknowledged(self) -> bool:
        return any(got.message.method == "ACK" for got in self.requests)

    @property
    def reason(self) -> str:
        """Reason headers of the CANCEL, joined; empty when there was none."""
        return ", ".join(self.cancelled.message.get_all("Reason")) if self.cancelled else ""

    @property
    def answered_elsewhere(self) -> bool:
        """The phone was told that somebody else took the call."""
        return message.told_elsewhere(self.reason)

    def ring(self) -> None:
        """180 Ringing."""
        self.respond(self.received, 180)

    def show_early_media(self) -> None:
        """183 with our description, and talk: the visitor hears us before the answer."""
        self.respond(self.received, 183, self.describe())
        self.rtp.talk()

    def answer(self, description: bytes = b"", headers: tuple[tuple[str, str], ...] = ()) -> None:
        """200, repeated until it is acknowledged (RFC 3261 section 13.3.1.4), and talk.

        Args:
            description: instead of our own.
            headers: more headers, appended as given.
        """
        data = self.respond(self.received, _OK, description or self.describe(), headers)
        if not self._answered:
            self.socket.repeat(data, self.received.source, lambda: self._is_acknowledged or self.hung_up)
        self._final = self._answered = True
        self.rtp.talk()

    def reject(self, status: int = 486) -> None:
        """A final refusal."""
        self._final = True
        self.respond(self.received, status)

    def take_cancel(self, got: Received) -> None:
        """CANCEL of the INVITE: 200 for itself, 487 for the INVITE when it has no final answer yet."""
        self.cancelled = got
        self.respond(got, _OK)
        if not self._final:
            self.reject(487)
        self.watch.notify()

    async def wait_cancelled(self, timeout_s: float = 5.0) -> None:
        """Until the ringing is called off."""
        await self.watch.until(
            lambda: self.cancelled is not None, timeout_s, lambda: f"call {self.call_id}: no CANCEL came"
        )

    async def established(self, timeout_s: float = 5.0) -> None:
        """Until our 200 is acknowledged."""
        await self.wait_request("ACK", timeout_s)
