"""Work on everything that a group stands for, as it is asked for: one action, done to each member."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crm_api.domain.inputs.base import Flag, Id, Input, Ms, Name
from crm_api.domain.inputs.ring_plans import NewStage  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.kinds import HouseholdKind  # noqa: TC001


class PutBlock(Input):
    """Put a block on each apartment; one that has a block of this kind already keeps it as it is."""

    do: Literal["put_block"]
    kind_id: Id
    reason: Name
    starts_at_ms: Ms | None = None
    ends_at_ms: Ms | None = None


class LiftBlocks(Input):
    """Take the blocks of a kind off each apartment, from now; those that have not begun are removed."""

    do: Literal["lift_blocks"]
    kind_id: Id
    reason: Name


class SetRingPlan(Input):
    """Give each house (of a group of houses) or each apartment (of any other) this ring plan of its own."""

    do: Literal["set_ring_plan"]
    name: Name = "Ring plan"
    stages: Annotated[list[NewStage], Field(min_length=1, max_length=8)]


class DropRingPlan(Input):
    """Take each house's (of a group of houses) or each apartment's own ring plan away: the next wider one holds."""

    do: Literal["drop_ring_plan"]


class SwitchAccounts(Input):
    """Switch the accounts of each apartment on or off: all, or those of some kinds."""

    do: Literal["switch_accounts"]
    enabled: Flag
    kinds: Annotated[list[HouseholdKind], Field(min_length=1, max_length=5)] | None = None


class SwitchPanels(Input):
    """Switch the accounts of the group's panels, or of the panels that serve its houses, on or off."""

    do: Literal["switch_panels"]
    enabled: Flag


class RenewCodes(Input):
    """Give each entrance of the group's houses, or that its panels or apartments belong to, a new code out of turn."""

    do: Literal["renew_codes"]


GroupAction = Annotated[
    PutBlock | LiftBlocks | SetRingPlan | DropRingPlan | SwitchAccounts | SwitchPanels | RenewCodes,
    Field(discriminator="do"),
]


class NewGroupWork(Input):
    """Work on a group, done in the background. `dry_run`: do it all, tell what came of it, and undo it."""

    action: GroupAction
    dry_run: Flag = False

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "action": {"do": "put_block", "kind_id": 1, "reason": "risers are replaced"},
        "dry_run": True,
    }
