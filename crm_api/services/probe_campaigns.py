"""Campaigns of quality probes: drafts, their start and end, what a dry run tells, how far they are."""

from __future__ import annotations

import json
from collections import Counter
from datetime import date
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crm_api.domain.probe_forecast import forecast
from crm_api.domain.probe_hours import DAY_MINUTES, LOOKED_AHEAD_DAYS, Hours
from crm_api.domain.probe_plan import Candidate, Limits, Planner
from crm_api.domain.problems import ConflictError
from crm_api.services.audit import audited
from crm_api.services.context import Tenant, find
from crm_api.services.groups import GroupApartments
from crm_api.services.kept import Document, Kept, Listed, company_for
from crm_api.services.probe_panels import panels_of_entrances
from crm_api.services.probe_recordings import kept_until_ms
from crm_api.services.timetable import PLATFORM_ZONE
from crm_api.tables.models import Apartment, Company, House
from crm_api.tables.people import Group
from crm_api.tables.probes import ProbeCall, ProbeCampaign

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs.probes import NewProbeCampaign
    from crm_api.services.context import Context

WEEKDAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
TYPICAL_CALL_S: Final = {1: 30, 2: 40, 3: 15}
"""What a dry run takes a call for: ringing, announcement, grade, sentence."""
LONGEST_CALL_S: Final = {1: 60, 2: 90, 3: 30}
SHOWN: Final = 100

REFUSED: Final = "the residents said no"
NO_PANEL: Final = "no panel reaches it"
_LISTS: Final = ("selection", "hours", "holidays")

_ALL: Final = "SELECT a.id FROM apartments a WHERE a.company_id = ?"
_OF_HOUSES: Final = "SELECT a.id FROM apartments a WHERE a.company_id = ? AND a.house_id IN ({marks})"
_NAMED: Final = "SELECT a.id FROM apartments a WHERE a.company_id = ? AND a.id IN ({marks})"
_AT_ONCE: Final = 500
_FACTS: Final = "SELECT id, entrance_id, probes_refused FROM apartments WHERE company_id = ?"
_PROBED: Final = """
SELECT apartment_id, max(ended_at_ms) FROM probe_calls WHERE company_id = ? AND verdict IS NOT NULL
GROUP BY apartment_id
"""
_WAITING: Final = """
SELECT a.id, a.entrance_id, a.probes_refused, i.not_before_ms FROM probe_items i
JOIN apartments a ON a.id = i.apartment_id WHERE i.campaign_id = ? AND i.state = 'waiting'
"""
_ITEMS: Final = """
INSERT INTO probe_items (company_id, campaign_id, apartment_id, state, reason)
SELECT a.company_id, ?, a.id, ?, ? FROM apartments a WHERE a.id IN ({marks}) ON CONFLICT DO NOTHING
"""
_STATES: Final = """
SELECT campaign_id, state, count(*) FROM probe_items WHERE campaign_id IN ({marks}) GROUP BY campaign_id, state
"""
_VERDICTS: Final = """
SELECT campaign_id, verdict, count(*) FROM probe_calls WHERE campaign_id IN ({marks}) AND verdict IS NOT NULL
GROUP BY campaign_id, verdict
"""


class Chosen(NamedTuple):
    """An apartment of a campaign: the panel that calls it, why it is left out (None: it is called), and from when."""

    panel: str
    entrance_id: int
    reason: str | None
    not_before_ms: int = 0


def _choice(panel: str | None, entrance_id: int, refused: bool, not_before_ms: int = 0) -> Chosen:
    reason = REFUSED if refused else NO_PANEL if panel is None else None
    return Chosen(panel or "", entrance_id, reason, not_before_ms)


def _find_all(company_id: int, selection: dict[str, Any]) -> None:
    """See that the company has every house, group and apartment that is named."""
    company = Tenant.of(company_id)
    for noun, model in (("house", House), ("group", Group), ("apartment", Apartment)):
        for key in selection[f"{noun}_ids"]:
            find(company, model, noun, key)


class ProbeCampaigns(Kept[ProbeCampaign]):
    """Campaigns."""

    noun = "probe campaign"
    model = ProbeCampaign

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._groups = GroupApartments(context)

    def documents(self, rows: Sequence[ProbeCampaign]) -> list[Document]:
        """Show each campaign with its progress."""
        ids = [row.id for row in rows]
        states, verdicts = self._counted(_STATES, ids), self._counted(_VERDICTS, ids)
        shown = []
        for row in rows:
            found = states.get(row.id, {})
            names = ("waiting", "calling", "done", "given_up", "left_out")
            shown.append({
                **row.__data__,
                **{name: json.loads(str(getattr(row, name))) for name in _LISTS},
                "progress": {**{n: found.get(n, 0) for n in names}, "verdicts": verdicts.get(row.id, {})},
            })  # fmt: skip
        return shown

    def create(self, tenant: Tenant, new: NewProbeCampaign) -> Document:
        """Make a draft."""
        with self.database.transaction():
            company_id = company_for(tenant, new.company_id)
            _find_all(company_id, new.selection.model_dump())
            values = new.model_dump(mode="json", by_alias=True, exclude={"company_id", *_LISTS})
            values["language"] = new.language or Company.get_by_id(company_id).language
            lists = new.model_dump(mode="json", by_alias=True, include=set(_LISTS))
            row = ProbeCampaign.create(
                company_id=company_id,
                state="draft",
                created_at_ms=self.context.now_ms(),
                **values,
                **{name: json.dumps(value) for name, value in lists.items()},
            )
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a draft, or when and how fast a campaign calls that is paused."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.state not in {"draft", "paused"}:
                raise ConflictError(f"The campaign is {row.state}: pause it first")
            if row.state == "paused" and (decided := sorted(values.keys() & {"kind", "selection"})):
                raise ConflictError(f"{decided[0]}: decided when the campaign was started; stop it and make another")
            if "selection" in values:
                _find_all(int(str(row.company_id)), values["selection"])
            if "hours" in values:
                values["hours"] = [
                    {name.rstrip("_"): value for name, value in span.items()} for span in values["hours"]
                ]
            for name in values.keys() & set(_LISTS):
                values[name] = json.dumps(values[name], default=str)
            self.update(row, **values)
            if row.state == "paused":
                self._check_hours(self.row(tenant, key))
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a draft, or a campaign that is over, with its calls."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.state in {"running", "paused"}:
                raise ConflictError(f"The campaign is {row.state}: stop it first")
            row.delete_instance()

    def start(self, tenant: Tenant, key: int) -> Document:
        """Start a draft: whom it calls is decided now."""
        if self.row(tenant, key).state == "draft":
            # Before the transaction, which would keep other starts, and PostgreSQL's own care of the tables, from them.
            self.database.analyze("apartments", "panel_places", "panels", "accounts", "probe_items")
        return self._start(tenant, key)

    @audited("start")
    def _start(self, tenant: Tenant, key: int) -> Document:
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.state != "draft":
                raise ConflictError(f"The campaign is {row.state}: only a draft is started")
            self._check_hours(row)
            chosen = self._chosen(row)
            of_reason: dict[str | None, list[int]] = {}
            for apartment_id, one in chosen.items():
                of_reason.setdefault(one.reason, []).append(apartment_id)
            for reason, ids in of_reason.items():
                state = "waiting" if reason is None else "left_out"
                for first in range(0, len(ids), _AT_ONCE):
                    batch = ids[first : first + _AT_ONCE]
                    sql = _ITEMS.format(marks=",".join("?" * len(batch)))
                    self.database.rows(sql, (key, state, reason, *batch))
            waiting = any(one.reason is None for one in chosen.values())
            now_ms = self.context.now_ms()
            self.update(
                row,
                state="running" if waiting else "done",
                started_at_ms=now_ms,
                finished_at_ms=None if waiting else now_ms,
            )
        return self.got(tenant, key)

    @audited("pause")
    def pause(self, tenant: Tenant, key: int) -> Document:
        """Begin no more calls; those that run end as they would."""
        return self._turn(tenant, key, {"running"}, "paused")

    @audited("resume")
    def resume(self, tenant: Tenant, key: int) -> Document:
        """Go on after a pause."""
        return self._turn(tenant, key, {"paused"}, "running")

    @audited("stop")
    def stop(self, tenant: Tenant, key: int) -> Document:
        """End a campaign for good."""
        return self._turn(tenant, key, {"running", "paused"}, "stopped", finished_at_ms=self.context.now_ms())

    def dry_run(self, tenant: Tenant, key: int) -> Document:
        """Tell whom the campaign would call when, and when it would end; nothing is called.

        Once it is started these are the apartments that still wait, each once more.
        """
        row = self.row(tenant, key)
        chosen = self._chosen(row) if row.state == "draft" else self._waiting(row)
        called = [
            Candidate(apartment_id, panel, entrance_id, not_before_ms)
            for apartment_id, (panel, entrance_id, reason, not_before_ms) in chosen.items()
            if reason is None
        ]
        told = forecast(
            self.hours(row),
            limits_of(row),
            called,
            self.context.now_ms(),
            TYPICAL_CALL_S[int(str(row.kind))],
            shown=SHOWN,
        )
        return {
            "apartments": len(chosen),
            "left_out": dict(Counter(one.reason for one in chosen.values() if one.reason is not None)),
            "calls": told.calls,
            "begins_at_ms": told.begins_at_ms,
            "ends_at_ms": told.ends_at_ms if called else None,
            "first": [{"apartment_id": one.item_id, "panel": one.panel, "at_ms": one.at_ms} for one in told.first],
        }

    def hours(self, row: ProbeCampaign) -> Hours:
        """Return when a campaign may call."""
        return hours_of(str(row.hours), str(row.holidays), self.zone(row))

    def zone(self, row: ProbeCampaign) -> str:
        """Return the zone of a campaign's hours: its own, or that of the company's city."""
        if row.zone is not None:
            return str(row.zone)
        found = self.database.row(
            "SELECT t.time_zone FROM companies c JOIN cities t ON t.id = c.city_id WHERE c.id = ?", (row.company_id,)
        )
        return PLATFORM_ZONE if found is None else str(found[0])

    def _check_hours(self, row: ProbeCampaign) -> None:
        limits = limits_of(row)
        if Planner(self.hours(row), limits, (), self.context.now_ms()).window(self.context.now_ms()) is None:
            raise ConflictError(
                f"The campaign's hours never come: within {LOOKED_AHEAD_DAYS} days no span of them, holidays left out,"
                f" has room for a call of {limits.longest_call_s} s; give it other hours"
            )

    def _turn(self, tenant: Tenant, key: int, before: set[str], after: str, **values: Any) -> Document:
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.state not in before:
                raise ConflictError(f"The campaign is {row.state}, not {' or '.join(sorted(before))}")
            self.update(row, state=after, **values)
        return self.got(tenant, key)

    def _waiting(self, row: ProbeCampaign) -> dict[int, Chosen]:
        """Return the apartments that a campaign still has to call; none of one that is over."""
        if row.state not in {"running", "paused"}:
            return {}
        panels = panels_of_entrances(self.database, int(str(row.company_id)))
        return {
            apartment_id: _choice(panels.get(entrance_id), entrance_id, refused, not_before_ms)
            for apartment_id, entrance_id, refused, not_before_ms in self.database.rows(_WAITING, (row.id,))
        }

    def _chosen(self, row: ProbeCampaign) -> dict[int, Chosen]:
        """Return each apartment selected."""
        company_id, selection = int(str(row.company_id)), json.loads(str(row.selection))
        chosen: set[int] = set()
        for name, statement in (("house_ids", _OF_HOUSES), ("apartment_ids", _NAMED)):
            keys = selection[name]
            for first in range(0, len(keys), _AT_ONCE):
                batch = keys[first : first + _AT_ONCE]
                sql = statement.format(marks=",".join("?" * len(batch)))
                chosen |= {key for (key,) in self.database.rows(sql, (company_id, *batch))}
        for key in selection["group_ids"]:
            chosen |= set(self._groups.ids(Tenant.of(company_id), key))
        if not any(selection[name] for name in ("house_ids", "group_ids", "apartment_ids")):
            chosen = {key for (key,) in self.database.rows(_ALL, (company_id,))}
        chosen -= self._probed_since(company_id, selection["not_probed_days"])
        panels = panels_of_entrances(self.database, company_id)
        return {
            apartment_id: _choice(panels.get(entrance_id), entrance_id, refused)
            for apartment_id, entrance_id, refused in self.database.rows(_FACTS, (company_id,))
            if apartment_id in chosen
        }

    def _probed_since(self, company_id: int, days: int | None) -> set[int]:
        """Return the apartments that were probed within so many days; nobody when it does not matter."""
        if days is None:
            return set()
        since_ms = self.context.now_ms() - days * 86_400_000
        probed = self.database.rows(_PROBED, (company_id,))
        return {apartment_id for apartment_id, at_ms in probed if at_ms is not None and at_ms > since_ms}

    def _counted(self, statement: str, ids: Sequence[Any]) -> dict[int, dict[str, int]]:
        counted: dict[int, dict[str, int]] = {}
        if ids:
            for campaign_id, name, count in self.database.rows(statement.format(marks=",".join("?" * len(ids))), ids):
                counted.setdefault(campaign_id, {})[name] = count
        return counted


def hours_of(hours: str, holidays: str, zone: str) -> Hours:
    """Return the hours that a campaign keeps as JSON."""
    of_weekday: dict[int, list[tuple[int, int]]] = {}
    for span in json.loads(hours):
        of_weekday.setdefault(WEEKDAYS.index(span["day"]), []).append((_minute(span["from"]), _minute(span["until"])))
    return Hours(
        zone,
        {day: tuple(sorted(spans)) for day, spans in of_weekday.items()},
        frozenset(date.fromisoformat(day) for day in json.loads(holidays)),
    )


def limits_of(row: ProbeCampaign) -> Limits:
    """Return how much a campaign may call."""
    numbers: Any = row
    return Limits(
        numbers.calls_at_once,
        numbers.entrance_calls_per_minute,
        numbers.panel_pause_s,
        numbers.ring_timeout_s + LONGEST_CALL_S[numbers.kind],
    )


def _minute(clock: str) -> int:
    hour, minute = map(int, clock.split(":"))
    return min(DAY_MINUTES, hour * 60 + minute)


class ProbeCalls(Listed[ProbeCall]):
    """Probe calls and their verdicts."""

    noun = "probe call"
    model = ProbeCall

    def documents(self, rows: Sequence[ProbeCall]) -> list[Document]:
        """Show calls with reasons and measures as lists and documents."""
        return [
            {
                **{name: value for name, value in row.__data__.items() if name not in {"item_id", "recording"}},
                "recording_kept_until_ms": kept_until_ms(row),
                "reasons": json.loads(str(row.reasons)) if row.reasons else [],
                "measures": json.loads(str(row.measures)) if row.measures else None,
            }
            for row in rows
        ]
