"""Kinds of blocks, blocks, kept ring plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.inputs import blocks, ring_plans
from crm_api.domain.inputs.base import OfCompanyQuery
from crm_api.domain.outputs import rules as shown
from crm_api.resources.kept import kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.resources.declaration import Endpoint


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
        ),
        *kept(
            "/v1/blocks",
            tag="Rules",
            plural="blocks",
            service=services.blocks,
            query=blocks.OfApartmentQuery,
            document=shown.BlockDocument,
            new=blocks.NewBlock,
            change=blocks.BlockChange,
        ),
        *kept(
            "/v1/ring-plans",
            tag="Rules",
            plural="kept ring plans",
            service=services.ring_plans,
            query=blocks.OfApartmentQuery,
            document=shown.RingPlanDocument,
            new=ring_plans.NewRingPlan,
            change=ring_plans.RingPlanChange,
            key_is_text=True,
        ),
    )
