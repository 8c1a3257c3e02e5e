"""SIP passwords: made here, shown once, kept only as HA1."""

from __future__ import annotations

import hashlib
import secrets
from typing import Final

ALPHABET: Final = "abcdefghijkmnpqrstuvwxyz23456789"
"""32 characters that cannot be mistaken for one another when read aloud to an installer."""
LENGTH: Final = 24
"""24 of 32 characters: 120 bits."""


def new_password() -> str:
    """Return a new strong password."""
    return "".join(secrets.choice(ALPHABET) for _ in range(LENGTH))


def ha1(account: str, realm: str, password: str) -> str:
    """Return the digest's HA1 (RFC 2617 §3.2.2.2): MD5, because that is what the devices speak."""
    return hashlib.md5(f"{account}:{realm}:{password}".encode()).hexdigest()  # noqa: S324 - the protocol's choice
