"""One call as a panel, over SIP and RTP, to see how far an emergency call gets (RFC 3261; digest RFC 7616 with MD5)."""

from __future__ import annotations

import hashlib
import re
import secrets
import select
import socket
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

RINGS_S: Final = 20.0
LISTENS_S: Final = 1.5
CANCELS_S: Final = 2.0
"""So long the end of a call that was taken back is waited for."""
_RESEND_S: Final = 0.5
_SILENCE: Final = b"\xff" * 160
_CHALLENGE: Final = 407
_OK, _FINAL, _NEGATIVE = 200, 200, 300
_WORD: Final = re.compile(r'(\w+)="?([^",]*)"?')


@dataclass(frozen=True)
class ProbeCall:
    """Who calls whom through which proxy."""

    proxy: tuple[str, int]
    domain: str
    account: str
    ha1: str
    number: str
    call_id: str
    listens_s: float = LISTENS_S


class SipProbe:
    """One call; `tell(step, detail)` is told what happens, as it happens."""

    def __init__(self, call: ProbeCall, tell: Callable[[str, str], None]) -> None:
        self._call = call
        self._tell = tell
        self._sip = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._sip.connect(call.proxy)
        self._own, self._port = self._sip.getsockname()
        self._rtp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._rtp.bind((self._own, 0))
        self._tag = secrets.token_hex(4)
        self._uri = f"sip:{call.number}@{call.domain}"

    def run(self) -> str:
        """Call, listen, hang up; return `answered`, `silent` (answered, no sound) or `failed`."""
        try:
            return self._run()
        except OSError as error:
            self._tell("network", str(error))
            return "failed"
        finally:
            self._sip.close()
            self._rtp.close()

    def _run(self) -> str:
        began, cseq = time.monotonic(), 1
        answer = self._ask("INVITE", cseq, "")
        if answer is not None and _status(answer) == _CHALLENGE:
            self._acknowledge(answer, cseq)
            self._tell("challenged", f"{_ms(began)} ms")
            cseq = 2
            answer = self._ask("INVITE", cseq, self._authorization(answer))
        if answer is None:
            self._tell("no_answer", f"nothing final within {RINGS_S:.0f} s")
            return "failed"
        if _status(answer) >= _NEGATIVE:
            self._acknowledge(answer, cseq)
            self._tell("refused", answer.partition("\r\n")[0])
            return "failed"
        self._tell("connected", f"{_ms(began)} ms")
        self._in_dialog("ACK", cseq, answer)
        heard = self._listen(answer)
        self._tell("heard", f"{heard} packets of sound")
        self._in_dialog("BYE", 3, answer)
        return "answered" if heard else "silent"

    def _ask(self, method: str, cseq: int, authorization: str) -> str | None:
        """Send the INVITE until something comes; return the final answer, None without one: then it is taken back."""
        description = (
            f"v=0\r\no=- 1 1 IN IP4 {self._own}\r\ns=-\r\nc=IN IP4 {self._own}\r\nt=0 0\r\n"
            f"m=audio {self._rtp.getsockname()[1]} RTP/AVP 0\r\na=rtpmap:0 PCMU/8000\r\n"
        )
        request = self._request(method, cseq, self._uri, f"<{self._uri}>", authorization, description)
        deadline, provisional = time.monotonic() + RINGS_S, False
        while time.monotonic() < deadline:
            if not provisional:
                self._send(request)
            got = self._receive(_RESEND_S)
            if got is None or not got.startswith("SIP/2.0 ") or f"CSeq: {cseq} {method}" not in got:
                continue
            if _status(got) >= _FINAL:
                return got
            if not provisional or _status(got) > 100:  # noqa: PLR2004 - 100 Trying says only that it arrived
                self._tell("progress", got.partition("\r\n")[0].removeprefix("SIP/2.0 "))
            provisional = True
        if provisional:  # not before (RFC 3261, 9.1): nobody has the call that it would end
            self._cancel(cseq)
        return None

    def _cancel(self, cseq: int) -> None:
        """Take an INVITE back: whom it rings would be rung on. An answer that crossed is hung up."""
        request = self._request("CANCEL", cseq, self._uri, f"<{self._uri}>")
        deadline, taken = time.monotonic() + CANCELS_S, False
        self._send(request)
        while time.monotonic() < deadline:
            got = self._receive(_RESEND_S)
            if got is None:
                if not taken:
                    self._send(request)
            elif got.startswith("SIP/2.0 ") and _status(got) >= _FINAL:
                taken = taken or f"CSeq: {cseq} CANCEL" in got
                if f"CSeq: {cseq} INVITE" not in got:
                    continue
                if _status(got) >= _NEGATIVE:
                    self._acknowledge(got, cseq)
                else:
                    self._in_dialog("ACK", cseq, got)
                    self._in_dialog("BYE", 3, got)
                return

    def _in_dialog(self, method: str, cseq: int, answer: str) -> None:
        """Send a request of the call that was answered: to whom, and by which proxies, the answer says."""
        target = _first(answer, "Contact").partition("<")[2].partition(">")[0] or self._uri
        routes = _values(answer, "Record-Route")[::-1]
        self._send(self._request(method, cseq, target, _first(answer, "To"), routes=routes))

    def _listen(self, answer: str) -> int:
        """Send silence for a while; return how many packets came back."""
        body = answer.partition("\r\n\r\n")[2]
        address = re.search(r"c=IN IP4 (\S+)", body)
        port = re.search(r"m=audio (\d+)", body)
        if address is None or port is None:
            return 0
        heard, sequence, end = 0, secrets.randbelow(30_000), time.monotonic() + self._call.listens_s
        while time.monotonic() < end:
            sequence += 1
            head = bytes((0x80, 0)) + sequence.to_bytes(2, "big") + (sequence * 160).to_bytes(4, "big") + b"test"
            self._rtp.sendto(head + _SILENCE, (address[1], int(port[1])))
            ready, _, _ = select.select([self._rtp], [], [], 0.02)
            if ready:
                self._rtp.recv(2048)
                heard += 1
        return heard

    def _authorization(self, challenge: str) -> str:
        words = dict(_WORD.findall(_first(challenge, "Proxy-Authenticate")))
        cnonce = secrets.token_hex(8)
        second = _md5(f"INVITE:{self._uri}")
        response = _md5(f"{self._call.ha1}:{words.get('nonce', '')}:00000001:{cnonce}:auth:{second}")
        return (
            f'Proxy-Authorization: Digest username="{self._call.account}", realm="{words.get("realm", "")}", '
            f'nonce="{words.get("nonce", "")}", uri="{self._uri}", response="{response}", algorithm=MD5, '
            f'qop=auth, nc=00000001, cnonce="{cnonce}"\r\n'
        )

    def _acknowledge(self, refusal: str, cseq: int) -> None:
        self._send(self._request("ACK", cseq, self._uri, _first(refusal, "To")))

    def _request(  # noqa: PLR0917 - the parts of a request
        self, method: str, cseq: int, target: str, to: str, authorization: str = "", body: str = "",
        routes: list[str] | None = None,
    ) -> str:  # fmt: skip
        call = self._call
        # An ACK of a refusal and a CANCEL belong to the transaction of their INVITE (RFC 3261, 17.1.1.3 and 9.1): one
        # branch a number.
        branch = f"z9hG4bK{self._tag}{cseq}" if method != "BYE" else f"z9hG4bK{self._tag}b"
        route = "".join(f"Route: {line}\r\n" for line in routes or [])
        return (
            f"{method} {target} SIP/2.0\r\nVia: SIP/2.0/UDP {self._own}:{self._port};branch={branch};rport\r\n"
            f"Max-Forwards: 70\r\n{route}From: <sip:{call.account}@{call.domain}>;tag={self._tag}\r\nTo: {to}\r\n"
            f"Call-ID: {call.call_id}\r\nCSeq: {cseq} {method}\r\n"
            f"Contact: <sip:{call.account}@{self._own}:{self._port}>\r\n"
            f"{authorization}{'Content-Type: application/sdp' + chr(13) + chr(10) if body else ''}"
            f"Content-Length: {len(body)}\r\n\r\n{body}"
        )

    def _send(self, text: str) -> None:
        self._sip.send(text.encode())

    def _receive(self, timeout_s: float) -> str | None:
        ready, _, _ = select.select([self._sip], [], [], timeout_s)
        return self._sip.recv(65_535).decode("utf-8", "replace") if ready else None


def _md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def _ms(began: float) -> int:
    return round((time.monotonic() - began) * 1000)


def _status(answer: str) -> int:
    return int(answer.split(" ", 2)[1])


def _values(message: str, name: str) -> list[str]:
    head = message.partition("\r\n\r\n")[0]
    prefix = f"{name.lower()}:"
    return [line.partition(":")[2].strip() for line in head.split("\r\n") if line.lower().startswith(prefix)]


def _first(message: str, name: str) -> str:
    return next(iter(_values(message, name)), "")
