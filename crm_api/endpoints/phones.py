"""Trunks: how phones are dialled."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import trunks
from crm_api.domain.outputs.trunks import TrunkDocument
from crm_api.resources.kept import kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.resources.declaration import Endpoint


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return kept(
        "/v1/trunks",
        tag="Phones",
        plural="trunks",
        service=services.trunks,
        query=trunks.TrunkQuery,
        document=TrunkDocument,
        new=trunks.NewTrunk,
        change=trunks.TrunkChange,
        readers=reads("trunks"),
        writers=changes("trunks"),
    )
