"""A dispatch centre of the bench: answers every call at once, and remembers when it came, from where and as whom."""

from __future__ import annotations

import re
import socket
import threading
import time
from dataclasses import dataclass
from typing import Final, Self

LINE, SECOND_LINE = "127.0.3.11", "127.0.3.12"
"""Addresses of the centre's lines in the demo town."""
_PANEL: Final = re.compile(r"<dm:deviceID>sip:([^@<]+)@")
_CALLER: Final = re.compile(r"^From:[^\r]*sip:([^@;>]+)@", re.MULTILINE)
_COPIED: Final = ("via", "record-route", "from", "call-id", "cseq")


@dataclass(frozen=True)
class CentreCall:
    """One call: when its INVITE came (monotonic seconds), the panel in its location, the number in From."""

    at_s: float
    panel: str
    number: str


class Centre:
    """One thread at one address; `calls` grows. A context manager: it ends with the block."""

    def __init__(self, address: str) -> None:
        self.calls: list[CentreCall] = []
        self._seen: set[str] = set()
        self._address = address
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4 * 1024 * 1024)
        self._socket.bind((address, 5060))
        self._socket.settimeout(0.2)
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Self:
        """Begin a block."""
        return self

    def __exit__(self, *_error: object) -> None:
        """End with it."""
        self.stop()

    def stop(self) -> None:
        """End it."""
        self._stopped.set()
        self._thread.join(2.0)
        self._socket.close()

    def _serve(self) -> None:
        while not self._stopped.is_set():
            try:
                data, sender = self._socket.recvfrom(65_535)
            except TimeoutError:
                continue
            now_s = time.monotonic()
            text = data.decode("utf-8", "replace")
            method = text.partition(" ")[0]
            if method == "INVITE":
                self._take(text, now_s)
            if method not in {"ACK", "SIP/2.0"}:
                self._socket.sendto(self._answer(text, method).encode(), sender)

    def _take(self, text: str, now_s: float) -> None:
        call_id = text.partition("\r\nCall-ID: ")[2].partition("\r\n")[0]
        if call_id in self._seen:  # sent again
            return
        self._seen.add(call_id)
        panel, number = _PANEL.search(text), _CALLER.search(text)
        self.calls.append(CentreCall(now_s, panel[1] if panel else "", number[1] if number else ""))

    def _answer(self, text: str, method: str) -> str:
        head = text.partition("\r\n\r\n")[0].split("\r\n")[1:]
        lines = [line for line in head if line.partition(":")[0].strip().lower() in _COPIED]
        to = next(line for line in head if line.lower().startswith("to:"))
        lines.append(to if ";tag=" in to else f"{to};tag=centre")
        body = ""
        if method == "INVITE":
            lines += [f"Contact: <sip:centre@{self._address}:5060>", "Content-Type: application/sdp"]
            body = (
                f"v=0\r\no=- 1 1 IN IP4 {self._address}\r\ns=-\r\nc=IN IP4 {self._address}\r\nt=0 0\r\n"
                "m=audio 4000 RTP/AVP 8\r\na=rtpmap:8 PCMA/8000\r\n"
            )
        return "\r\n".join(["SIP/2.0 200 OK", *lines, f"Content-Length: {len(body)}", "", body])
