"""Concierge desks as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar

from pydantic import AfterValidator, Field, StringConstraints

from crm_api.domain.inputs.base import AccountName, FilterId, Flag, Id, Input, Name, OfCompanyQuery, unchanged
from crm_api.domain.phones import e164

Phone = Annotated[str, StringConstraints(max_length=40), AfterValidator(e164)]
Priority = Annotated[int, Field(ge=1, le=9, strict=True)]


class NewConciergeDesk(Input):
    """A desk with an account of kind concierge, for one house or (without it) for all of the company.

    Priority 1 rings first; desks of one priority ring together. A desk with a `phone` (E.164) is rung there, through a
    trunk, and not over SIP: the last resort of most companies.
    """

    account: AccountName
    name: Name
    house_id: Id | None = None
    priority: Priority = 1
    on_duty: Flag = True
    phone: Phone | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"account": "c10001", "name": "Lobby", "house_id": 1, "priority": 1}


class ConciergeDeskChange(Input):
    """Fields of a desk that may change."""

    name: Name = unchanged()
    house_id: Id | None = unchanged()
    priority: Priority = unchanged()
    on_duty: Flag = unchanged()
    phone: Phone | None = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"on_duty": False}


class ConciergeDeskQuery(OfCompanyQuery):
    """Desks of a company or a house."""

    house_id: FilterId = None
