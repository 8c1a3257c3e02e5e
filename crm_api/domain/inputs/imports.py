"""Imports and jobs as they are asked for."""

from __future__ import annotations

from typing import Literal

from crm_api.domain.inputs.base import FilterId, FilterText, Input, PageQuery
from crm_api.domain.key_numbers import ByteOrder, Notation  # noqa: TC001 - pydantic reads the annotations


class ImportQuery(Input):
    """How a file is imported."""

    company_id: FilterId = None
    """Whose rows they will be; may be left out by a company's own operator."""
    dry_run: bool = False
    """Look at every row, write nothing."""
    on_existing: Literal["refuse", "skip"] = "refuse"
    """What a row means that is there already: an error, or nothing."""
    background: bool = False
    """Do not wait for a small file either."""


class ApartmentImportQuery(ImportQuery):
    """How apartments are imported."""

    make_entrances: bool = False
    """Make entrances that are missing; without it, they are errors."""


class KeyImportQuery(ImportQuery):
    """How keys are imported."""

    notation: Notation = "auto"
    byte_order: ByteOrder = "high_first"


class JobQuery(PageQuery):
    """Jobs of a company, newest first unless asked otherwise."""

    company_id: FilterId = None
    kind: FilterText = None
    state: Literal["waiting", "running", "done", "failed"] | None = None
    sort: Literal["id", "-id"] = "-id"
