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
            removal=(
                "Calls on it go on; the next are not sent over it. Statements keep its name. 409 while a "
                "dispatch centre or a number of a city is reached over it."
            ),
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
                    "Of a calendar month by UTC: what was paid on each trunk, and the same money by apartment that "
                    "was called. Each talk counts with the price that its trunk had when it was recorded. Calls "
                    "that were removed by then (`calls_kept_days`) are not in it; those of this month and the last "
                    "are kept in any case.",
                    query=trunks.StatementQuery,
                    problems=frozenset({"not-found"}),
                ),
            ),
            id_key("company"),
        ),
    )
