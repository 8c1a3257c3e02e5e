"""Reports of entries, and what panels tell about keys."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.access import changes, reads
from crm_api.domain.csv_table import line
from crm_api.domain.inputs.calls import EntryCsvQuery, EntryQuery, NewKeyUse
from crm_api.domain.outputs.calls import AccessRecordDocument
from crm_api.domain.outputs.reports import EntryReport
from crm_api.resources.acts import CsvFile, JsonFile, Told
from crm_api.resources.declaration import CSV, Answer, Endpoint, Operation
from crm_api.services.entry_reports import SHOWN

if TYPE_CHECKING:
    from crm_api.bootstrap import Services

TAG: Final = "Records"

_ENTRIES: Final = line(SHOWN) + line([EntryReport.EXAMPLE["items"][0][name] for name in SHOWN])


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        Endpoint(
            "/v1/reports/entries",
            TAG,
            JsonFile(services.entry_reports.as_json, EntryQuery),
            (
                Operation(
                    "GET",
                    "Report entries",
                    reads("records"),
                    (Answer(200, "The entries, oldest first", EntryReport),),
                    "By house, apartment, key or panel, from a moment on and before another; sent as it is read, so "
                    "that any number may be asked for.",
                    query=EntryQuery,
                ),
            ),
        ),
        Endpoint(
            "/v1/reports/entries.csv",
            TAG,
            CsvFile(services.entry_reports.as_csv, EntryCsvQuery, "entries"),
            (
                Operation(
                    "GET",
                    "Report entries as CSV",
                    reads("records"),
                    (Answer(200, "The same as a file; no cell is a formula", media_types=(CSV,), example=_ENTRIES),),
                    "For spreadsheets: UTF-8, the fields of `/v1/reports/entries` as columns, a row for each "
                    "entry, oldest first. Sent as it is read, so that any number may be asked for.",
                    query=EntryCsvQuery,
                ),
            ),
        ),
        Endpoint(
            "/v1/key-uses",
            TAG,
            Told(services.key_uses.told, NewKeyUse),
            (
                Operation(
                    "POST",
                    "Tell that a key was held to a panel",
                    changes("key_uses"),
                    (Answer(201, "The access record", AccessRecordDocument),),
                    "For whatever receives the panels' events; a key that nobody knows is recorded, too.",
                    body=NewKeyUse,
                    headers=("Idempotency-Key",),
                    problems=frozenset({"not-found"}),
                ),
            ),
        ),
    )
