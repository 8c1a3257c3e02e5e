"""Call events become records: batches in, one transaction each, exactly one row a call."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

import msgspec
import structlog

from crm_api.domain import call_record
from crm_api.domain.call_record import Event
from crm_api.domain.numbering import candidate
from crm_api.domain.phone_limits import month_of
from crm_api.domain.problems import ConflictError
from crm_api.services.changes import Changes
from crm_api.services.emergency_recording import EmergencyRecording
from crm_api.tables import call_record_rows, caller_facts, phone_rows, ring_plan_facts, webhook_rows
from crm_api.tables.database import ValueErrors
from crm_api.tables.opening_houses import house_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.call_record import Call
    from crm_api.services.context import Context
    from crm_api.tables.ring_plan_facts import KnownPanel

PANELS_REMEMBERED_MS: Final = 60_000
UNKNOWN_CURRENCY: Final = "XXX"
"""ISO 4217 for no currency: the trunk is known no more."""
OPENED: Final = ("sent", "opened")
DOOR_RESULTS: Final = ("granted", "sent", "opened", "refused", "failed")

_log = structlog.get_logger("crm_api.call_records")
_all_events = msgspec.json.Decoder(list[Event])
_raw_events = msgspec.json.Decoder(list[msgspec.Raw])
_one_event = msgspec.json.Decoder(Event)


class Belongs(NamedTuple):
    """Whose call it was; None where nobody can tell."""

    company_id: int | None
    panel_id: int | None
    apartment_id: int | None
    house_id: int | None


NOBODY: Final = Belongs(None, None, None, None)


class CallRecording:
    """Writes records of calls from entries of the stream (each a JSON array of events)."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._panels: dict[str, KnownPanel | None] = {}
        self._apartments: dict[tuple[str, str | None], Belongs] = {}
        self._panels_read_at_ms = 0
        self._listening: frozenset[int] = frozenset()
        self._emergency = EmergencyRecording(context)

    def record(self, entries: Sequence[tuple[str, bytes]]) -> None:
        """Write what these (entry id, JSON) say, in one transaction.

        An entry that the database refuses is written about in the log and left out; the others are kept. A database
        that is away raises, and the entries can be given again.
        """
        decoded = [(entry_id, events_of(entry_id, body)) for entry_id, body in entries]
        try:
            self._write([event for _, events in decoded for event in events])
        except (ConflictError, *ValueErrors):
            self._forget()
            for entry_id, events in decoded:
                try:
                    self._write(events)
                except (ConflictError, *ValueErrors) as error:
                    calls = sorted({event.call_id for event in events})
                    _log.error("entry left out", entry_id=entry_id, call_id=calls, reason=str(error))

    def _write(self, events: Sequence[Event]) -> None:
        calls: dict[str, Call] = {}
        emergency = [event for event in events if event.event == "emergency"]
        for event in events:
            if event.event != "emergency" or event.step == "answered":
                call_record.add(calls, event)
        if not calls and not emergency:
            return
        database = self._context.database
        with database.transaction():
            self._listening = webhook_rows.listening(database)
            self._emergency.write(emergency)
            belongs = {
                call.call_id: self._belongs(call.panel, call.dialled, call.started_at_ms) for call in calls.values()
            }
            call_record_rows.write_calls(
                database,
                [
                    (
                        call.call_id,
                        *belongs[call.call_id],
                        call.panel,
                        call.dialled,
                        call.dialled_late,
                        call.started_at_ms,
                        call.ended_at_ms,
                        call.talk_ms,
                        call.answered_at_ms,
                        call.answered_by,
                        call.result,
                        call.reason,
                        call.cause,
                        call.plan_source,
                        call.moves,
                        b"\n".join([*call.story, b""]).decode(),
                    )
                    for call in calls.values()
                ],
            )
            call_record_rows.write_branches(
                database,
                [
                    (
                        call.call_id,
                        *key,
                        b.contact,
                        b.outcome,
                        b.sip_status,
                        b.invited_at_ms,
                        b.ringing_at_ms,
                        b.ended_at_ms,
                    )
                    for call in calls.values()
                    for key, b in call.branches.items()
                ],
            )
            passed_to = [(call.call_id, home) for call in calls.values() for home in sorted(call.passed_to)]
            database.many(call_record_rows.PASSED_TO, passed_to)
            call_record_rows.write_panels_seen(
                database,
                [(call.started_at_ms, belongs[call.call_id].panel_id) for call in calls.values() if call.panel],
            )
            for call in calls.values():
                for door in call.doors:
                    self._write_door(door)
                if call.ending is not None:
                    self._announce_end(belongs[call.call_id].company_id, call)
            # In the order of what is counted with them: writers that wait for each other would end in a deadlock.
            phones = [
                # Its own household's, whoever was called; nobody's of a desk's.
                (self._at_home_of(phone.account, belongs[call.call_id]), phone)
                for call in calls.values()
                for phone in call.phones
            ]
            for whose, phone in sorted(phones, key=lambda one: (one[0].company_id or 0, one[0].apartment_id or 0)):
                self._write_phone(phone, whose)

    def _announce_end(self, company_id: int | None, call: Call) -> None:
        """Have the end told, unless the call has moved and goes on: then what is to be told of it is withdrawn."""
        if company_id not in self._listening:
            return
        database = self._context.database
        if database.row(call_record_rows.RESULT, (call.call_id,)) == (None,):
            database.rows(webhook_rows.WITHDRAW, ("call.ended", call.call_id))
        else:
            self._announce(company_id, "call.ended", call.call_id)

    def _write_door(self, door: Event) -> None:
        """Complete the record that the CRM made when it gave the permission, or make one (permission still fresh).

        Whose the new one is the event tells by itself: the number of its call is of an earlier batch, or another one
        since a desk has passed it on. An event of an older FastAGI, or of an access code, has none.
        """
        database = self._context.database
        result = door.result if door.result in DOOR_RESULTS else "failed"
        account = door.account or ""
        known_id = door.access_record_id
        if known_id is None:
            before_ms, after_ms = call_record_rows.MERGED_WINDOW_MS
            window = (door.call_id, account, door.at_ms - before_ms, door.at_ms + after_ms, door.at_ms)
            known = database.row(call_record_rows.SAME_OPENING, window)
            known_id = None if known is None else known[0]
        if known_id is not None:
            completed = (result, door.at_ms, known_id, door.call_id)
            for (company_id,) in database.rows(call_record_rows.DOOR_OF_RECORD, completed):
                self._announce_door(company_id, result, known_id)
            return
        belongs, panel = self._belongs_at(door)
        house_id = belongs.house_id or house_of(database, door_id=door.door_id, panel_id=belongs.panel_id)
        where = (belongs.panel_id, belongs.apartment_id, house_id)
        whose = (belongs.company_id, door.at_ms, *where, panel, door.door_id)
        how = (account, door.call_id, door.key, door.method, result, door.reason, door.at_ms)
        for (made_id,) in database.rows(call_record_rows.DOOR, whose + how):
            self._announce_door(belongs.company_id, result, made_id)

    def _belongs_at(self, door: Event) -> tuple[Belongs, str]:
        """Return whose an opening was, and at which panel.

        Where no panel calls, whoever pressed the key tells whose: he looks through a panel, which he has called by its
        account, or was called by a neighbour or a desk, and opens nothing. `DoorOpenings._at` tells the same of an
        opening that the CRM permits, by its plan; here the plan is no longer known.
        """
        database, panel, dialled = self._context.database, door.panel or "", door.dialled
        if dialled is None:
            known = database.row(call_record_rows.DIALLED, (door.call_id,))
            dialled = None if known is None else known[0]
        belongs = self._belongs(door.panel, dialled, door.at_ms)
        if belongs.panel_id is None or dialled == panel:
            belongs = self._at_home_of(door.account, belongs)
        at = database.row(call_record_rows.DOOR_AT, (door.door_id, belongs.company_id))
        if at is not None:
            belongs, panel = belongs._replace(panel_id=at[0]), at[1]
        return belongs, panel

    def _announce_door(self, company_id: int | None, result: str, record_id: int) -> None:
        if result in OPENED:
            self._announce(company_id, "door.opened", str(record_id))

    def _announce(self, company_id: int | None, event: str, subject: str) -> None:
        if company_id in self._listening:
            webhook_rows.announce(self._context.database, company_id, event, subject, self._context.now_ms())

    def _write_phone(self, phone: Event, belongs: Belongs) -> None:
        """Keep how long a phone was on a trunk and what that costs, once."""
        database = self._context.database
        price = database.row(call_record_rows.PRICE, (phone.trunk or "",))
        micros, currency, step_s = price or (0, UNKNOWN_CURRENCY, 1)
        seconds, cost_micros = call_record.billed(phone.phone_ms or 0, step_s, micros)
        whose = (phone.call_id, phone.stage or 0, phone.account or "", int(phone.branch or 0))
        where = (belongs.company_id, belongs.apartment_id, phone.trunk or "")
        length = (phone.at_ms, phone.phone_ms or 0, seconds, cost_micros, currency)
        connected = phone.confirmed != call_record.NOT_CONFIRMED
        database.rows(call_record_rows.PHONE_LEG, (*whose, *where, *length, connected))
        self._look_at_limits(belongs)

    def _look_at_limits(self, belongs: Belongs) -> None:
        """When the month's minutes are used up, have plans decided anew without phones, and with them next month."""
        if belongs.company_id is None:
            return
        now_ms = self._context.now_ms()
        limits = phone_rows.limits(self._context.database, belongs.company_id, belongs.apartment_id, now_ms)
        if limits.is_used_up:
            changes = Changes(self._context)
            changes.scope("company", belongs.company_id)
            changes.scope_at(month_of(now_ms)[1], "company", belongs.company_id)

    def _at_home_of(self, account: str | None, belongs: Belongs) -> Belongs:
        """Return the same with the household of an account of that company; a desk has none."""
        home = self._context.database.row(call_record_rows.HOME, (account or "", belongs.company_id))
        apartment_id, house_id = home or (None, None)
        return belongs._replace(apartment_id=apartment_id, house_id=house_id)

    def _belongs(self, panel: str | None, dialled: str | None, at_ms: int) -> Belongs:
        """Say whose a call is. It is asked again and again while its events come, so what was found is remembered."""
        if panel is None:
            return NOBODY
        now_ms = self._context.now_ms()
        if now_ms - self._panels_read_at_ms > PANELS_REMEMBERED_MS:
            self._forget()
            self._panels_read_at_ms = now_ms
        if panel not in self._panels:
            self._panels[panel] = ring_plan_facts.known_panel(self._context.database, panel)
        known = self._panels[panel]
        if known is None:
            return self._belongs_to_caller(panel, at_ms)
        key = (panel, dialled)
        if (remembered := self._apartments.get(key)) is not None:
            return remembered
        belongs = self._belongs_behind(known, dialled or "")
        if belongs.apartment_id is not None:  # one that is not there may be there the next moment
            self._apartments[key] = belongs
        return belongs

    def _belongs_to_caller(self, account: str, at_ms: int) -> Belongs:
        caller = caller_facts.known_caller(self._context.database, account, at_ms)
        if caller is None:
            return NOBODY
        return Belongs(caller.facts.company_id, None, caller.apartment_id, caller.house_id)

    def _belongs_behind(self, panel: KnownPanel, dialled: str) -> Belongs:
        meant = candidate(panel.places, dialled)
        apartment_id = None if meant is None else ring_plan_facts.apartment_id(self._context.database, meant)
        house_id = None if meant is None or apartment_id is None else meant.house_id
        return Belongs(panel.facts.company_id, panel.facts.panel_id, apartment_id, house_id)

    def _forget(self) -> None:
        self._panels.clear()
        self._apartments.clear()


def events_of(entry_id: str, body: bytes) -> list[Event]:
    """Decode an entry; what is broken in it is logged and left out, what is whole is kept."""
    try:
        return _all_events.decode(body)
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError) as error:
        first_error = str(error)
    events = []
    try:
        for raw in _raw_events.decode(body):
            try:
                events.append(_one_event.decode(raw))
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                _log.error("event left out", entry_id=entry_id, reason=str(error), body=bytes(raw)[:200])
    except (msgspec.DecodeError, msgspec.ValidationError, UnicodeDecodeError):
        _log.error("entry left out", entry_id=entry_id, reason=first_error, body=body[:200])
    return events
