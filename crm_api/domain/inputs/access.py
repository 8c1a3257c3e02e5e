"""Staff, service accounts, tokens, logins and the audit log as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, StringConstraints

from crm_api.domain.access import Role, StaffRole  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.inputs.base import (
    NO_NUL,
    FilterId,
    FilterMs,
    FilterText,
    Flag,
    Id,
    Input,
    Ms,
    Name,
    NameQuery,
    PageQuery,
    unchanged,
)

Login = Annotated[
    str, StringConstraints(strip_whitespace=True, to_lower=True, pattern=r"^[A-Za-z0-9][A-Za-z0-9._@+-]{2,127}$")
]
NewPassword = Annotated[str, StringConstraints(min_length=12, max_length=128, pattern=NO_NUL)]
GivenPassword = Annotated[str, StringConstraints(min_length=1, max_length=128)]
Companies = Annotated[list[Id], Field(min_length=1, max_length=1000)]


class NewStaff(Input):
    """A member of staff. Without `password` one is made and shown once.

    `companies` says whose rows he sees; left out, those of whoever makes him. `all_companies` is for those who have
    that themselves.
    """

    login: Login
    name: Name
    role: StaffRole
    companies: Companies | None = None
    all_companies: Flag = False
    password: NewPassword | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "login": "anna@riverside.example",
        "name": "Anna Petrova",
        "role": "operator",
        "companies": [1],
    }


class StaffChange(Input):
    """Fields of a member of staff that may change; nobody changes his own role, reach or `enabled`."""

    name: Name = unchanged()
    role: StaffRole = unchanged()
    companies: Companies | None = unchanged()
    all_companies: Flag = unchanged()
    enabled: Flag = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"role": "engineer", "companies": [1, 2]}


class PrincipalQuery(NameQuery):
    """Staff or service accounts with this role or name."""

    role: Role | None = None
    enabled: bool | None = None


class StaffQuery(PrincipalQuery):
    """Staff with this role, name or login."""

    login: FilterText = None


class NewServiceAccount(Input):
    """A program that uses the API; its tokens are made apart. Role `calls` (the AGI server) sees all companies."""

    name: Name
    role: Role
    companies: Companies | None = None
    all_companies: Flag = False

    EXAMPLE: ClassVar[dict[str, Any]] = {"name": "Billing of Riverside Homes", "role": "operator", "companies": [1]}


class ServiceAccountChange(Input):
    """Fields of a service account that may change; its tokens follow at once."""

    name: Name = unchanged()
    role: Role = unchanged()
    companies: Companies | None = unchanged()
    all_companies: Flag = unchanged()
    enabled: Flag = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"enabled": False}


class NewApiToken(Input):
    """A token of a service account, for good or until `expires_at_ms`; the answer shows it, and nothing else ever."""

    service_account_id: Id
    name: Name
    expires_at_ms: Ms | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"service_account_id": 4, "name": "server in Riverside"}


class TokenQuery(PageQuery):
    """Tokens or sessions of one who uses the API."""

    principal_id: FilterId = None


class NewSession(Input):
    """A login."""

    login: Annotated[str, StringConstraints(strip_whitespace=True, to_lower=True, min_length=1, max_length=128)]
    password: GivenPassword

    EXAMPLE: ClassVar[dict[str, Any]] = {"login": "anna@riverside.example", "password": "a long pass phrase"}


class PasswordChange(Input):
    """One's own new password, with the current one."""

    current: GivenPassword
    password: NewPassword

    EXAMPLE: ClassVar[dict[str, Any]] = {"current": "a long pass phrase", "password": "another long pass phrase"}


class AuditQuery(PageQuery):
    """Entries of the audit log, the newest first: of a company, of one who changed, of a thing, of a time."""

    company_id: FilterId = None
    principal_id: FilterId = None
    noun: FilterText = None
    key: FilterText = None
    action: FilterText = None
    from_ms: FilterMs = None
    until_ms: FilterMs = None
    sort: Literal["-id", "id"] = "-id"
