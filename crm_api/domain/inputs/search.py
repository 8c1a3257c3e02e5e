"""A search as it is asked for."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, StringConstraints

from crm_api.domain.inputs.base import PRINTABLE, FilterId, Input


class SearchQuery(Input):
    """What an operator knows: an address, a phone or its end, an account or its begin, a key's number, a panel.

    `limit` rows of each kind; a search that finds too much is made narrower instead of read page by page.
    """

    q: Annotated[str, StringConstraints(min_length=2, max_length=220, pattern=PRINTABLE)]
    company_id: FilterId = None
    limit: Annotated[int, Field(ge=1, le=50)] = 10
