"""What a SIP URI says of where it leads (RFC 3261, 19.1.1)."""

from __future__ import annotations

_DEFAULT_PORT = ":5060"


def host_and_port(uri: str) -> str:
    """Return `host:port`, with the port that holds where none is written."""
    host = uri.partition(":")[2].rpartition("@")[2].partition(";")[0].partition("?")[0]
    return host if ":" in host else host + _DEFAULT_PORT
