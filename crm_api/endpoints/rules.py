"""Kinds of blocks, blocks, kept ring plans, concierge desks."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import blocks, concierge_desks, ring_plans
from crm_api.domain.inputs.base import OfCompanyQuery
from crm_api.domain.outputs import rules as shown
from crm_api.domain.outputs.fund import ConciergeDeskDocument
from crm_api.resources.acts import Act
from crm_api.resources.declaration import ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *kept(
            "/v1/block-kinds",
            tag="Rules",
            plural="kinds of blocks",
            service=services.block_kinds,
            query=OfCompanyQuery,
            document=shown.BlockKindDocument,
            new=blocks.NewBlockKind,
            change=blocks.BlockKindChange,
            removal="409 while there are blocks of this kind, also when they are over.",
            readers=reads("rules"),
            writers=changes("rules"),
        ),
        *kept(
            "/v1/blocks",
            tag="Rules",
            plural="blocks",
            service=services.blocks,
            query=blocks.BlockQuery,
            document=shown.BlockDocument,
            new=blocks.NewBlock,
            change=blocks.BlockChange,
            removal=(
                "Off the apartment, and off the record: for a block that was a mistake or has not begun. One "
                "that is no longer due is taken off instead (`.../lift`)."
            ),
            readers=reads("rules"),
            writers=changes("rules"),
        ),
        Endpoint(
            f"/v1/blocks/{ID}/lift",
            "Rules",
            Act(services.blocks.lift, blocks.BlockLift),
            (
                Operation(
                    "POST",
                    "Take a block off",
                    changes("rules"),
                    (Answer(200, "The block, ended now", shown.BlockDocument, headers=("ETag",)),),
                    "It stays on record, with date and reason; a block that was a mistake is removed instead.",
                    body=blocks.BlockLift,
                    problems=frozenset({"conflict"}),
                ),
            ),
            id_key("block"),
        ),
        *kept(
            "/v1/ring-plans",
            tag="Rules",
            plural="kept ring plans",
            service=services.ring_plans,
            query=ring_plans.RingPlanQuery,
            document=shown.RingPlanDocument,
            new=ring_plans.NewRingPlan,
            change=ring_plans.RingPlanChange,
            key_is_text=True,
            removal=(
                "From the next call on the next wider plan holds: the house's, the company's, or that everybody "
                "rings at once."
            ),
            readers=reads("rules"),
            writers=changes("rules"),
        ),
        *kept(
            "/v1/concierge-desks",
            tag="Rules",
            plural="concierge desks",
            service=services.concierge_desks,
            query=concierge_desks.ConciergeDeskQuery,
            document=ConciergeDeskDocument,
            new=concierge_desks.NewConciergeDesk,
            change=concierge_desks.ConciergeDeskChange,
            removal="It is rung no more. Its account stays, and from then on reaches the other desks alone.",
            readers=reads("rules"),
            writers=changes("rules"),
        ),
    )
