"""Creations that are safe to repeat: the same `Idempotency-Key` with the same request gets the same answer.

Key, creation and answer are written in one transaction. Of two that come at once the second waits for the first one's
commit (SQLite: for the writer's lock, PostgreSQL: at the unique index) and then finds its answer. What was refused is
not remembered: nothing was made, and the same key may try again.

An answer may hold a password that is shown once, so it is encrypted with a key that is made from ours and from the
client's `Idempotency-Key`, of which only a hash is kept.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from crm_api.domain.problems import ProblemError

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.services.context import Context, Tenant

KEPT_MS: Final = 24 * 3600 * 1000

_CLEAN = "DELETE FROM idempotency_keys WHERE created_at_ms < ?"
_TAKE = """
INSERT INTO idempotency_keys (principal_id, key_hash, request_hash, created_at_ms) VALUES (?, ?, ?, ?)
ON CONFLICT (principal_id, key_hash) DO NOTHING RETURNING id
"""
_FOUND = "SELECT request_hash, answer FROM idempotency_keys WHERE principal_id = ? AND key_hash = ?"
_ANSWER = "UPDATE idempotency_keys SET answer = ? WHERE id = ?"


class KeyReusedError(ProblemError):
    """The key was used for something else."""

    kind = "idempotency-key-reused"

    def __init__(self) -> None:
        super().__init__(
            "This Idempotency-Key was used for another request within 24 hours: choose a new key for a new request"
        )


@dataclass(frozen=True)
class Repeatable:
    """The request at hand: its key, and what was asked for.

    Args:
        key: as the client sent it.
        request: address and checked body, in one form for all equal requests.
    """

    key: str
    request: bytes


class Idempotency:
    """Does a creation once."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def once(self, tenant: Tenant, wish: Repeatable | None, make: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """Return what `make` returns, or what it returned when this was asked for before.

        `make` runs inside this transaction. Without a wish, or for a task of the platform itself, it simply runs.

        Raises:
            KeyReusedError: the key belongs to another request.
        """
        database = self._context.database
        with database.transaction():
            if wish is None or tenant.principal_id is None:
                return make()
            now_ms = self._context.now_ms()
            database.rows(_CLEAN, (now_ms - KEPT_MS,))
            key_hash = hashlib.sha256(wish.key.encode()).hexdigest()
            # Keyed with what only the client knows: a request may hold a password that could be guessed from a hash.
            request_hash = hmac.new(wish.key.encode(), wish.request, hashlib.sha256).hexdigest()
            taken = database.row(_TAKE, (tenant.principal_id, key_hash, request_hash, now_ms))
            if taken is None:
                return self._answer_before(tenant.principal_id, key_hash, request_hash, wish.key)
            document = make()
            answer = self._context.encryption.bound_to(wish.key).encrypted(msgspec.json.encode(document).decode())
            database.rows(_ANSWER, (answer, taken[0]))
            return document

    def _answer_before(self, principal_id: int, key_hash: str, request_hash: str, key: str) -> dict[str, Any]:
        found = self._context.database.row(_FOUND, (principal_id, key_hash))
        if found is None or found[0] != request_hash:
            raise KeyReusedError
        document: dict[str, Any] = msgspec.json.decode(self._context.encryption.bound_to(key).decrypted(found[1]))
        return document
