"""API tokens and sessions: shown once when made, kept as SHA-256 (the token itself has 256 random bits)."""

from __future__ import annotations

import hashlib
import secrets
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

import structlog

from crm_api.domain.problems import ConflictError, ForbiddenError, InvalidFieldsError, UnauthorisedError
from crm_api.services.audit import AuditTrail, Entry
from crm_api.services.context import Tenant
from crm_api.services.principals import ServiceAccounts
from crm_api.tables.database import DatabaseErrors, reason_of

if TYPE_CHECKING:
    from crm_api.services.context import Context

KINDS: Final = ("platform", "operator", "service")
ROLE_OF_KIND: Final = {"platform": "admin", "operator": "operator", "service": "calls"}
LAST_USED_EVERY_MS: Final = 60_000
"""`last_used_at_ms` is at most this old: a write for each request would cost more than the request."""

CALLS_KNOWN_MS: Final = 1000
"""The call path asks 161 times a second with one token: so long it is believed without looking again."""

_KNOWN = """
SELECT t.id, t.expires_at_ms, t.last_used_at_ms, p.id, p.kind, p.name, p.role, p.all_companies, c.company_id,
    o.active
FROM tokens t JOIN principals p ON p.id = t.principal_id
LEFT JOIN principal_companies c ON c.principal_id = p.id LEFT JOIN companies o ON o.id = c.company_id
WHERE t.token_hash = ? AND t.revoked_at_ms IS NULL AND p.enabled = ?
"""

_NAMED = "SELECT id FROM principals WHERE kind = 'service_account' AND name = ?"
HERE: Final = Tenant(None, "command line")
"""Who makes tokens outside the API, as the audit log names it."""

_log = structlog.get_logger("crm_api.tokens")


@dataclass(frozen=True)
class Principal:
    """Who asks: staff or a service account, with a role, limited to a tenant."""

    kind: str
    role: str
    tenant: Tenant
    token_id: int
    not_active: frozenset[int] = frozenset()
    """Those of the tenant's companies that are not active: their own people look, and change nothing."""

    def changing(self) -> Tenant:
        """Return whose rows this one may change.

        Raises:
            ForbiddenError: of companies that are not active alone.
        """
        if not self.not_active or self.tenant.companies is None:
            return self.tenant
        active = self.tenant.companies - self.not_active
        if not active:
            raise ForbiddenError(
                "The company is not active: who acts for every company may change this, or activate it"
            )
        return replace(self.tenant, companies=active)

    @property
    def reach(self) -> str:
        """Return the kind of token of the first release: `service`, `platform` or `operator`."""
        if self.role == "calls":
            return "service"
        return "platform" if self.tenant.is_platform else "operator"


class Tokens:
    """Makes and checks tokens."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._calls: dict[str, tuple[int, Principal]] = {}
        """The call path's own service account: when its token was looked up, and who it is."""

    def create(
        self, name: str, kind: str, company: str | None = None, *, replace: bool = False, token: str = ""
    ) -> str:
        """Make a service account with a token and return the token.

        `kind` says role and reach: `platform` is an admin of all companies, `operator` an operator of one company,
        `service` the AGI server. `replace` takes the place of the service account with the same name; `token` is a
        given one (a service account that has just this token stays as it is). The audit log tells all that is made and
        removed.

        Raises:
            InvalidFieldsError: unknown kind or company, or an operator without company.
            ConflictError: the name is taken.
        """
        if kind not in KINDS:
            raise InvalidFieldsError.one("kind", kind, f"one of {', '.join(KINDS)}")
        if (kind == "operator") != (company is not None):
            raise InvalidFieldsError.one("company", company, "an operator token, and only that, needs its company")
        database = self._context.database
        with database.transaction():
            company_id = None
            if company is not None:
                row = database.row("SELECT id FROM companies WHERE name = ?", (company,))
                if row is None:
                    raise InvalidFieldsError.one("company", company, "name an existing company")
                company_id = row[0]
            if replace and token and self._is_kept(name, ROLE_OF_KIND[kind], token):
                return token
            token = token or new_token()
            gone = database.rows(_NAMED, (name,))
            if gone and not replace:
                raise ConflictError(f"name: there is a token {name!r} already; give --replace or another name")
            removed = [self._entry(row[0], "remove") for row in gone]
            database.rows("DELETE FROM principals WHERE kind = 'service_account' AND name = ?", (name,))
            now_ms = self._context.now_ms()
            made = database.row(
                "INSERT INTO principals (kind, name, role, all_companies, enabled, created_at_ms) "
                "VALUES ('service_account', ?, ?, ?, ?, ?) RETURNING id",
                (name, ROLE_OF_KIND[kind], company_id is None, True, now_ms),
            )
            principal_id = 0 if made is None else made[0]
            if company_id is not None:
                database.rows(
                    "INSERT INTO principal_companies (principal_id, company_id) VALUES (?, ?)",
                    (principal_id, company_id),
                )
            kept = database.row(
                "INSERT INTO tokens (principal_id, kind, name, token_hash, created_at_ms) "
                "VALUES (?, 'token', ?, ?, ?) RETURNING id",
                (principal_id, name, hash_of(token), now_ms),
            )
            token_id = 0 if kept is None else kept[0]
            state = {"id": token_id, "principal_id": principal_id, "name": name, "created_at_ms": now_ms}
            with_token = Entry("token", str(token_id), "create", None, state, company_id)
            AuditTrail(self._context).write(HERE, [*removed, self._entry(principal_id, "create"), with_token])
        return token

    def principal(self, authorization: str | None) -> Principal:
        """Return who a header `Authorization: Bearer <token>` speaks for.

        A token of the role `calls` is looked up once a second: revoked, it may be used for so long.

        Raises:
            UnauthorisedError: no header, another scheme, an unknown, expired or revoked token, a disabled owner.
        """
        scheme, _, token = (authorization or "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise UnauthorisedError("Send the header Authorization: Bearer <token>")
        token_hash, now_ms = hash_of(token.strip()), self._context.now_ms()
        known = self._calls.get(token_hash)
        if known is not None and 0 <= now_ms - known[0] < CALLS_KNOWN_MS:
            return known[1]
        rows = self._context.database.rows(_KNOWN, (token_hash, True))
        if not rows or (rows[0][1] is not None and rows[0][1] <= now_ms):
            raise UnauthorisedError(
                "This token is unknown, has expired or was revoked; log in again or ask for a new one"
            )
        token_id, _, last_used_at_ms, principal_id, kind, name, role, all_companies = rows[0][:8]
        if last_used_at_ms is None or now_ms - last_used_at_ms >= LAST_USED_EVERY_MS:
            self._remember_use(token_id, now_ms)
        of = {row[8]: bool(row[9]) for row in rows if row[8] is not None}
        tenant = Tenant(None if all_companies else frozenset(of), name, principal_id)
        not_active = frozenset(company for company, active in of.items() if not active)
        principal = Principal(kind, role, tenant, token_id, not_active)
        if role == "calls":
            self._calls[token_hash] = now_ms, principal
        return principal

    def _entry(self, principal_id: int, action: str) -> Entry:
        """Return what the audit log is told of a service account that is there."""
        accounts = ServiceAccounts(self._context)
        state = accounts.got(HERE, principal_id)
        before, after = (state, None) if action == "remove" else (None, state)
        return Entry(accounts.noun, str(principal_id), action, before, after, accounts.company_of(state))

    def _is_kept(self, name: str, role: str, token: str) -> bool:
        row = self._context.database.row(
            "SELECT p.id FROM principals p JOIN tokens t ON t.principal_id = p.id "
            "WHERE p.kind = 'service_account' AND p.name = ? AND p.role = ? AND p.all_companies = ? AND p.enabled = ? "
            "AND t.token_hash = ? AND t.revoked_at_ms IS NULL",
            (name, role, True, True, hash_of(token)),
        )
        return row is not None

    def _remember_use(self, token_id: int, now_ms: int) -> None:
        """Write the time of use, unless somebody else is writing: a call must never wait for this."""
        database = self._context.database
        try:
            with database.transaction_at_once():
                database.rows("UPDATE tokens SET last_used_at_ms = ? WHERE id = ?", (now_ms, token_id))
        except DatabaseErrors as error:
            _log.debug("use of a token not noted", token_id=token_id, reason=reason_of(error))


def new_token() -> str:
    """Return a token that nobody can guess."""
    return f"ep_{secrets.token_urlsafe(32)}"


def hash_of(token: str) -> str:
    """Return what is kept of a token."""
    return hashlib.sha256(token.encode("utf-8", "replace")).hexdigest()
