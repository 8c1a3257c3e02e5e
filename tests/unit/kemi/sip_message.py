"""What the fake of KSR handles: a SIP message, a registered contact, what a REGISTER saved."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Contact:
    """A registered contact."""

    uri: str
    ruid: str
    modified: int = 0
    expires: int = 0
    instance: str | None = None
    received: str | None = None
    user_agent: str | bytes | None = None


@dataclass
class Saved:
    """What save() tells of one contact, in `$xavp(saved)`."""

    contact: str
    ruid: str
    expires: int


@dataclass
class Message:
    """The SIP message being handled. A byte that is not UTF-8 is a surrogate (`surrogateescape`)."""

    method: str = "INVITE"
    ruri: str = "sip:12@entryphone.test"
    call_id: str = "call-1"
    source_ip: str = "127.0.1.1"
    source_port: int = 5060
    headers: list[tuple[str, str]] = field(default_factory=list)
    to_tag: bool = False
    from_user: str = ""
    to_user: str = ""
    status: int = 0
    length: int = 500
    auth_user: str | None = None
    auth_uri: str = ""
    auth_realm: str = "entryphone.test"
    cseq: str = "1"
    max_forwards: int = 70
    natted: bool = False
    malformed: int = 0  # checks of the sanity module that fail
    body: str = ""

    @property
    def digest_uri(self) -> str:
        """The `uri` of the credentials: the request URI, unless the test says another."""
        return self.auth_uri or self.ruri

    @property
    def sender(self) -> str:
        """User of From: who authenticates, unless the test says another."""
        return self.from_user or self.auth_user or ""

    @property
    def called(self) -> str:
        """User of To; who registers names himself there, unless the test says another."""
        return self.to_user or (self.auth_user or "" if self.method == "REGISTER" else "")
