"""Reports of entries: who opened which door when, by house, apartment, key and time, sent as they are read."""

from __future__ import annotations

from contextlib import suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import msgspec

from crm_api.domain.csv_table import SEPARATOR_NAMES, line
from crm_api.domain.key_numbers import written
from crm_api.domain.problems import InvalidFieldsError
from crm_api.domain.zones import zone_or_utc
from crm_api.services.keys import numbers_meant
from crm_api.tables import entry_rows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from datetime import tzinfo

    from crm_api.domain.inputs.calls import EntryCsvQuery, EntryQuery
    from crm_api.services.context import Context, Tenant

BATCH: Final = 1000
SHOWN: Final = ("at", *(name for name in entry_rows.COLUMNS if name != "time_zone"))


class EntryReports:
    """Tells entries as JSON or CSV.

    `at` is the local time of the city where the house stands, else of the company's (ISO 8601 with its offset).
    """

    def __init__(self, context: Context) -> None:
        self._context = context

    def as_json(self, tenant: Tenant, wanted: EntryQuery) -> Iterator[str]:
        """Return the document in pieces."""
        batches = self._entries(tenant, wanted)
        return self._json_pieces(batches)

    def as_csv(self, tenant: Tenant, wanted: EntryCsvQuery) -> Iterator[str]:
        """Return the file in pieces."""
        batches = self._entries(tenant, wanted)
        return self._csv_pieces(batches, SEPARATOR_NAMES[wanted.separator])

    @staticmethod
    def _json_pieces(batches: Iterator[list[dict[str, Any]]]) -> Iterator[str]:
        yield '{"items":['
        between = ""
        for batch in batches:
            yield between + msgspec.json.encode(batch).decode()[1:-1]
            between = ","
        yield "]}"

    @staticmethod
    def _csv_pieces(batches: Iterator[list[dict[str, Any]]], separator: str) -> Iterator[str]:
        yield line(SHOWN, separator)
        for batch in batches:
            yield "".join(line([entry[name] for name in SHOWN], separator) for entry in batch)

    def _entries(self, tenant: Tenant, wanted: EntryQuery) -> Iterator[list[dict[str, Any]]]:
        if wanted.to_ms <= wanted.from_ms:
            raise InvalidFieldsError.one("to_ms", wanted.to_ms, f"must be after from_ms, {wanted.from_ms}")
        database = self._context.database
        span_ms = (wanted.from_ms, wanted.to_ms)
        filters = wanted.model_dump()
        if wanted.key_number is not None:
            filters["key_numbers"] = numbers_meant(wanted.key_number, "key_number")
        batches = entry_rows.entries(database, tenant.companies, span_ms, filters, BATCH)
        return ([_entry(row) for row in rows] for rows in batches)


def _entry(row: tuple[Any, ...]) -> dict[str, Any]:
    entry = dict(zip(entry_rows.COLUMNS, row, strict=True))
    entry["at"] = _local(entry["at_ms"], zone_or_utc(entry.pop("time_zone")))
    if entry["key"] is not None:
        entry["key"] = written(entry["key"])
    return entry


def _local(at_ms: int, zone: tzinfo) -> str:
    """Return a moment by the clock of a zone; by UTC on the last day of the calendar, which is over there already."""
    moment = datetime.fromtimestamp(at_ms / 1000, UTC)
    with suppress(OverflowError):  # told before moments that cannot be were refused
        moment = moment.astimezone(zone)
    return moment.isoformat(timespec="seconds")
