"""SIP accounts as they are asked for."""

from __future__ import annotations

from crm_api.domain.inputs.base import AccountName, FilterId, Flag, Id, Input, PageQuery, unchanged
from crm_api.domain.kinds import AccountKind  # noqa: TC001 - pydantic reads the annotations


class NewAccount(Input):
    """A SIP account. Without `account` a name is made; without `password` a strong one is made and shown once."""

    account: AccountName | None = None
    kind: AccountKind
    apartment_id: Id | None = None
    company_id: Id | None = None
    enabled: Flag = True


class AccountChange(Input):
    """Fields of an account that may change."""

    enabled: Flag = unchanged()


class AccountQuery(PageQuery):
    """Accounts of a company, an apartment, or a kind."""

    company_id: FilterId = None
    apartment_id: FilterId = None
    kind: AccountKind | None = None
    account: str | None = None
