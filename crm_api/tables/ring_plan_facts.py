"""Everything a ring plan is decided from, read with two indexed statements in most cases (the call path: no ORM)."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import structlog

from crm_api.domain import quiet_hours
from crm_api.domain.numbering import Candidate, Place
from crm_api.domain.ring_plan import Desks, Door, Household, Member, PanelFacts, StageRule, TargetRule
from crm_api.domain.zones import UnreadableZoneError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.quiet_hours import Window
    from crm_api.domain.ring_plan import LeftOut, OnRefusal
    from crm_api.tables.database import CrmDatabase

_log = structlog.get_logger("crm_api.ring_plans")

PLACE_CODE = "CASE WHEN pp.code = '' THEN '' ELSE pp.code || coalesce(p.separator, '') END"
PANEL_BY_ACCOUNT = """FROM accounts a
JOIN panels p ON p.account_id = a.id
JOIN companies c ON c.id = p.company_id
LEFT JOIN doors d ON d.panel_id = p.id AND d.output = (SELECT min(output) FROM doors WHERE panel_id = p.id)
LEFT JOIN panel_places pp ON pp.panel_id = p.id
WHERE a.account = ?"""
PANEL = f"""
SELECT p.id, p.company_id, p.name, c.language, coalesce(p.talk_limit_s, c.talk_limit_s), c.ring_timeout_s,
       coalesce(p.ring_limit_s, c.ring_limit_s), c.message_limit_s, c.records_calls, d.id, d.method, d.dtmf,
       {PLACE_CODE}, pp.house_id, pp.entrance_id
{PANEL_BY_ACCOUNT}
ORDER BY pp.id
"""
APARTMENT = "SELECT id, entrance_id FROM apartments WHERE house_id = ? AND number = ?"
# An account of one resident's own has the rights that he has in the apartment: none after a guest's end.
RINGS = """(a.enabled AND (a.resident_id IS NULL OR EXISTS (
    SELECT 1 FROM residencies r WHERE r.resident_id = a.resident_id AND r.apartment_id = a.apartment_id
    AND (r.ends_at_ms IS NULL OR r.ends_at_ms > ?))))"""
# On duty or not: whoever reaches the house's panels from his desk opens them, and may when he is called, too.
ANSWERS_HERE = """EXISTS (
    SELECT 1 FROM concierge_desks k WHERE k.account_id = a.id AND (k.house_id IS NULL OR k.house_id = ?))"""
WAKES = "EXISTS (SELECT 1 FROM push_tokens d WHERE d.account_id = a.id AND d.invalidated_at_ms IS NULL)"
# Apartment, members, blocks and kept plan in one statement: on PostgreSQL a round trip costs more than what it reads.
# The rows of each part are put in order here, not by the database. NOT MATERIALIZED: of a table made for the moment
# SQLite expects many rows, and reads all blocks there are.
_NOTHING = ", CAST(NULL AS BIGINT), CAST(NULL AS BIGINT)"


def _of_home(house: str, company: str, more: str, more_of_home: str) -> str:
    """Return the parts of a statement that read the apartment `ap` of a house."""
    return f"""
SELECT 0, a.id, 0, a.account, a.kind, {RINGS}, a.phone,
       {{false}}, CAST(NULL AS BIGINT), CAST(NULL AS TEXT), CAST(NULL AS TEXT), a.apartment_id,
       a.quiet_from_min, a.quiet_until_min, a.resident_id,
       (SELECT ring_order FROM residencies r WHERE r.resident_id = a.resident_id AND r.apartment_id = a.apartment_id),
       {{false}}, {WAKES}, {{false}}, a.enabled{more}
FROM ap JOIN accounts a ON a.apartment_id = ap.id
UNION ALL
SELECT 1, b.id, 0, NULL, NULL, k.stops_calls, NULL, k.stops_opening, NULL, NULL, NULL, NULL, NULL, NULL, NULL, NULL,
       {{false}}, {{false}}, {{false}}, {{false}}{more}
FROM ap JOIN blocks b ON b.apartment_id = ap.id JOIN block_kinds k ON k.id = b.kind_id
WHERE b.starts_at_ms <= ? AND (b.ends_at_ms IS NULL OR b.ends_at_ms > ?)
UNION ALL
SELECT 2, s.position, coalesce(t.position, 0), a.account, a.kind, {RINGS}, a.phone,
       s.one_by_one, s.ring_timeout_s, s.on_refusal, t.kind, a.apartment_id,
       a.quiet_from_min, a.quiet_until_min, NULL, NULL, s.confirm, {WAKES},
       {ANSWERS_HERE.replace("?", house)}, a.enabled{more}
FROM ring_stages s
LEFT JOIN ring_targets t ON t.stage_id = s.id
LEFT JOIN accounts a ON a.id = t.account_id
WHERE s.plan_id = coalesce(
    (SELECT id FROM ring_plans WHERE apartment_id = (SELECT id FROM ap)),
    (SELECT id FROM ring_plans WHERE house_id = {house}),
    (SELECT id FROM ring_plans WHERE company_id = {company} AND house_id IS NULL AND apartment_id IS NULL))
UNION ALL
SELECT 3, id, 0, NULL, NULL, {{false}}, NULL, {{false}}, NULL, NULL, NULL, entrance_id, NULL, NULL, NULL, NULL,
       {{false}}, {{false}}, {{false}}, {{false}}{more_of_home}
FROM ap
"""  # noqa: S608 - constants


HOUSEHOLD = f"""
WITH ap AS NOT MATERIALIZED (SELECT id, entrance_id FROM apartments WHERE house_id = ? AND number = ?)
{_of_home("?", "?", "", "")}
"""  # noqa: S608 - constants
# For PostgreSQL: the panel, and at once the apartment that the number means there unless the numbering policy says
# otherwise. Of 490 us that a plan costs API and server a round trip is 50, of 1,700 at 161 a second some 150. SQLite
# has no round trips; there the one statement costs 12 us more than the two. MATERIALIZED: PostgreSQL would look the
# apartment up four times (140 us of the server instead of 130).
PANEL_AND_HOUSEHOLD = f"""
WITH here AS MATERIALIZED (
    SELECT p.company_id, pp.house_id, CAST(substr(?, length(pp.code) + 1) AS BIGINT) AS number
    FROM accounts a JOIN panels p ON p.account_id = a.id JOIN panel_places pp ON pp.panel_id = p.id
    WHERE a.account = ? AND p.separator IS NULL AND length(pp.code) < ? AND substr(?, 1, length(pp.code)) = pp.code
    LIMIT 1),
ap AS MATERIALIZED (
    SELECT id, entrance_id, house_id, number FROM apartments
    WHERE house_id = (SELECT house_id FROM here) AND number = (SELECT number FROM here))
{_of_home("(SELECT house_id FROM here)", "(SELECT company_id FROM here)", _NOTHING, ", house_id, number")}
UNION ALL
SELECT 4, p.id, coalesce(pp.id, 0), p.name, c.language, c.records_calls, d.method,
       FALSE, p.company_id, d.dtmf, {PLACE_CODE}, pp.entrance_id,
       coalesce(p.talk_limit_s, c.talk_limit_s), c.ring_timeout_s, coalesce(p.ring_limit_s, c.ring_limit_s),
       c.message_limit_s, FALSE, FALSE, FALSE, FALSE, d.id, pp.house_id
{PANEL_BY_ACCOUNT}
""".replace("{false}", "FALSE")  # noqa: S608 - constants


HOUSEHOLDS = {"sqlite": HOUSEHOLD.replace("{false}", "0"), "postgresql": HOUSEHOLD.replace("{false}", "FALSE")}
_MOST_PRESSED = 8
"""Digits of a code and of an apartment number."""
_MEMBER, _STOP, _LINE, _APARTMENT, _PANEL = range(5)
_NO_HOUSE = 0
"""PostgreSQL takes no empty list."""
UNORDERED = 100
"""Place of a resident who was given none: after the others."""
TIME_ZONE = """
SELECT ci.time_zone FROM houses h JOIN companies c ON c.id = h.company_id
JOIN cities ci ON ci.id = coalesce(h.city_id, c.city_id) WHERE h.id = ?
"""
DESKS = """
SELECT d.priority, a.account, a.kind, d.phone, d.on_duty, a.enabled, a.quiet_from_min, a.quiet_until_min
FROM concierge_desks d JOIN accounts a ON a.id = d.account_id
WHERE d.company_id = ? AND (d.house_id IS NULL OR d.house_id IN ({houses}))
ORDER BY d.priority, d.id
"""
DISPATCH = """
SELECT a.account, a.kind, a.enabled FROM dispatch_centres d JOIN accounts a ON a.id = d.account_id
WHERE d.city_id = coalesce(
    (SELECT h.city_id FROM panel_places pp JOIN houses h ON h.id = pp.house_id
     WHERE pp.panel_id = ? ORDER BY pp.id LIMIT 1),
    (SELECT city_id FROM companies WHERE id = ?))
UNION ALL
SELECT a.account, a.kind, a.enabled FROM dispatch_centres d JOIN accounts a ON a.id = d.account_id
WHERE d.company_id = ?
"""


@dataclass(frozen=True)
class KnownPanel:
    """A panel and the places it serves."""

    facts: PanelFacts
    places: tuple[Place, ...]


_Parts = tuple[list[tuple[Any, ...]], ...]
"""Rows of `HOUSEHOLD` by what they tell."""


@dataclass(frozen=True)
class Home:
    """What was read of an apartment, beside the panel that called."""

    house_id: int
    number: int
    parts: _Parts


def known_panel(database: CrmDatabase, account: str) -> KnownPanel | None:
    """Return the panel with this account, None when there is none."""
    return _panel_of(database.rows(PANEL, (account,)))


def known_panel_and_home(
    database: CrmDatabase, account: str, dialled: str, now_ms: int
) -> tuple[KnownPanel | None, Home | None]:
    """Return the panel with this account, and what was read with it of the apartment that `dialled` may mean there."""
    may_be_read = len(dialled) <= _MOST_PRESSED and dialled.isascii() and dialled.isdigit()
    if may_be_read and database.dialect == "postgresql":
        return read_at_once(database, account, dialled, now_ms)
    return known_panel(database, account), None


def read_at_once(
    database: CrmDatabase, account: str, dialled: str, now_ms: int
) -> tuple[KnownPanel | None, Home | None]:
    """Return both by one statement; `dialled` is a few digits."""
    here = (dialled, account, len(dialled), dialled)
    parts = _parts(database.rows(PANEL_AND_HOUSEHOLD, (*here, now_ms, now_ms, now_ms, now_ms, account)))
    panel = _panel_of([_as_panel(row) for row in sorted(parts[_PANEL], key=itemgetter(2))])
    if not parts[_APARTMENT]:
        return panel, None
    house_id, number = parts[_APARTMENT][0][20:22]
    return panel, Home(house_id, number, parts)


def _as_panel(row: tuple[Any, ...]) -> tuple[Any, ...]:
    """Return a row as `PANEL` has it."""
    _, panel_id, _, name, language, records, method, _, company_id, dtmf, code, entrance_id = row[:12]
    talk_limit_s, ring_timeout_s, ring_limit_s, message_limit_s = row[12:16]
    door_id, house_id = row[20:22]
    return (
        *(panel_id, company_id, name, language, talk_limit_s, ring_timeout_s, ring_limit_s, message_limit_s, records),
        *(door_id, method, dtmf, code, house_id, entrance_id),
    )


def _panel_of(rows: Sequence[tuple[Any, ...]]) -> KnownPanel | None:
    if not rows:
        return None
    panel_id, company_id, name, language, talk_limit_s, ring_timeout_s, ring_limit_s, *rest = rows[0][:12]
    message_limit_s, records, door_id, method, dtmf = rest
    # To the call side a door opens by digits in the call, or by the CRM: through the panel's driver or a relay.
    by_digits = method == "dtmf"
    door = None if door_id is None else Door(door_id, "dtmf" if by_digits else "http", dtmf if by_digits else None)
    facts = PanelFacts(
        company_id=company_id,
        caller_name=name,
        language=language,
        talk_limit_s=talk_limit_s,
        ring_timeout_s=ring_timeout_s,
        ring_limit_s=ring_limit_s,
        panel_id=panel_id,
        door=door,
        message_limit_s=message_limit_s,
        records=bool(records),
    )
    return KnownPanel(facts, tuple(Place(*row[12:15]) for row in rows if row[12] is not None))


def apartment_id(database: CrmDatabase, candidate: Candidate) -> int | None:
    """Return the apartment that a number means, None when it does not exist (or stands in another entrance)."""
    row = database.row(APARTMENT, (candidate.house_id, candidate.number))
    if row is None or candidate.entrance_id not in (None, row[1]):
        return None
    return int(row[0])


def _parts(rows: Sequence[tuple[Any, ...]]) -> _Parts:
    parts: _Parts = ([], [], [], [], [])
    for row in rows:
        parts[row[0]].append(row)
    return parts


def household(
    database: CrmDatabase, company_id: int, candidate: Candidate, now_ms: int, home: Home | None = None
) -> Household | None:
    """Return what decides the plan of an apartment at this moment.

    None: there is no such apartment, or it stands in another entrance.

    Args:
        database: where it is kept.
        company_id: of the panel or caller.
        candidate: the apartment.
        now_ms: the moment.
        home: what was read with the panel; used if it is this apartment.
    """
    place = (candidate.house_id, candidate.number)
    if home is not None and (home.house_id, home.number) == place:
        parts = home.parts
    else:
        parameters = (*place, now_ms, now_ms, now_ms, now_ms, candidate.house_id, candidate.house_id, company_id)
        parts = _parts(database.rows(HOUSEHOLDS[database.dialect], parameters))
    if not parts[_APARTMENT]:
        return None
    apartment_id, entrance_id = parts[_APARTMENT][0][1], parts[_APARTMENT][0][11]
    if candidate.entrance_id not in (None, entrance_id):
        return None
    for part in parts:
        part.sort(key=itemgetter(1, 2))
    rest = _Rest(database, candidate.house_id, now_ms)
    stages = _stages(parts[_LINE], rest)
    return Household(
        apartment_id=apartment_id,
        members=tuple(_member(row, apartment_id, rest) for row in parts[_MEMBER]),
        stops_calls=any(row[5] for row in parts[_STOP]),
        stops_opening=any(row[7] for row in parts[_STOP]),
        stages=stages,
        desks=desks(database, company_id, (candidate.house_id,), rest) if _asks_for_desks(stages) else Desks(),
    )


def dispatch_centre(database: CrmDatabase, facts: PanelFacts) -> Member | None:
    """Return the dispatch centre of the panel's city, else of its company; a disabled one gives way to the other."""
    rows = database.rows(DISPATCH, (facts.panel_id, facts.company_id, facts.company_id))
    return next((Member(account, kind, True, None) for account, kind, enabled in rows if enabled), None)


def _asks_for_desks(stages: tuple[StageRule, ...] | None) -> bool:
    return stages is not None and any(line.kind == "concierge" for stage in stages for line in stage.targets)


def desks(database: CrmDatabase, company_id: int, houses: Sequence[int], rest: _Rest | None = None) -> Desks:
    """Return the desks of these houses: those on duty, of one priority together, lowest first, and the others.

    A desk with a phone is rung there, through a trunk. Quiet hours count by the clock of the house called (`rest`);
    without one the desks themselves are called, and ring at any hour.
    """
    found: dict[int, list[Member]] = {}
    unfit = []
    named = houses or (_NO_HOUSE,)
    sql = DESKS.format(houses=", ".join("?" * len(named)))
    for priority, account, kind, phone, on_duty, enabled, *hours in database.rows(sql, (company_id, *named)):
        rings = bool(on_duty and enabled)
        why: LeftOut = "disabled" if on_duty else "off_duty"
        kind_rung = "phone" if phone else kind
        quiet = () if rest is None else rest.of(*hours)
        member = Member(account, kind_rung, rings, None, phone, quiet=quiet, answers_here=True, unfit=why)
        if rings:
            found.setdefault(priority, []).append(member)
        else:
            unfit.append(member)
    return Desks(tuple(tuple(members) for members in found.values()), tuple(unfit))


def time_zone(database: CrmDatabase, house_id: int) -> str:
    """Return the time zone of a house's city, or of its company's."""
    row = database.row(TIME_ZONE, (house_id,))
    return str(row[0]) if row is not None else "UTC"


def is_quiet(database: CrmDatabase, house_id: int, from_min: int | None, until_min: int | None, at_ms: int) -> bool:
    """Tell whether an account of a house keeps still at this moment."""
    return any(begin <= at_ms < end for begin, end in _Rest(database, house_id, at_ms).of(from_min, until_min))


class _Rest:
    """Quiet hours as moments; the time zone is read when the first account has any."""

    def __init__(self, database: CrmDatabase, house_id: int, now_ms: int) -> None:
        self._database = database
        self._house_id = house_id
        self._now_ms = now_ms
        self._time_zone = ""

    def of(self, from_min: int | None, until_min: int | None) -> tuple[Window, ...]:
        """Return when an account keeps still."""
        if from_min is None or until_min is None:
            return ()
        if not self._time_zone:
            self._time_zone = time_zone(self._database, self._house_id)
        try:
            return tuple(quiet_hours.windows(from_min, until_min, self._time_zone, self._now_ms))
        except UnreadableZoneError as error:
            # Calls fail open: a phone that rings at night is better than a visitor whom nobody hears.
            _log.error("quiet hours are not kept", reason=str(error), house=self._house_id)
            return ()


def _member(row: tuple[Any, ...], apartment_id: int, rest: _Rest) -> Member:
    account, kind, rings, phone = row[3:7]
    quiet_from, quiet_until, resident_id, ring_order = row[12:16]
    turn = None if resident_id is None else (ring_order or UNORDERED, resident_id)
    quiet = rest.of(quiet_from, quiet_until)
    return Member(
        account, kind, bool(rings), apartment_id, phone, bool(row[17]), turn, quiet, unfit=_unfit(enabled=row[19])
    )


def _unfit(*, enabled: bool) -> LeftOut:
    """Return why an account does not ring, if it does not: it is enabled, so its resident has gone."""
    return "residency_over" if enabled else "disabled"


def _stages(rows: list[tuple[Any, ...]], rest: _Rest) -> tuple[StageRule, ...] | None:
    if not rows:
        return None
    stages: dict[int, tuple[int, OnRefusal, bool, bool, list[TargetRule]]] = {}
    for row in rows:
        _, position, _, account, account_kind, rings, phone, one_by_one, ring_timeout_s, on_refusal, kind, home = row[
            :12
        ]
        rule = (ring_timeout_s, on_refusal, bool(row[16]), bool(one_by_one), list[TargetRule]())
        *_, targets = stages.setdefault(position, rule)
        if kind is not None:
            targets.append(TargetRule(kind=kind))
        elif account is not None:
            quiet = rest.of(row[12], row[13])
            answers_here = bool(row[18])
            member = Member(
                account, account_kind, bool(rings), home, phone, bool(row[17]), quiet=quiet, answers_here=answers_here,
                unfit=_unfit(enabled=row[19]),
            )  # fmt: skip
            targets.append(TargetRule(member=member))
    return tuple(
        StageRule(seconds, tuple(targets), on_refusal, confirm=confirm, one_by_one=one_by_one)
        for seconds, on_refusal, confirm, one_by_one, targets in stages.values()
    )
