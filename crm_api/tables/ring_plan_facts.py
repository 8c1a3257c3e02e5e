"""Everything a ring plan is decided from, read with two indexed statements in most cases (the call path: no ORM)."""

from __future__ import annotations

from dataclasses import dataclass
from operator import itemgetter
from typing import TYPE_CHECKING, Any, NamedTuple

import structlog

from crm_api.domain import quiet_hours
from crm_api.domain.numbering import Candidate, Place
from crm_api.domain.ring_plan import Desks, Door, Household, Member, PanelFacts, StageRule, TargetRule
from crm_api.domain.zones import UnreadableZoneError
from crm_api.tables.ring_plan_statements import (
    APARTMENT,
    DESKS,
    DISPATCH,
    HOUSEHOLDS,
    NAMED,
    PANEL,
    PANEL_AND_HOUSEHOLD,
    TIME_ZONE,
)

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crm_api.domain.quiet_hours import Window
    from crm_api.domain.ring_plan import LeftOut, OnRefusal
    from crm_api.tables.database import CrmDatabase

_log = structlog.get_logger("crm_api.ring_plans")

_MOST_PRESSED = 8
"""Digits of a code and of an apartment number."""
_MEMBER, _STOP, _LINE, _APARTMENT, _PANEL = range(5)
_NO_HOUSE = 0
"""PostgreSQL takes no empty list."""
UNORDERED = 100
"""Place of a resident who was given none: after the others."""


@dataclass(frozen=True)
class KnownPanel:
    """A panel and the places it serves."""

    facts: PanelFacts
    places: tuple[Place, ...]


_Parts = tuple[list[tuple[Any, ...]], ...]
"""Rows of `HOUSEHOLDS` by what they tell."""


@dataclass(frozen=True)
class Home:
    """What was read of an apartment, beside the panel that called."""

    house_id: int
    number: int
    parts: _Parts


def known_panel(database: CrmDatabase, account: str) -> KnownPanel | None:
    """Return the panel with this account, None when there is none."""
    return _panel_of([_PanelRow(*row) for row in database.rows(PANEL, (account,))])


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
    parameters = (len(dialled), dialled, dialled, account, now_ms, now_ms, now_ms)
    parts = _parts(database.rows(PANEL_AND_HOUSEHOLD, parameters))
    panel = _panel_of([_as_panel(row) for row in parts[_PANEL]])
    if not parts[_APARTMENT]:
        return panel, None
    row = parts[_APARTMENT][0]
    return panel, Home(row[15], row[13], parts)


class _PanelRow(NamedTuple):
    """A row of `PANEL`."""

    panel_id: int
    company_id: int
    name: str
    language: str
    talk_limit_s: int
    ring_timeout_s: int
    ring_limit_s: int
    message_limit_s: int
    records: bool
    door_id: int | None
    method: str | None
    dtmf: str | None
    place_id: int | None
    code: str
    house_id: int
    entrance_id: int | None
    output: int | None


def _as_panel(row: tuple[Any, ...]) -> _PanelRow:
    """Return a row as `PANEL` has it."""
    _, panel_id, place_id, name, language, records, method, _, company_id, talk_limit_s, ring_timeout_s = row[:11]
    ring_limit_s, _, message_limit_s, door_id, house_id, entrance_id, output, dtmf, code = row[11:]
    return _PanelRow(
        panel_id, company_id, name, language, talk_limit_s, ring_timeout_s, ring_limit_s, message_limit_s, records,
        door_id, method, dtmf, place_id or None, code, house_id, entrance_id, output,
    )  # fmt: skip


def _panel_of(rows: list[_PanelRow]) -> KnownPanel | None:
    """Return the panel of a row for each place and door: what `#` opens is its first door."""
    if not rows:
        return None
    rows.sort(key=lambda row: (row.output or 0, row.place_id or 0))
    first = rows[0]
    # To the call side a door opens by digits in the call, or by the CRM: through the panel's driver or a relay.
    by_digits = first.method == "dtmf"
    door = None
    if first.door_id is not None:
        door = Door(first.door_id, "dtmf" if by_digits else "http", first.dtmf if by_digits else None)
    facts = PanelFacts(
        company_id=first.company_id,
        caller_name=first.name,
        language=first.language,
        talk_limit_s=first.talk_limit_s,
        ring_timeout_s=first.ring_timeout_s,
        ring_limit_s=first.ring_limit_s,
        panel_id=first.panel_id,
        door=door,
        message_limit_s=first.message_limit_s,
        records=bool(first.records),
    )
    places = [row for row in rows if row.place_id is not None and row.output == first.output]
    return KnownPanel(facts, tuple(Place(row.code, row.house_id, row.entrance_id) for row in places))


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
        parameters = (*place, now_ms, now_ms, now_ms, candidate.house_id, company_id)
        parts = _parts(database.rows(HOUSEHOLDS[database.dialect], parameters))
    if not parts[_APARTMENT]:
        return None
    apartment_id, entrance_id = parts[_APARTMENT][0][1], parts[_APARTMENT][0][8]
    if candidate.entrance_id not in (None, entrance_id):
        return None
    for part in parts:
        part.sort(key=itemgetter(1, 2))
    rest = _Rest(database, candidate.house_id, now_ms)
    stages = _stages(parts[_LINE], _named(database, parts[_LINE], candidate.house_id, now_ms), rest)
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
    for priority, account, kind, phone, on_duty, enabled, wakes, *hours in database.rows(sql, (company_id, *named)):
        rings = bool(on_duty and enabled)
        why: LeftOut = "disabled" if on_duty else "off_duty"
        kind_rung = "phone" if phone else kind
        quiet = () if rest is None else rest.of(*hours)
        member = Member(
            account, kind_rung, rings, None, phone, bool(wakes), quiet=quiet, answers_here=True, unfit=why
        )  # fmt: skip
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
    account, kind, rings, phone, enabled, quiet_from, quiet_until, resident_id, ring_order, wakes = row[3:13]
    turn = None if resident_id is None else (ring_order or UNORDERED, resident_id)
    quiet = rest.of(quiet_from, quiet_until)
    return Member(
        account, kind, bool(rings), apartment_id, phone, bool(wakes), turn, quiet, unfit=_unfit(enabled=enabled)
    )


def _unfit(*, enabled: bool) -> LeftOut:
    """Return why an account does not ring, if it does not: it is enabled, so its resident has gone."""
    return "residency_over" if enabled else "disabled"


def _named(
    database: CrmDatabase, lines: Sequence[tuple[Any, ...]], house_id: int, now_ms: int
) -> Mapping[int, tuple[Any, ...]]:
    """Return the accounts that a kept plan names, by id: few plans name any."""
    named = sorted({line[9] for line in lines if line[9] is not None})
    if not named:
        return {}
    sql = NAMED.format(accounts=", ".join("?" * len(named)))
    return {row[0]: row[1:] for row in database.rows(sql, (now_ms, house_id, *named))}


def _stages(
    rows: list[tuple[Any, ...]], named: Mapping[int, tuple[Any, ...]], rest: _Rest
) -> tuple[StageRule, ...] | None:
    if not rows:
        return None
    stages: dict[int, tuple[int, OnRefusal, bool, bool, list[TargetRule]]] = {}
    for row in rows:
        position, _, kind, on_refusal, one_by_one, _, confirm, ring_timeout_s, account_id = row[1:10]
        rule = (ring_timeout_s, on_refusal, bool(confirm), bool(one_by_one), list[TargetRule]())
        *_, targets = stages.setdefault(position, rule)
        if kind is not None:
            targets.append(TargetRule(kind=kind))
        elif account_id in named:  # on PostgreSQL it may have been removed since
            account, account_kind, rings, phone, home, quiet_from, quiet_until, wakes, here, enabled = named[account_id]
            quiet = rest.of(quiet_from, quiet_until)
            member = Member(
                account, account_kind, bool(rings), home, phone, bool(wakes), quiet=quiet, answers_here=bool(here),
                unfit=_unfit(enabled=enabled),
            )  # fmt: skip
            targets.append(TargetRule(member=member))
    return tuple(
        StageRule(seconds, tuple(targets), on_refusal, confirm=confirm, one_by_one=one_by_one)
        for seconds, on_refusal, confirm, one_by_one, targets in stages.values()
    )
