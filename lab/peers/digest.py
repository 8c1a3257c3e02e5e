"""HTTP digest authentication as SIP uses it (RFC 2617, RFC 7616, RFC 8760), client side."""

from __future__ import annotations

import hashlib
import re
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

# MD5 is what door panels speak; RFC 8760 adds the others.
_HASHES: dict[str, Callable[[bytes], str]] = {
    "md5": lambda data: hashlib.md5(data, usedforsecurity=False).hexdigest(),
    "sha-256": lambda data: hashlib.sha256(data).hexdigest(),
}
_PAIR = re.compile(r'([A-Za-z0-9_-]+)\s*=\s*(?:"((?:[^"\\]|\\.)*)"|([^\s,"]+))')


class NotDigestError(ValueError):
    """The challenge is not one this client can answer; the text says why."""


@dataclass(frozen=True)
class Challenge:
    """What a server asks for in WWW-Authenticate or Proxy-Authenticate."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: tuple[str, ...] = ()
    opaque: str = ""
    stale: bool = False


@dataclass(frozen=True)
class Credentials:
    """User name and password of a SIP account."""

    username: str
    password: str


def parse_pairs(value: str) -> dict[str, str]:
    """`name=value` pairs of a digest header; names in lower case, quotes and escapes taken off."""
    _, _, pairs = value.strip().partition(" ")
    return {
        match[1].lower(): re.sub(r"\\(.)", r"\1", match[2]) if match[2] is not None else match[3]
        for match in _PAIR.finditer(pairs)
    }


def parse_challenge(value: str) -> Challenge:
    """Read the value of WWW-Authenticate or Proxy-Authenticate.

    Raises:
        NotDigestError: another scheme, or no realm or nonce, or an algorithm we do not know.
    """
    if not value.strip().lower().startswith("digest "):
        raise NotDigestError(f"challenge {value!r} is not of scheme Digest")
    pairs = parse_pairs(value)
    if "realm" not in pairs or "nonce" not in pairs:
        raise NotDigestError(f"challenge {value!r} lacks realm or nonce")
    algorithm = pairs.get("algorithm", "MD5")
    if algorithm.lower() not in _HASHES:
        raise NotDigestError(f"algorithm {algorithm!r} is unknown; known: {', '.join(_HASHES)}")
    qop = tuple(part.strip() for part in pairs.get("qop", "").split(",") if part.strip())
    return Challenge(
        pairs["realm"],
        pairs["nonce"],
        algorithm,
        qop,
        pairs.get("opaque", ""),
        pairs.get("stale", "").lower() == "true",
    )


def response_hash(
    challenge: Challenge, credentials: Credentials, method: str, uri: str, *, cnonce: str, nonce_count: int = 1
) -> str:
    """The `response` value for one request; without qop as RFC 2069 had it."""
    digest = _HASHES[challenge.algorithm.lower()]
    ha1 = digest(f"{credentials.username}:{challenge.realm}:{credentials.password}".encode())
    ha2 = digest(f"{method}:{uri}".encode())
    if "auth" not in challenge.qop:
        return digest(f"{ha1}:{challenge.nonce}:{ha2}".encode())
    return digest(f"{ha1}:{challenge.nonce}:{nonce_count:08x}:{cnonce}:auth:{ha2}".encode())


def authorization(
    challenge: Challenge, credentials: Credentials, method: str, uri: str, cnonce: str | None = None
) -> str:
    """Value of the Authorization (or Proxy-Authorization) header that answers a challenge."""
    chosen = cnonce if cnonce is not None else secrets.token_hex(8)
    answer = response_hash(challenge, credentials, method, uri, cnonce=chosen)
    parts = [
        f'username="{_quote(credentials.username)}"',
        f'realm="{_quote(challenge.realm)}"',
        f'nonce="{challenge.nonce}"',
        f'uri="{uri}"',
        f'response="{answer}"',
        f"algorithm={challenge.algorithm}",
    ]
    if challenge.opaque:
        parts.append(f'opaque="{challenge.opaque}"')
    if "auth" in challenge.qop:
        parts += ["qop=auth", "nc=00000001", f'cnonce="{chosen}"']
    return "Digest " + ", ".join(parts)


def _quote(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"')
