"""Sessions and tokens: made, listed, revoked. A login gives a session; an admin gives a service account a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_api.domain.problems import InvalidFieldsError, NotFoundError, UnauthorisedError
from crm_api.services.audit import Entry
from crm_api.services.context import Tenant, visible
from crm_api.services.kept import Document, Kept
from crm_api.services.login_gate import SESSION_NAME, LoginGate
from crm_api.services.principals import check_password, companies_of, end_sessions
from crm_api.services.tokens import hash_of, new_token
from crm_api.tables.people import Principal, Token

if TYPE_CHECKING:
    from crm_api.domain.inputs import access
    from crm_api.services.context import Context
    from crm_api.services.tokens import Principal as Asker

SESSION_MS: Final = 12 * 3_600_000
"""A working day; whoever works longer logs in again."""
SESSIONS_KEPT_MS: Final = 90 * 24 * 3_600_000
"""Ended sessions stay listed for so long."""

_log = structlog.get_logger("crm_api.sessions")


class TokensOfKind(Kept[Token]):
    """What tokens and sessions have in common: they are listed, and revoked instead of removed."""

    model = Token
    kind: str
    hidden = frozenset({"kind", "token_hash"})

    def seen(self, tenant: Tenant) -> Any:
        """Return the query of those of this kind that the tenant may see."""
        return super().seen(tenant).where(Token.kind == self.kind)

    def row(self, tenant: Tenant, key: Any) -> Token:
        """Return one of this kind."""
        row: Token = super().row(tenant, key)
        if row.kind != self.kind:
            raise NotFoundError.of(self.noun, key)
        return row

    def company_of(self, document: Document) -> int | None:
        """Return the company of the owner, when it is a single one."""
        companies = companies_of([document["principal_id"]]).get(document["principal_id"], [])
        return companies[0] if len(companies) == 1 else None

    def remove(self, tenant: Tenant, key: int) -> None:
        """Revoke; it stays listed."""
        row = self.row(tenant, key)
        if row.revoked_at_ms is None:
            self.update(row, revoked_at_ms=self.context.now_ms())


class ApiTokens(TokensOfKind):
    """Tokens of service accounts."""

    noun = "token"
    kind = "token"

    def create(self, tenant: Tenant, new: access.NewApiToken) -> Document:
        """Make a token; the answer, and nothing after it, holds it."""
        now_ms = self.context.now_ms()
        owners = visible(tenant, Principal).where(
            (Principal.id == new.service_account_id) & (Principal.kind == "service_account")
        )
        if owners.first() is None:
            raise NotFoundError.of("service account", new.service_account_id)
        if new.expires_at_ms is not None and new.expires_at_ms <= now_ms:
            raise InvalidFieldsError.one("expires_at_ms", new.expires_at_ms, f"must be later than now, {now_ms}")
        token = new_token()
        row = Token.create(
            principal_id=new.service_account_id,
            kind=self.kind,
            name=new.name,
            token_hash=hash_of(token),
            created_at_ms=now_ms,
            expires_at_ms=new.expires_at_ms,
        )
        return {**self.got(tenant, row.id), "token": token}


class Sessions(TokensOfKind):
    """Sessions of staff."""

    noun = "session"
    comes_and_goes = True
    kind = "session"

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._gate = LoginGate(context)

    def log_in(self, login: str, password: str, address: str) -> Document:
        """Check the password; return the session with its token, which is never shown again.

        Raises:
            TooManyLoginsError: of this login or from this address; nothing was checked.
            HashingBusyError: too many log in at once; nothing was checked, nor counted.
            UnauthorisedError: no such login, a wrong password, or switched off: nobody learns which.
        """
        attempt = self._gate.enter(login, address)
        with self._gate.turn(attempt):
            row: Principal | None = (
                Principal.select().where((Principal.login == login) & (Principal.kind == "staff")).first()
            )
            kept = row.password_hash if row is not None and row.enabled else None
            if not self.context.passwords.matches(kept, password) or row is None or kept is None:
                _log.warning("login refused", address=address, reason="login or password is wrong")
                raise UnauthorisedError("Login or password is wrong")
            renewed = self.context.passwords.hashed(password) if self.context.passwords.is_outdated(kept) else None
        now_ms = self.context.now_ms()
        token = new_token()
        with self.database.transaction():
            self._gate.succeeded(attempt)
            if renewed is not None:
                Principal.update(password_hash=renewed).where(Principal.id == row.id).execute()
            outlived = (Token.kind == self.kind) & (Token.expires_at_ms < now_ms - SESSIONS_KEPT_MS)
            Token.delete().where((Token.principal_id == row.id) & outlived).execute()
            session = Token.create(
                principal_id=row.id,
                kind=self.kind,
                name=f"{SESSION_NAME}{address}",
                token_hash=hash_of(token),
                created_at_ms=now_ms,
                expires_at_ms=now_ms + SESSION_MS,
            )
            document = self.documents([Token.get_by_id(session.id)])[0]
            self.trail.write(
                Tenant(frozenset(), row.name, row.id),
                [Entry(self.noun, str(session.id), "log in", None, document, self.company_of(document))],
            )
        return {**document, "token": token}

    def log_out(self, asker: Asker) -> None:
        """End the session at hand. A service account's token is none: an admin revokes it."""
        if asker.kind != "staff":
            raise InvalidFieldsError.one("Authorization", "(not shown)", "only a session can be ended so")
        with self.database.transaction():
            row = Token.get_by_id(asker.token_id)
            before = self.documents([row])[0]
            self.update(row, revoked_at_ms=self.context.now_ms())
            after = self.documents([Token.get_by_id(row.id)])[0]
            entry = Entry(self.noun, str(row.id), "log out", before, after, self.company_of(before))
            self.trail.write(asker.tenant, [entry])

    def change_password(self, asker: Asker, change: access.PasswordChange, address: str) -> None:
        """Set one's own new password, and end all other sessions.

        Raises:
            TooManyLoginsError: too many wrong ones.
            HashingBusyError: too many passwords are looked at just now.
            InvalidFieldsError: the current one is wrong, or the new one is too simple.
        """
        row = Principal.get_by_id(asker.tenant.principal_id)
        if row.login is None:
            raise InvalidFieldsError.one("Authorization", "(not shown)", "a service account has no password")
        check_password(change.password, row.login)
        attempt = self._gate.enter(row.login, address)
        with self._gate.turn(attempt):
            if not self.context.passwords.matches(row.password_hash, change.current):
                raise InvalidFieldsError.one("current", "(not shown)", "give the password that holds now")
            hashed = self.context.passwords.hashed(change.password)
        with self.database.transaction():
            self._gate.succeeded(attempt)
            Principal.update(password_hash=hashed, version=Principal.version + 1).where(
                Principal.id == row.id
            ).execute()
            end_sessions(row.id, self.context.now_ms(), but=asker.token_id)
            companies = companies_of([row.id]).get(row.id, [])
            whose = companies[0] if len(companies) == 1 else None
            entry = Entry("member of staff", str(row.id), "change password", {}, {"password": ""}, whose)
            self.trail.write(asker.tenant, [entry])

    def myself(self, asker: Asker) -> Document:
        """Return who asks."""
        row = Principal.get_by_id(asker.tenant.principal_id)
        return {
            **{name: row.__data__[name] for name in ("id", "kind", "name", "login", "role", "all_companies")},
            "companies": companies_of([row.id]).get(row.id, []),
        }
