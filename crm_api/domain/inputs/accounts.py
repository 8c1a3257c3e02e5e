"""SIP accounts as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import AfterValidator, StringConstraints, model_validator

from crm_api.domain.inputs.base import AccountName, FilterId, FilterText, Flag, Id, Input, PageQuery, unchanged
from crm_api.domain.kinds import AccountKind  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.phones import e164

Phone = Annotated[str, StringConstraints(max_length=40), AfterValidator(e164)]


Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$")]


def _check_quiet_hours(sent: set[str], begin: str | None, end: str | None) -> None:
    if ("quiet_from" in sent) != ("quiet_until" in sent) or (begin is None) != (end is None):
        raise ValueError("quiet_from and quiet_until: give both, or neither")
    if begin is not None and begin == end:
        raise ValueError("quiet_until: must differ from quiet_from; to silence an account for good, switch it off")


class NewAccount(Input):
    """A SIP account. Without `account` a name is made; its password is made here, a strong one, and shown once."""

    account: AccountName | None = None
    kind: AccountKind
    apartment_id: Id | None = None
    company_id: Id | None = None
    resident_id: Id | None = None
    phone: Phone | None = None
    enabled: Flag = True
    quiet_from: Clock | None = None
    quiet_until: Clock | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"kind": "app", "apartment_id": 7}

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        _check_quiet_hours(self.model_fields_set, self.quiet_from, self.quiet_until)
        return self


class AccountChange(Input):
    """Fields of an account that may change."""

    enabled: Flag = unchanged()
    resident_id: Id | None = unchanged()
    phone: Phone = unchanged()
    quiet_from: Clock | None = unchanged()
    quiet_until: Clock | None = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"quiet_from": "22:30", "quiet_until": "07:00"}

    @model_validator(mode="after")
    def _both_or_none(self) -> Self:
        _check_quiet_hours(self.model_fields_set, self.quiet_from, self.quiet_until)
        return self


class AccountQuery(PageQuery):
    """Accounts of a company, an apartment, or a kind."""

    company_id: FilterId = None
    apartment_id: FilterId = None
    resident_id: FilterId = None
    kind: AccountKind | None = None
    account: FilterText = None
    enabled: bool | None = None
    sort: Literal["id", "-id", "account", "-account"] = "id"
