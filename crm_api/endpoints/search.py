"""The one field in which an operator looks for anything."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import reads
from crm_api.domain.inputs.search import SearchQuery
from crm_api.domain.outputs.search import SearchDocument
from crm_api.resources.acts import Asked
from crm_api.resources.declaration import Answer, Endpoint, Operation

if TYPE_CHECKING:
    from crm_api.bootstrap import Services


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare it."""
    return (
        Endpoint(
            "/v1/search",
            "Search",
            Asked(services.search.found, SearchQuery),
            (
                Operation(
                    "GET",
                    "Search",
                    reads("search"),
                    (Answer(200, "What was found, kind by kind", SearchDocument),),
                    "By address (any of its words or their beginnings, with an apartment's number or label after "
                    "them), by phone or at least its last four digits, by account or at least its first three "
                    "characters, by a key's number in any notation, by a panel's name.",
                    query=SearchQuery,
                    problems=frozenset({"not-found"}),
                ),
            ),
        ),
    )
