"""Kept ring plans as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from crm_api.domain.inputs.base import (
    AccountName,
    FilterId,
    Flag,
    Id,
    Input,
    Name,
    OfCompanyQuery,
    OwnCompany,
    unchanged,
)
from crm_api.domain.kinds import HouseholdKind  # noqa: TC001 - pydantic reads the annotations


class NewTarget(Input):
    """A line of a stage: a kind of the household's accounts (or `all`), or one account by name."""

    kind: Literal["all", "concierge"] | HouseholdKind | None = None
    account: AccountName | None = None

    @model_validator(mode="after")
    def _one_of_two(self) -> NewTarget:
        if (self.kind is None) == (self.account is None):
            raise ValueError("give either kind or account")
        return self


class NewStage(Input):
    """A stage of a ring plan.

    `confirm`: who answers a phone has to press a key before the visitor is connected, which no answering machine does.
    `one_by_one`: the residents' own accounts ring one resident after another (`ring_order` of the residency), each for
    `ring_timeout_s`; accounts of the whole household ring with the first.
    """

    ring_timeout_s: Annotated[int, Field(ge=1, le=120, strict=True)]
    targets: Annotated[list[NewTarget], Field(min_length=1, max_length=30)]
    on_refusal: Literal["next", "stop"] = "next"
    confirm: Flag = False
    one_by_one: Flag = False


class NewRingPlan(Input):
    """A kept ring plan: of an apartment, of a house, or (neither given) a company's default."""

    company_id: OwnCompany = None
    house_id: Id | None = None
    apartment_id: Id | None = None
    name: Name = "Ring plan"
    stages: Annotated[list[NewStage], Field(min_length=1, max_length=8)]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "apartment_id": 7,
        "name": "Handset first",
        "stages": [
            {"ring_timeout_s": 15, "targets": [{"kind": "handset"}]},
            {"ring_timeout_s": 30, "targets": [{"kind": "all"}]},
        ],
    }


class RingPlanChange(Input):
    """Fields of a ring plan that may change; `stages` replaces what there was."""

    name: Name = unchanged()
    stages: Annotated[list[NewStage], Field(min_length=1, max_length=8)] = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"stages": [{"ring_timeout_s": 30, "targets": [{"kind": "all"}]}]}


class RingPlanQuery(OfCompanyQuery):
    """Kept plans of a company, a house or an apartment."""

    house_id: FilterId = None
    apartment_id: FilterId = None
