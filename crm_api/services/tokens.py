"""API tokens: shown once when made, kept as SHA-256 (the token itself has 256 random bits)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crm_api.domain.problems import ConflictError, InvalidFieldsError, UnauthorisedError
from crm_api.services.context import Tenant

if TYPE_CHECKING:
    from crm_api.services.context import Context

KINDS: Final = ("platform", "operator", "service")


@dataclass(frozen=True)
class Principal:
    """Who asks: `platform` (all companies), `operator` (one company), `service` (the AGI server)."""

    kind: str
    tenant: Tenant


class Tokens:
    """Makes and checks tokens."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def create(
        self, name: str, kind: str, company: str | None = None, *, replace: bool = False, token: str = ""
    ) -> str:
        """Make a token and return it. `replace` takes the place of a token with the same name; `token` is a given one.

        Raises:
            InvalidFieldsError: unknown kind or company, or an operator without company.
            ConflictError: the name is taken.
        """
        if kind not in KINDS:
            raise InvalidFieldsError.one("kind", kind, f"one of {', '.join(KINDS)}")
        if (kind == "operator") != (company is not None):
            raise InvalidFieldsError.one("company", company, "an operator token, and only that, needs its company")
        token = token or f"ep_{secrets.token_urlsafe(32)}"
        database = self._context.database
        with database.transaction():
            company_id = None
            if company is not None:
                row = database.row("SELECT id FROM companies WHERE name = ?", (company,))
                if row is None:
                    raise InvalidFieldsError.one("company", company, "name an existing company")
                company_id = row[0]
            if replace:
                database.rows("DELETE FROM api_tokens WHERE name = ?", (name,))
            elif database.row("SELECT id FROM api_tokens WHERE name = ?", (name,)) is not None:
                raise ConflictError(f"name: there is a token {name!r} already; give --replace or another name")
            database.rows(
                "INSERT INTO api_tokens (name, kind, company_id, token_hash, created_at_ms) VALUES (?, ?, ?, ?, ?)",
                (name, kind, company_id, _hash(token), self._context.now_ms()),
            )
        return token

    def principal(self, authorization: str | None) -> Principal:
        """Return who a header `Authorization: Bearer <token>` speaks for.

        Raises:
            UnauthorisedError: no header, another scheme, an unknown or revoked token.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorisedError("Send the header Authorization: Bearer <token>")
        row = self._context.database.row(
            "SELECT kind, company_id, name FROM api_tokens WHERE token_hash = ? AND revoked_at_ms IS NULL",
            (_hash(token.strip()),),
        )
        if row is None:
            raise UnauthorisedError("This token is unknown or was revoked; ask for a new one")
        return Principal(row[0], Tenant(None if row[1] is None else frozenset((row[1],)), row[2]))


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
