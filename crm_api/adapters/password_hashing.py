"""Passwords of people, kept as argon2id (RFC 9106); at most two are hashed at once, as each takes 64 MiB."""

from __future__ import annotations

import threading
from functools import cached_property
from typing import Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

AT_ONCE: Final = 2


class PasswordHashing:
    """Makes and checks hashes, with the second recommended choice of RFC 9106, section 4, by default."""

    def __init__(self, hasher: PasswordHasher | None = None) -> None:
        self._hasher = hasher or PasswordHasher()
        self._turn = threading.BoundedSemaphore(AT_ONCE)

    def hashed(self, password: str) -> str:
        """Return what is kept of a password."""
        with self._turn:
            return self._hasher.hash(_bytes(password))

    def matches(self, kept: str | None, password: str) -> bool:
        """Say whether this is the password. Without a hash (no such login) it takes as long, and the answer is no."""
        compared = kept or self._nobodys
        with self._turn:
            try:
                return self._hasher.verify(compared, _bytes(password)) and kept is not None
            except (VerificationError, InvalidHashError):
                return False

    def is_outdated(self, kept: str) -> bool:
        """Say whether the hash was made with other costs than today's."""
        return self._hasher.check_needs_rehash(kept)

    @cached_property
    def _nobodys(self) -> str:
        return self.hashed("nobody has this password")


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
