"""SIP messages as a scripted peer sees them: lenient to read, exact to write (RFC 3261 section 7).

The parser keeps what it is given, in order, so that a test can assert on the wire. It accepts what a phone would
accept; deliberately broken messages are sent as bytes and never pass through here.
"""

from __future__ import annotations

from dataclasses import dataclass, field

# RFC 3261 section 7.3.3 and the registrations of RFC 3515, 4028 and 6665: one-letter names devices still send.
_COMPACT_NAMES = {
    "c": "content-type",
    "e": "content-encoding",
    "f": "from",
    "i": "call-id",
    "k": "supported",
    "l": "content-length",
    "m": "contact",
    "o": "event",
    "r": "refer-to",
    "s": "subject",
    "t": "to",
    "u": "allow-events",
    "v": "via",
    "x": "session-expires",
}
_VERSION = "SIP/2.0"


class NotSipError(ValueError):
    """The bytes are no SIP message; the text says which part is missing."""


def canonical_name(name: str) -> str:
    """Lower-case full name of a header, from any spelling including the compact one."""
    lowered = name.strip().lower()
    return _COMPACT_NAMES.get(lowered, lowered)


@dataclass
class SipMessage:
    """A request or a response.

    Attributes:
        start_line: request line or status line, without line end.
        headers: names as spelled and values without surrounding blanks, in wire order.
        body: bytes after the empty line.
    """

    start_line: str
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    @property
    def is_response(self) -> bool:
        """True for a response."""
        return self.start_line.startswith(_VERSION + " ")

    @property
    def status(self) -> int:
        """Status code; 0 for a request."""
        return int(self.start_line.split(" ", 2)[1]) if self.is_response else 0

    @property
    def method(self) -> str:
        """Method of the request, or of the request this response answers (from CSeq)."""
        if self.is_response:
            return self.get("CSeq").partition(" ")[2].strip()
        return self.start_line.split(" ", 1)[0]

    @property
    def uri(self) -> str:
        """Request URI; empty for a response."""
        return "" if self.is_response else self.start_line.split(" ")[1]

    @property
    def cseq(self) -> int:
        """Sequence number of CSeq."""
        return int(self.get("CSeq").split()[0])

    @property
    def branch(self) -> str:
        """Branch of the topmost Via: the name of the transaction."""
        return parameter(self.get("Via"), "branch")

    def get(self, name: str) -> str:
        """First value of a header, or the empty string."""
        wanted = canonical_name(name)
        return next((value for key, value in self.headers if canonical_name(key) == wanted), "")

    def get_all(self, name: str) -> list[str]:
        """Every value of a header, one list entry per header line."""
        wanted = canonical_name(name)
        return [value for key, value in self.headers if canonical_name(key) == wanted]

    def add(self, name: str, value: str) -> None:
        """Append a header line."""
        self.headers.append((name, value))

    def replace(self, name: str, value: str) -> None:
        """Drop all lines of a header and append one."""
        wanted = canonical_name(name)
        self.headers = [pair for pair in self.headers if canonical_name(pair[0]) != wanted]
        self.add(name, value)

    def encode(self) -> bytes:
        """Wire form. Content-Length is written by this method and cannot disagree with the body."""
        self.replace("Content-Length", str(len(self.body)))
        lines = [self.start_line, *(f"{name}: {value}" for name, value in self.headers)]
        return "\r\n".join([*lines, "", ""]).encode("utf-8", "surrogateescape") + self.body


def request(method: str, uri: str) -> SipMessage:
    """An empty request."""
    return SipMessage(f"{method} {uri} {_VERSION}")


def response(status: int, reason: str) -> SipMessage:
    """An empty response."""
    return SipMessage(f"{_VERSION} {status} {reason}")


def parse(data: bytes) -> SipMessage:
    """Read one datagram.

    Raises:
        NotSipError: no empty line, no start line, or a header line without a colon.
    """
    head, separator, body = data.partition(b"\r\n\r\n")
    if not separator:
        raise NotSipError(f"no empty line after the headers in {len(data)} bytes: not a SIP message")
    lines = head.decode("utf-8", "surrogateescape").split("\r\n")
    start_line = lines[0]
    if _VERSION not in start_line:
        raise NotSipError(f"start line {start_line!r} does not name {_VERSION}")
    headers: list[tuple[str, str]] = []
    for line in lines[1:]:
        if line[:1] in " \t" and headers:  # folded line, RFC 3261 section 7.3.1
            name, value = headers[-1]
            headers[-1] = (name, f"{value} {line.strip()}")
            continue
        name, colon, value = line.partition(":")
        if not colon:
            raise NotSipError(f"header line {line!r} has no colon")
        headers.append((name.strip(), value.strip()))
    return SipMessage(start_line, headers, body)


def parameter(value: str, name: str) -> str:
    """A `;name=value` parameter of a header value, outside of quotes and angle brackets; empty when absent."""
    outside = _outside_of_uri(value)
    for part in outside.split(";")[1:]:
        key, _, found = part.partition("=")
        if key.strip().lower() == name.lower():
            return found.strip().strip('"')
    return ""


def uri_of(value: str) -> str:
    """The URI of a name-addr or addr-spec value (From, To, Contact, Record-Route)."""
    unquoted = _without_quoted(value)
    if "<" in unquoted:
        return unquoted.split("<", 1)[1].split(">", 1)[0]
    return unquoted.split(";", 1)[0].strip()


def split_list(value: str) -> list[str]:
    """Entries of a comma-separated header value; commas inside quotes and angle brackets do not separate."""
    entries, current, quoted, depth = [], "", False, 0
    for character in value:
        if character == '"':
            quoted = not quoted
        elif not quoted:
            depth += (character == "<") - (character == ">")
        if character == "," and not quoted and depth == 0:
            entries.append(current.strip())
            current = ""
        else:
            current += character
    return [*entries, current.strip()] if current.strip() else entries


def _without_quoted(value: str) -> str:
    """The value without quoted strings (display names may hold anything, `<` and `;` included)."""
    result, quoted, escaped = "", False, False
    for character in value:
        if escaped:
            escaped = False
        elif quoted and character == "\\":
            escaped = True
        elif character == '"':
            quoted = not quoted
        elif not quoted:
            result += character
    return result


def _outside_of_uri(value: str) -> str:
    unquoted = value if "<" not in value else _without_quoted(value)
    return unquoted.rpartition(">")[2] if ">" in unquoted else unquoted


def told_elsewhere(reason: str) -> bool:
    """The Reason of a CANCEL says that somebody else answered (RFC 3326: SIP cause 200 or Q.850 cause 26)."""
    compact = reason.replace(" ", "").lower()
    return "sip;cause=200" in compact or "q.850;cause=26" in compact
