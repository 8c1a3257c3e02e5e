"""Entries with the names of everything that they concern, in the order of time, in batches."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.tables.many_ids import asked_for

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crm_api.tables.database import CrmDatabase

COLUMNS: Final = (
    "id",
    "at_ms",
    "time_zone",
    "address",
    "apartment",
    "panel",
    "door",
    "result",
    "method",
    "account",
    "key",
    "resident",
    "opened_by",
    "reason",
    "call_id",
)

# An account's name is free again when the account is gone, also to another company: whoever has it since is not meant.
_ROWS: Final = """
SELECT r.id, r.at_ms, t.time_zone, h.address, coalesce(ap.label, CAST(ap.number AS TEXT)), coalesce(p.name, r.panel),
    d.name, r.result, r.method, r.account, coalesce(k.number, r.key_number),
    coalesce(kr.name, ar.name), r.opened_by, r.reason, r.call_id
FROM access_records r
LEFT JOIN houses h ON h.id = r.house_id
LEFT JOIN companies c ON c.id = r.company_id
LEFT JOIN cities t ON t.id = coalesce(h.city_id, c.city_id)
LEFT JOIN apartments ap ON ap.id = r.apartment_id
LEFT JOIN panels p ON p.id = r.panel_id
LEFT JOIN doors d ON d.id = r.door_id
LEFT JOIN rfid_keys k ON k.id = r.key_id
LEFT JOIN residents kr ON kr.id = k.resident_id
LEFT JOIN accounts a ON a.account = r.account AND a.company_id = r.company_id AND a.created_at_ms <= r.at_ms
LEFT JOIN residents ar ON ar.id = a.resident_id
WHERE {conditions}
ORDER BY r.at_ms, r.id LIMIT ?
"""
FILTERS: Final = ("company_id", "house_id", "apartment_id", "key_id", "panel")
_KEYS: Final = "SELECT id FROM rfid_keys WHERE number IN ({marks})"


def by_key(database: CrmDatabase, numbers: Sequence[str]) -> tuple[str, list[object]]:
    """Return the condition that an access record is of a key of one of these numbers, and its parameters.

    The key may be there no more. Records of earlier releases have its number only since then; until then they are found
    by its id. That is read first: with a query in the condition no database would read both from their indexes.

    Args:
        database: of the keys.
        numbers: as they are kept; one at least.
    """
    keys = [row[0] for row in asked_for(database, _KEYS, numbers)]
    conditions = [("key_number", list(numbers)), ("key_id", keys)]
    found = [f"{column} IN ({', '.join('?' * len(values))})" for column, values in conditions if values]
    return f"({' OR '.join(found)})", [*numbers, *keys]


def entries(
    database: CrmDatabase,
    companies: frozenset[int] | None,
    span_ms: tuple[int, int],
    filters: dict[str, Any],
    batch: int,
) -> Iterator[list[tuple[Any, ...]]]:
    """Yield batches of rows (`COLUMNS`) from the first moment of the span on, before its last.

    Args:
        database: read batch by batch, so that any number of rows can be told.
        companies: whose entries may be seen; None: everybody's.
        span_ms: epoch milliseconds.
        filters: columns (`FILTERS`) and their values; `key_numbers`: keys, as their numbers are kept.
        batch: rows.
    """
    conditions = ["r.at_ms >= ?", "r.at_ms < ?"]
    parameters: list[object] = list(span_ms)
    if companies is not None:
        conditions.append(f"r.company_id IN ({', '.join('?' * len(companies)) or 'NULL'})")
        parameters += sorted(companies)
    for name in FILTERS:
        if filters.get(name) is not None:
            conditions.append(f"r.{name} = ?")
            parameters.append(filters[name])
    if numbers := filters.get("key_numbers"):
        condition, values = by_key(database, numbers)
        conditions.append(condition)
        parameters += values
    after: tuple[int, int] = (span_ms[0], 0)
    sql = _ROWS.format(conditions=" AND ".join([*conditions, "(r.at_ms, r.id) > (?, ?)"]))
    while True:
        rows = database.rows(sql, (*parameters, *after, batch))
        if not rows:
            return
        after = (rows[-1][1], rows[-1][0])
        yield rows
