"""Passwords of people, kept as argon2id (RFC 9106); at most two are hashed at once, as each takes 64 MiB.

A thread that waits for its turn serves nobody else, and anybody may try to log in: so one waits, and not for long.
"""

from __future__ import annotations

import threading
from contextlib import contextmanager
from functools import cached_property
from typing import TYPE_CHECKING, Final

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from crm_api.domain.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Iterator

AT_ONCE: Final = 2
WAIT_S: Final = 0.5
"""A hash takes a tenth of it."""


class HashingBusyError(ProblemError):
    """Too many passwords at once; nothing was looked at."""

    kind = "unavailable"
    wait_s = 1

    def __init__(self) -> None:
        super().__init__("Many passwords are being checked: try again shortly")


class PasswordHashing:
    """Makes and checks hashes, with the second recommended choice of RFC 9106, section 4, by default."""

    def __init__(self, hasher: PasswordHasher | None = None, at_once: int = AT_ONCE) -> None:
        """Choose the costs, and how many threads hash at once."""
        self._hasher = hasher or PasswordHasher()
        self._turns = threading.BoundedSemaphore(at_once)
        self._next = threading.Lock()
        self._mine = _Mine()

    @contextmanager
    def turn(self) -> Iterator[None]:
        """Hash within this: it is this thread's turn.

        Raises:
            HashingBusyError: others hash, and another waits already, or it took too long.
        """
        if self._mine.has_turn:
            yield
            return
        self._take()
        self._mine.has_turn = True
        try:
            yield
        finally:
            self._mine.has_turn = False
            self._turns.release()

    def hashed(self, password: str) -> str:
        """Return what is kept of a password; raise `HashingBusyError` as `turn` does."""
        with self.turn():
            return self._hasher.hash(_bytes(password))

    def matches(self, kept: str | None, password: str) -> bool:
        """Say whether this is the password. Without a hash (no such login) it takes as long, and the answer is no.

        Raises:
            HashingBusyError: as `turn` does.
        """
        with self.turn():
            compared = kept or self._nobodys
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

    def _take(self) -> None:
        if self._turns.acquire(blocking=False):
            return
        if not self._next.acquire(blocking=False):
            raise HashingBusyError
        try:
            if not self._turns.acquire(timeout=WAIT_S):
                raise HashingBusyError
        finally:
            self._next.release()


class _Mine(threading.local):
    """What a thread has."""

    has_turn = False


def _bytes(password: str) -> bytes:
    return password.encode("utf-8", "surrogatepass")
