"""SIP accounts as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, StringConstraints

from crm_api.domain.inputs.base import AccountName, FilterId, FilterText, Flag, Id, Input, PageQuery, unchanged
from crm_api.domain.kinds import AccountKind  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.phones import e164

Phone = Annotated[str, StringConstraints(max_length=40), AfterValidator(e164)]


class NewAccount(Input):
    """A SIP account. Without `account` a name is made; without `password` a strong one is made and shown once."""

    account: AccountName | None = None
    kind: AccountKind
    apartment_id: Id | None = None
    company_id: Id | None = None
    resident_id: Id | None = None
    """Whose own it is: it rings and opens while he lives in the apartment. None: the whole household's."""
    phone: Phone | None = None
    """Of a phone: the number that a trunk dials, E.164."""
    enabled: Flag = True

    EXAMPLE: ClassVar[dict[str, Any]] = {"kind": "app", "apartment_id": 7}


class AccountChange(Input):
    """Fields of an account that may change."""

    enabled: Flag = unchanged()
    resident_id: Id | None = unchanged()
    phone: Phone = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"enabled": False}


class AccountQuery(PageQuery):
    """Accounts of a company, an apartment, or a kind."""

    company_id: FilterId = None
    apartment_id: FilterId = None
    resident_id: FilterId = None
    kind: AccountKind | None = None
    account: FilterText = None
    enabled: bool | None = None
    sort: Literal["id", "-id", "account", "-account"] = "id"
