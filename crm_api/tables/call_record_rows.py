"""Writing call records: a handful of statements for a batch of calls, each safe to repeat."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.call_record import NEVER, NO_MEDIA, NO_MEDIA_CAUSE, OPEN, OUTCOME_RANK, REFUSED

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.tables.database import CrmDatabase, Dialect

MERGED_WINDOW_MS: Final = (4000, 500)
"""A door event without the CRM's record id is that of the record made so long before (or, by clocks, after) it."""


_LEAST: Final[dict[Dialect, str]] = {"sqlite": "min", "postgresql": "least"}
_GREATEST: Final[dict[Dialect, str]] = {"sqlite": "max", "postgresql": "greatest"}
_BY_BYTES: Final[dict[Dialect, str]] = {"sqlite": "", "postgresql": ' COLLATE "C"'}
"""As Python and SQLite compare texts, whatever the language of the database."""


def _earliest(dialect: Dialect, table: str, column: str) -> str:
    ours, new = f"{table}.{column}", f"excluded.{column}"
    return f"{column} = coalesce({_LEAST[dialect]}({ours}, {new}), {ours}, {new})"


def _longest(dialect: Dialect, table: str, column: str) -> str:
    ours, new = f"{table}.{column}", f"excluded.{column}"
    return f"coalesce({_GREATEST[dialect]}({ours}, {new}), {ours}, {new})"


def _of_last_node(table: str, column: str, both: str) -> str:
    """Return what is told by whoever had the call last; `both`: what to make of two words of his."""
    ours, new = f"{table}.{column}", f"excluded.{column}"
    last = f"CASE WHEN excluded.moves > {table}.moves THEN {new} WHEN excluded.moves < {table}.moves THEN {ours}"
    return f"{column} = {last} ELSE {both} END"


def _ending(dialect: Dialect, table: str) -> str:
    """Return a row value that compares as `call_record.Ending` does; a call that goes on comes last."""
    rank = f"CASE WHEN {table}.result IS NULL THEN {OPEN} WHEN {table}.result = '{REFUSED}' THEN 1 ELSE 0 END"
    result = f"coalesce({table}.result, ''){_BY_BYTES[dialect]}"
    moment, cause = (f"coalesce({table}.{column}, {NEVER})" for column in ("ended_at_ms", "cause"))
    return f"(-{table}.moves, {rank}, {moment}, {result}, {cause})"


def _answer(dialect: Dialect, table: str) -> str:
    """Return a row value that compares as answers do: the first counts, one without a time after those, none last."""
    none = f"CASE WHEN {table}.answered_by IS NULL THEN 1 ELSE 0 END"
    return f"({none}, coalesce({table}.answered_at_ms, {NEVER}), coalesce({table}.answered_by, ''){_BY_BYTES[dialect]})"


def _number(dialect: Dialect, table: str) -> str:
    """Return a row value that compares as numbers do: the first one dialled, one told late, none last."""
    rank = f"CASE WHEN {table}.dialled IS NULL THEN 2 WHEN {table}.dialled_late THEN 1 ELSE 0 END"
    return f"({rank}, coalesce({table}.dialled, ''){_BY_BYTES[dialect]})"


def _either(table: str, column: str) -> str:
    return f"{column} = coalesce({table}.{column}, excluded.{column})"


def _rank(column: str) -> str:
    whens = " ".join(f"WHEN '{outcome}' THEN {rank}" for outcome, rank in OUTCOME_RANK.items())
    return f"(CASE {column} {whens} END)"


def _calls(dialect: Dialect) -> str:
    t = "call_records"
    sets = [_either(t, name) for name in ("company_id", "panel_id", "panel", "plan_source")]
    ours, new = _number(dialect, t), _number(dialect, "excluded")
    sets += [
        f"{name} = CASE WHEN {new} < {ours} THEN excluded.{name} ELSE {t}.{name} END"
        for name in ("dialled", "dialled_late")
    ]
    sets += [  # the number says whose it is, or the caller, whatever he has dialled
        f"{name} = CASE WHEN {new} < {ours} THEN excluded.{name} WHEN {new} > {ours} THEN {t}.{name} "
        f"ELSE coalesce({t}.{name}, excluded.{name}) END"
        for name in ("apartment_id", "house_id")
    ]
    sets.append(_earliest(dialect, t, "started_at_ms"))
    sooner = f"{_ending(dialect, 'excluded')} < {_ending(dialect, t)}"
    sets += [
        f"{name} = CASE WHEN {sooner} THEN excluded.{name} ELSE {t}.{name} END"
        for name in ("ended_at_ms", "result", "moves")
    ]
    quicker = f"{_answer(dialect, 'excluded')} < {_answer(dialect, t)}"
    sets += [
        f"{name} = CASE WHEN {quicker} THEN excluded.{name} ELSE {t}.{name} END"
        for name in ("answered_at_ms", "answered_by")
    ]
    sets.append(_of_last_node(t, "talk_ms", _longest(dialect, t, "talk_ms")))
    no_media = f"(coalesce({t}.reason, '') = '{NO_MEDIA}' OR coalesce(excluded.reason, '') = '{NO_MEDIA}')"
    cause = f"CASE WHEN {no_media} THEN {NO_MEDIA_CAUSE} WHEN {sooner} THEN excluded.cause ELSE {t}.cause END"
    sets.append(_of_last_node(t, "cause", cause))
    least = f"{_LEAST[dialect]}({t}.reason{_BY_BYTES[dialect]}, excluded.reason)"
    reason = f"CASE WHEN {no_media} THEN '{NO_MEDIA}' ELSE coalesce({least}, {t}.reason, excluded.reason) END"
    sets.append(_of_last_node(t, "reason", reason))
    sets.append(f"story = coalesce({t}.story, '') || excluded.story")
    return (
        "INSERT INTO call_records (call_id, company_id, panel_id, apartment_id, house_id, panel, dialled, "  # noqa: S608 - constants
        "dialled_late, started_at_ms, ended_at_ms, talk_ms, answered_at_ms, answered_by, result, reason, cause, "
        f"plan_source, moves, story) VALUES ({', '.join('?' * 19)}) "
        f"ON CONFLICT (call_id) DO UPDATE SET {', '.join(sets)}"
    )


def _branches(dialect: Dialect) -> str:
    t = "call_branches"
    further = f"{_rank('excluded.outcome')} > {_rank(t + '.outcome')}"
    sets = [
        f"outcome = CASE WHEN {further} THEN excluded.outcome ELSE {t}.outcome END",
        f"sip_status = CASE WHEN {further} THEN coalesce(excluded.sip_status, {t}.sip_status) ELSE {t}.sip_status END",
        _either(t, "contact"),
        *(_earliest(dialect, t, f"{moment}_at_ms") for moment in ("invited", "ringing", "ended")),
    ]
    return (
        "INSERT INTO call_branches (call_id, stage, account, branch, contact, outcome, sip_status, "  # noqa: S608 - constants
        "invited_at_ms, ringing_at_ms, ended_at_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) "
        f"ON CONFLICT (call_id, stage, account, branch) DO UPDATE SET {', '.join(sets)}"
    )


CALLS: Final[dict[Dialect, str]] = {"sqlite": _calls("sqlite"), "postgresql": _calls("postgresql")}
BRANCHES: Final[dict[Dialect, str]] = {"sqlite": _branches("sqlite"), "postgresql": _branches("postgresql")}

PASSED_TO = """
INSERT INTO call_apartments (call_id, apartment_id) SELECT CAST(? AS TEXT), id FROM apartments WHERE id = ?
ON CONFLICT (apartment_id, call_id) DO NOTHING
"""
"""An apartment may be gone by now."""
DOOR_OF_RECORD = """
UPDATE access_records SET result = ?, event_at_ms = ? WHERE id = ? AND call_id = ? RETURNING company_id
"""
DIALLED = "SELECT dialled FROM call_records WHERE call_id = ?"
DOOR_AT = """
SELECT d.panel_id, a.account FROM doors d JOIN panels p ON p.id = d.panel_id JOIN accounts a ON a.id = p.account_id
WHERE d.id = ? AND d.company_id = ?
"""
HOME = """
SELECT a.apartment_id, ap.house_id FROM accounts a LEFT JOIN apartments ap ON ap.id = a.apartment_id
WHERE a.account = ? AND a.company_id = ?
"""
SAME_OPENING = """
SELECT id FROM access_records
WHERE call_id = ? AND account = ? AND at_ms BETWEEN ? AND ? AND (event_at_ms IS NULL OR event_at_ms = ?)
ORDER BY at_ms DESC LIMIT 1
"""
DOOR = """
INSERT INTO access_records
(company_id, at_ms, panel_id, apartment_id, house_id, panel, door_id, account, call_id, key, method, result, reason,
 event_at_ms)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (call_id, account, at_ms) DO NOTHING
RETURNING id
"""
PHONE_LEG = """
INSERT INTO phone_legs
(call_id, stage, account, branch, company_id, apartment_id, trunk, ended_at_ms, phone_ms, billed_s, cost_micros,
 currency, connected)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (call_id, stage, account, branch) DO NOTHING
"""
PHONE_LEGS = """
SELECT stage, account, trunk, ended_at_ms, phone_ms, billed_s, cost_micros, currency, connected
FROM phone_legs WHERE call_id = ? ORDER BY stage, branch, account
"""
PRICE = "SELECT price_per_minute_micros, currency, billing_increment_s FROM trunks WHERE name = ?"
RESULT = "SELECT result FROM call_records WHERE call_id = ?"
STORY = "SELECT story FROM call_records WHERE call_id = ?"
PANEL_SEEN = "UPDATE panels SET last_seen_at_ms = ? WHERE id = ? AND coalesce(last_seen_at_ms, 0) < ?"
SEEN_STEP_MS: Final = 60_000
"""A panel that calls again and again is not written each time."""


def write_calls(database: CrmDatabase, rows: Sequence[Sequence[object]]) -> None:
    """Insert or complete call records."""
    database.many(CALLS[database.dialect], rows)


def write_branches(database: CrmDatabase, rows: Sequence[Sequence[object]]) -> None:
    """Insert or complete branches; their calls must be there."""
    database.many(BRANCHES[database.dialect], rows)


def write_panels_seen(database: CrmDatabase, seen: Sequence[tuple[int, int | None]]) -> None:
    """Note when panels called; (epoch ms, panel's id or None), at most once a minute for each panel."""
    last: dict[int, int] = {}
    for at_ms, panel_id in seen:
        if panel_id is not None:
            last[panel_id] = max(at_ms, last.get(panel_id, 0))
    lines = [(at_ms, panel_id, at_ms - SEEN_STEP_MS) for panel_id, at_ms in sorted(last.items())]
    database.many(PANEL_SEEN, lines)
