"""Wrong access codes typed at a place, and how long it takes none because of them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Literal

from peewee import AutoField, BigIntegerField

from crm_api.tables.models import Table

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crm_api.tables.database import CrmDatabase

PlaceKind = Literal["panel", "entrance", "gate"]
Place = tuple[PlaceKind, int]

_PLACES: Final = """
SELECT 'panel', id FROM panels WHERE id = ?
UNION SELECT 'entrance', entrance_id FROM panel_places WHERE panel_id = ? AND entrance_id IS NOT NULL
UNION SELECT 'gate', gate_id FROM panels WHERE id = ? AND gate_id IS NOT NULL
ORDER BY 1, 2
"""
_COUNT: Final = """
INSERT INTO code_locks (company_id, {kind}_id, wrong, last_wrong_at_ms) VALUES (?, ?, 1, ?)
ON CONFLICT ({kind}_id) DO UPDATE SET
    wrong = CASE WHEN code_locks.last_wrong_at_ms < ? THEN 1 ELSE code_locks.wrong + 1 END,
    last_wrong_at_ms = excluded.last_wrong_at_ms, version = code_locks.version + 1
RETURNING wrong
"""
_LOCKED: Final = "SELECT locked_until_ms FROM code_locks WHERE {kind}_id = ? AND locked_until_ms > ?"
_LOCK: Final = "UPDATE code_locks SET locked_until_ms = ?, wrong = 0 WHERE {kind}_id = ?"
_SHORTEN: Final = "UPDATE code_locks SET locked_until_ms = ? WHERE {kind}_id = ?"
_FORGET: Final = "DELETE FROM code_locks WHERE {kind}_id = ?"
_LIMITS: Final = "SELECT code_tries, code_lock_s FROM companies WHERE id = ?"


class CodeLock(Table):
    """The count of a panel, an entrance or a gate; `locked_until_ms` once it has been locked."""

    id = AutoField()
    version = BigIntegerField(default=1)
    company_id = BigIntegerField()
    panel_id = BigIntegerField(null=True)
    entrance_id = BigIntegerField(null=True)
    gate_id = BigIntegerField(null=True)
    wrong = BigIntegerField()
    last_wrong_at_ms = BigIntegerField()
    locked_until_ms = BigIntegerField(null=True)


def places_of(database: CrmDatabase, panel_id: int) -> list[Place]:
    """Return where a code typed at this panel counts: the panel, its entrances, its gate."""
    return [(kind, int(key)) for kind, key in database.rows(_PLACES, (panel_id, panel_id, panel_id))]


def locked_until_ms(database: CrmDatabase, company_id: int, places: Iterable[Place], now_ms: int) -> int | None:
    """Return when the last lock of these places ends; None when there is none now.

    One that would last longer than twice a lock was made before the clock was put back: it lasts as long as a lock from
    now on. Hosts whose clocks are apart by less leave each other's locks alone.
    """
    _, lock_s = database.rows(_LIMITS, (company_id,))[0]
    ends: list[int] = []
    for kind, key in places:
        for (until_ms,) in database.rows(_LOCKED.format(kind=kind), (key, now_ms)):
            if until_ms > now_ms + 2 * lock_s * 1_000:
                ends.append(now_ms + lock_s * 1_000)
                database.rows(_SHORTEN.format(kind=kind), (ends[-1], key))
            else:
                ends.append(until_ms)
    return max(ends, default=None)


def count_wrong(database: CrmDatabase, company_id: int, places: Iterable[Place], now_ms: int) -> int | None:
    """Count a wrong code at each place and lock those that have had too many; return until when, if any.

    Wrong codes further apart than a lock lasts are no row.
    """
    tries, lock_s = database.rows(_LIMITS, (company_id,))[0]
    until_ms = now_ms + lock_s * 1_000
    locked = False
    for kind, key in places:
        row = database.row(_COUNT.format(kind=kind), (company_id, key, now_ms, now_ms - lock_s * 1_000))
        if row is not None and row[0] >= tries:
            database.rows(_LOCK.format(kind=kind), (until_ms, key))
            locked = True
    return until_ms if locked else None


def forget(database: CrmDatabase, places: Iterable[Place]) -> None:
    """Begin to count anew: a right code was typed."""
    for kind, key in places:
        database.rows(_FORGET.format(kind=kind), (key,))
