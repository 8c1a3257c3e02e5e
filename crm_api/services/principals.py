"""Staff and service accounts: who may use the API, in which role, for which companies."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crm_api.domain.passwords import new_password
from crm_api.domain.problems import ForbiddenError, InvalidFieldsError, NotFoundError
from crm_api.services.audit import audited
from crm_api.services.context import Tenant, visible
from crm_api.services.kept import Document, Kept
from crm_api.tables.models import Company
from crm_api.tables.people import Principal, PrincipalCompany, Token

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs import access
    from crm_api.services.idempotency import Repeatable

OWN: Final = frozenset({"role", "companies", "all_companies", "enabled"})
"""What nobody changes of himself: an admin cannot lock himself out, and nobody rises by himself."""


class Password(NamedTuple):
    """What is shown once of a new password (None: who asks has chosen it), and what is kept."""

    shown: str | None
    hashed: str


class Principals(Kept[Principal]):
    """What staff and service accounts have in common. A tenant sees those whose companies are all among his own."""

    model = Principal
    kind: str
    shown: tuple[str, ...] = ("id", "name", "role", "all_companies", "enabled", "created_at_ms", "version")

    def seen(self, tenant: Tenant) -> Any:
        """Return the query of those of this kind that the tenant may see."""
        return super().seen(tenant).where(Principal.kind == self.kind)

    def row(self, tenant: Tenant, key: Any) -> Principal:
        """Return one of this kind."""
        row: Principal = super().row(tenant, key)
        if row.kind != self.kind:
            raise NotFoundError.of(self.noun, key)
        return row

    def documents(self, rows: Sequence[Principal]) -> list[Document]:
        """Show them with their companies, never with a hash."""
        companies = companies_of([row.id for row in rows])
        return [
            {**{name: row.__data__[name] for name in self.shown}, "companies": companies.get(row.id, [])}
            for row in rows
        ]

    def company_of(self, document: Document) -> int | None:
        """Return the company of one who is limited to a single one: its admins read this in the audit log."""
        return document["companies"][0] if len(document["companies"]) == 1 else None

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change name, role, reach, or switch on and off; it holds from the next request on."""
        row = self.row(tenant, key)
        own = OWN & set(values)
        if own and key == tenant.principal_id:
            raise ForbiddenError(f"Nobody changes his own {' and '.join(sorted(own))}; ask another admin")
        if "companies" in values or "all_companies" in values:
            companies = values.pop("companies", None)
            everywhere = values.pop("all_companies", companies is None and row.all_companies)
            if companies is None and not everywhere:
                companies = companies_of([key]).get(key)
            values["all_companies"] = self._set_reach(tenant, key, companies, everywhere=everywhere)
        self._check_role(values.get("role", row.role), everywhere=values.get("all_companies", row.all_companies))
        self.update(row, **values)
        return self.documents([Principal.get_by_id(key)])[0]

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove, with all tokens and sessions; what he did stays in the audit log."""
        row = self.row(tenant, key)
        if key == tenant.principal_id:
            raise ForbiddenError("Nobody removes himself; ask another admin")
        row.delete_instance()

    def _made(self, tenant: Tenant, new: access.NewStaff | access.NewServiceAccount, **more: Any) -> Principal:
        row = Principal.create(
            kind=self.kind,
            name=new.name,
            role=new.role,
            all_companies=new.all_companies,
            enabled=True,
            created_at_ms=self.context.now_ms(),
            **more,
        )
        companies = new.companies
        if companies is None and not new.all_companies and tenant.companies is not None:
            companies = sorted(tenant.companies)
        everywhere = self._set_reach(tenant, row.id, companies, everywhere=new.all_companies)
        self._check_role(new.role, everywhere=everywhere)
        return row

    @staticmethod
    def _set_reach(tenant: Tenant, key: int, companies: list[int] | None, *, everywhere: bool) -> bool:
        """Limit to these companies, or to none (`everywhere`); nobody gives more than he has."""
        if everywhere and companies:
            raise InvalidFieldsError.one("companies", companies, "leave it out: all_companies is true")
        if everywhere and not tenant.is_platform:
            raise InvalidFieldsError.one("all_companies", True, "name companies of yours; you do not see all yourself")
        if not everywhere and not companies:
            raise InvalidFieldsError.one("companies", companies, "name the companies, or set all_companies to true")
        wanted = sorted(set(companies or ()))
        known = {row.id for row in visible(tenant, Company).where(Company.id.in_(wanted))}
        unknown = [company_id for company_id in wanted if company_id not in known]
        if unknown:
            raise InvalidFieldsError.one("companies", unknown, "name companies that you may see")
        PrincipalCompany.delete().where(PrincipalCompany.principal_id == key).execute()
        for company_id in wanted:
            PrincipalCompany.create(principal_id=key, company_id=company_id)
        return everywhere

    @staticmethod
    def _check_role(role: str, *, everywhere: bool) -> None:
        if role == "calls" and not everywhere:
            raise InvalidFieldsError.one("role", role, "the call path serves all companies: set all_companies to true")


class Staff(Principals):
    """People who log in with a password."""

    noun = "member of staff"
    kind = "staff"
    shown = (*Principals.shown, "login")

    def made(self, tenant: Tenant, new: access.NewStaff, wish: Repeatable | None = None) -> Document:
        """Make one for the API; while a password is hashed nobody waits to write."""
        password = self._password(new)
        return self.idempotency.once(tenant, wish, lambda: self.create(tenant, new, password))

    def create(self, tenant: Tenant, new: access.NewStaff, password: Password | None = None) -> Document:
        """Make one; without a password given, the answer holds the one that was made, once."""
        password = password or self._password(new)
        row = self._made(tenant, new, login=new.login, password_hash=password.hashed)
        return {**self.got(tenant, row.id), "password": password.shown}

    def reset_password(self, tenant: Tenant, key: int) -> Document:
        """Give a new password, shown once, and end all sessions."""
        self.row(tenant, key)  # for nobody none is hashed
        shown = new_password()
        return self._reset_password(tenant, key, Password(shown, self.context.passwords.hashed(shown)))

    @audited("reset password")
    def _reset_password(self, tenant: Tenant, key: int, password: Password) -> Document:
        self.update(self.row(tenant, key), password_hash=password.hashed)
        end_sessions(key, self.context.now_ms())
        return {**self.got(tenant, key), "password": password.shown}

    def _password(self, new: access.NewStaff) -> Password:
        shown = new_password() if new.password is None else None
        check_password(new.password or "", new.login)
        return Password(shown, self.context.passwords.hashed(new.password or shown or ""))


class ServiceAccounts(Principals):
    """Programs, which use tokens."""

    noun = "service account"
    kind = "service_account"

    def create(self, tenant: Tenant, new: access.NewServiceAccount) -> Document:
        """Make one; its tokens are made apart."""
        return self.got(tenant, self._made(tenant, new).id)


def companies_of(ids: Sequence[int]) -> dict[int, list[int]]:
    """Return the companies of each principal that is limited to some."""
    found: dict[int, list[int]] = {}
    rows = PrincipalCompany.select().where(PrincipalCompany.principal_id.in_(ids)).order_by(PrincipalCompany.company_id)
    for row in rows:
        found.setdefault(row.principal_id, []).append(row.company_id)
    return found


def check_password(password: str, login: str) -> None:
    """Refuse a password that everybody would try first.

    Raises:
        InvalidFieldsError: it holds the login's name, or repeats a few characters.
    """
    name = login.partition("@")[0]
    if password and (name in password.lower() or len(set(password)) < 5):  # noqa: PLR2004 - of 12 or more
        raise InvalidFieldsError.one("password", "(not shown)", "choose one without the login's name and less uniform")


def end_sessions(principal_id: int, now_ms: int, but: int | None = None) -> None:
    """End all sessions of one member of staff, but perhaps the one at hand."""
    mine = (Token.principal_id == principal_id) & (Token.kind == "session") & Token.revoked_at_ms.is_null()
    others = mine if but is None else mine & (Token.id != but)
    Token.update(revoked_at_ms=now_ms, version=Token.version + 1).where(others).execute()
