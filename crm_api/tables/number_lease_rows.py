"""Statements of the lease of a city's numbers: each is one step that cannot be half done (the call path: no ORM).

The holder is a column of the number, and each panel may stand in one number only (unique index): no interleaving gives
a number to two panels or a panel two numbers. On PostgreSQL the pick skips numbers that others are picking right now.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

CALLER: Final = """
SELECT p.id, coalesce(p.company_id, a.company_id),
       coalesce((SELECT h.city_id FROM panel_places pp JOIN houses h ON h.id = pp.house_id
                 WHERE pp.panel_id = p.id AND h.city_id IS NOT NULL ORDER BY pp.id LIMIT 1), own.city_id, c.city_id),
       n.id, n.number, n.trunk, n.city_id, n.held_until_ms, n.in_service
FROM accounts a
LEFT JOIN panels p ON p.account_id = a.id
LEFT JOIN companies c ON c.id = coalesce(p.company_id, a.company_id)
LEFT JOIN apartments ap ON ap.id = a.apartment_id
LEFT JOIN houses own ON own.id = ap.house_id
LEFT JOIN city_numbers n ON n.panel_id = p.id
WHERE a.account = ?
"""

RENEW: Final = """
UPDATE city_numbers SET in_call = {true}, call_id = ?, held_until_ms = ?
WHERE id = ? AND panel_id = ? AND held_until_ms > ? AND in_service = {true} RETURNING number, trunk
"""
RENEWED: Final = """
UPDATE number_leases SET calls = calls + 1, call_id = ?, held_until_ms = ? WHERE number_id = ? AND ended_at_ms IS NULL
"""

# Not over a call that the CRM has heard of since, which keeps the number for longer.
RENEWED_LATE: Final = """
UPDATE city_numbers SET in_call = {true}, call_id = ?, held_until_ms = ?
WHERE id = ? AND panel_id = ? AND held_until_ms < ? AND call_id <> ? AND leased_at_ms <= ? RETURNING id
"""

_FREE: Final = """
SELECT id FROM city_numbers
WHERE city_id = ? AND in_service = {true} AND shared = {false} AND held_until_ms <= ?
ORDER BY held_until_ms, id LIMIT 1
"""
_TAKE: Final = """
UPDATE city_numbers SET panel_id = ?, call_id = ?, in_call = {true}, leased_at_ms = ?, held_until_ms = ?
WHERE id = ? RETURNING number, trunk
"""
_CLOSE_OLD: Final = """
UPDATE number_leases SET ended_at_ms = held_until_ms, end_reason = 'expired'
WHERE number_id = ? AND ended_at_ms IS NULL
"""
_OPEN: Final = """
INSERT INTO number_leases
    (number_id, city_id, company_id, panel_id, number, panel, leased_at_ms, calls, call_id, held_until_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, 1, ?, ?)
"""
# One round trip. `opened` reads `closed` to its end first, so that the number's former lease is closed before the new
# one is written (both stand in one unique index).
_TAKE_AT_ONCE: Final = """
WITH picked AS (
    SELECT id, number FROM city_numbers
    WHERE city_id = ? AND in_service AND NOT shared AND held_until_ms <= ?
    ORDER BY held_until_ms, id LIMIT 1 FOR UPDATE SKIP LOCKED),
closed AS (
    UPDATE number_leases l SET ended_at_ms = l.held_until_ms, end_reason = 'expired'
    WHERE l.number_id = (SELECT id FROM picked) AND l.ended_at_ms IS NULL RETURNING 1),
opened AS (
    INSERT INTO number_leases
        (number_id, city_id, company_id, panel_id, number, panel, leased_at_ms, calls, call_id, held_until_ms)
    SELECT picked.id, ?, ?, ?, picked.number, ?, ?, 1, ?, ? FROM picked, (SELECT count(*) FROM closed) AS before
    RETURNING 1)
UPDATE city_numbers n SET panel_id = ?, call_id = ?, in_call = TRUE, leased_at_ms = ?, held_until_ms = ?
FROM (SELECT count(*) FROM opened) AS written WHERE n.id = (SELECT id FROM picked) RETURNING n.number, n.trunk
"""

SHARED: Final = "SELECT number, trunk FROM city_numbers WHERE city_id = ? AND shared = {true} AND in_service = {true}"

FREE_AGAIN: Final = """
UPDATE city_numbers SET panel_id = NULL, call_id = NULL, in_call = {false}, held_until_ms = ?
WHERE id = ? AND panel_id = ? RETURNING id
"""
CLOSE: Final = """
UPDATE number_leases SET ended_at_ms = ?, end_reason = ?, reason = ? WHERE number_id = ? AND ended_at_ms IS NULL
"""

EXPIRED: Final = """
UPDATE city_numbers SET panel_id = NULL, call_id = NULL, in_call = {false}
WHERE panel_id IS NOT NULL AND held_until_ms <= ? RETURNING id
"""
# Also what a removed panel has left behind: its lease has no panel any more.
CLOSE_EXPIRED: Final = """
UPDATE number_leases SET ended_at_ms = held_until_ms, end_reason = 'expired'
WHERE ended_at_ms IS NULL AND held_until_ms <= ?
"""

ENDED: Final = """
UPDATE city_numbers SET in_call = {false},
    held_until_ms = ? + 1000 * coalesce(
        (SELECT keep_s FROM emergency_centres e WHERE e.city_id = city_numbers.city_id), ?)
WHERE call_id = ? AND in_call = {true} RETURNING id, held_until_ms
"""
OF_CALL: Final = "SELECT id, city_id FROM city_numbers WHERE call_id = ? AND panel_id IS NOT NULL"
GOES_ON: Final = """
UPDATE city_numbers SET in_call = {true}, held_until_ms = CASE WHEN held_until_ms > ? THEN held_until_ms ELSE ? END
WHERE id = ? AND call_id = ? AND panel_id IS NOT NULL RETURNING id, held_until_ms
"""
HELD_UNTIL: Final = "UPDATE number_leases SET held_until_ms = ? WHERE number_id = ? AND ended_at_ms IS NULL"

FREE_NOW: Final = """
UPDATE city_numbers SET held_until_ms = ? WHERE call_id = ? AND in_call = {false} AND held_until_ms > ? RETURNING id
"""

CALLED_BACK: Final = """
UPDATE city_numbers SET in_call = {true}, call_id = ?,
    held_until_ms = CASE WHEN held_until_ms > ? THEN held_until_ms ELSE ? END
WHERE number = ? AND panel_id IS NOT NULL AND held_until_ms > ? RETURNING id, panel_id, held_until_ms
"""

KEEP_OF: Final = "SELECT keep_s FROM emergency_centres WHERE city_id = ?"


class Caller(NamedTuple):
    """Who calls, and the number that it holds (None: none)."""

    panel_id: int | None
    company_id: int | None
    city_id: int | None
    number_id: int | None
    number: str | None
    trunk: str | None
    number_city_id: int | None
    held_until_ms: int | None
    in_service: bool | None


class Leased(NamedTuple):
    """A number and its trunk."""

    number: str
    trunk: str


class Wanted(NamedTuple):
    """What a lease is taken for."""

    city_id: int
    company_id: int | None
    panel_id: int
    panel: str
    call_id: str
    now_ms: int
    until_ms: int


def spelled(database: CrmDatabase, sql: str) -> str:
    """Return a statement in the words of the database."""
    true, false = ("TRUE", "FALSE") if database.dialect == "postgresql" else ("1", "0")
    return sql.replace("{true}", true).replace("{false}", false)


def caller(database: CrmDatabase, account: str) -> Caller | None:
    """Return who has this account, None when nobody has."""
    row = database.row(CALLER, (account,))
    return None if row is None else Caller(*row)


def take_free(database: CrmDatabase, wanted: Wanted) -> Leased | None:
    """Give the panel the number that has been free for longest, None when all are held.

    On SQLite to be called inside a transaction (which has the only writer's lock).
    """
    w = wanted
    if database.dialect == "postgresql":
        row = database.row(
            _TAKE_AT_ONCE,
            (
                *(w.city_id, w.now_ms),
                *(w.city_id, w.company_id, w.panel_id, w.panel, w.now_ms, w.call_id, w.until_ms),
                *(w.panel_id, w.call_id, w.now_ms, w.until_ms),
            ),
        )
        return None if row is None else Leased(*row)
    free = database.row(spelled(database, _FREE), (w.city_id, w.now_ms))
    if free is None:
        return None
    (number_id,) = free
    database.rows(_CLOSE_OLD, (number_id,))
    taken: Any = database.row(spelled(database, _TAKE), (w.panel_id, w.call_id, w.now_ms, w.until_ms, number_id))
    leased = Leased(*taken)
    database.rows(
        _OPEN,
        (number_id, w.city_id, w.company_id, w.panel_id, leased.number, w.panel, w.now_ms, w.call_id, w.until_ms),
    )
    return leased
