"""Trunks: how phones are dialled, and what they cost."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import trunks
from crm_api.domain.outputs.trunks import PhoneStatement, TrunkDocument
from crm_api.resources.declaration import ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import kept
from crm_api.resources.phones import StatementOfCompany

if TYPE_CHECKING:
    from crm_api.bootstrap import Services


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *kept(
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
        ),
        Endpoint(
            f"/v1/companies/{ID}/phone-statement",
            "Phones",
            StatementOfCompany(services.phone_statements),
            (
                Operation(
                    "GET",
                    "See what a company's phones cost in a month",
                    reads("records"),
                    (Answer(200, "The statement, shared by calls", PhoneStatement),),
                    query=trunks.StatementQuery,
                    problems=frozenset({"not-found"}),
                ),
            ),
            id_key("company"),
        ),
    )
