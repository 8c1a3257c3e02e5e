"""What a SIP URI says of where it leads (RFC 3261, 19.1.1)."""

from __future__ import annotations

from urllib.parse import unquote

_DEFAULT_PORT = ":5060"


def host_and_port(uri: str) -> str:
    """Return `host:port`, with the port that holds where none is written."""
    host = uri.partition(":")[2].rpartition("@")[2].partition(";")[0].partition("?")[0]
    return host if ":" in host else host + _DEFAULT_PORT


def user(uri: str) -> str:
    """Return the user, without a password, as `plain` has it; empty without one."""
    return plain(uri.partition(":")[2].rpartition("@")[0].partition(":")[0])


def plain(name: str) -> str:
    """Return a user without `%` escapes: `%23` and `#` are one (19.1.4)."""
    return unquote(name) if "%" in name else name
