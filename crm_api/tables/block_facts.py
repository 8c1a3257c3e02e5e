"""What the blocks of an apartment stop at a moment."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

_STOPS: Final = """
SELECT k.stops_calls, k.stops_opening, k.stops_keys, k.stops_codes
FROM blocks b JOIN block_kinds k ON k.id = b.kind_id
WHERE b.apartment_id = ? AND b.starts_at_ms <= ? AND (b.ends_at_ms IS NULL OR b.ends_at_ms > ?)
"""

STOPPED_BY: Final = """EXISTS (
    SELECT 1 FROM blocks b JOIN block_kinds k ON k.id = b.kind_id
    WHERE b.apartment_id = {apartment} AND k.{what} = {true}
    AND b.starts_at_ms <= ? AND (b.ends_at_ms IS NULL OR b.ends_at_ms > ?))"""
"""Condition for statements over many apartments; its two parameters are the moment."""

STOPPED_APARTMENTS: Final = """
    SELECT b.apartment_id FROM block_kinds bk JOIN blocks b ON b.kind_id = bk.id
    WHERE bk.{what} = {true} AND b.starts_at_ms <= ? AND (b.ends_at_ms IS NULL OR b.ends_at_ms > ?)"""
"""The same as a list, for statements over so many rows that this one is read once sooner than each apartment's."""


@dataclass(frozen=True)
class Stops:
    """What is stopped."""

    calls: bool = False
    opening: bool = False
    keys: bool = False
    codes: bool = False


def stops(database: CrmDatabase, apartment_id: int, now_ms: int) -> Stops:
    """Return what all blocks of the apartment stop together."""
    rows = database.rows(_STOPS, (apartment_id, now_ms, now_ms))
    return Stops(*(any(row[column] for row in rows) for column in range(4)))
