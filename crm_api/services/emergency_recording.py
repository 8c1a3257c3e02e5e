"""Steps of emergency calls become records, leases' ends, and messages to centre and company: at once, and once each."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from crm_api.services.emergency_notices import Notices
from crm_api.services.number_leases import Leasing
from crm_api.tables.emergency import EmergencyCall, locked_call

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.call_record import Event
    from crm_api.services.context import Context

TEST_NUMBER: Final = "*112*"
KNOWN: Final = ("told by redis", "told by last_known")
"""Ends of the detail of a step `number` when the CRM could not be asked, and the panel used the number that it held."""
ENDED: Final = "ended"
HUNG_UP: Final = "hung_up"
"""Kamailio tells with this step that the panel's leg is over: FastAGI, which tells `ended`, may be dead."""
_MOST_STEPS: Final = 200
_REACHED: Final = frozenset({"rings", "answered"})
_FAILED: Final = frozenset({"way_failed", "trunk_failed"})
_PLACE: Final = """
SELECT v.panel_id, v.company_id, v.city_id FROM kamailio_emergency_panels v WHERE v.account = ?
"""


class EmergencyRecording:
    """Writes what the steps of one or more calls say; inside the caller's transaction, any number of times."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._leasing = Leasing(context)
        self._notices = Notices(context)

    def write(self, events: Sequence[Event]) -> None:
        """Add steps to their calls."""
        calls: dict[str, list[Event]] = {}
        for event in events:
            calls.setdefault(event.call_id, []).append(event)
        for call_id, steps in calls.items():
            self._write(call_id, sorted(steps, key=lambda step: step.at_ms))

    def _write(self, call_id: str, steps: list[Event]) -> None:
        row = locked_call(self._context.database, call_id)
        fresh = row is None
        known: list[dict[str, Any]] = [] if row is None else json.loads(str(row.steps))
        values: dict[str, Any] = {} if row is None else dict(row.__data__)
        told = [{"at_ms": step.at_ms, "step": step.step or "", "detail": step.detail or ""} for step in steps]
        new = [step for step, shown in zip(steps, told, strict=True) if shown not in known]
        if not new:
            return
        moves = int(values.get("moves", 0))
        for step in new:
            self._take(values, step)
        moved_at_ms = max((step.at_ms for step in new if step.moves > moves), default=None)
        values["call_id"] = call_id
        values["started_at_ms"] = (
            min(s.started_at_ms or s.at_ms for s in steps)
            if fresh
            else min(values["started_at_ms"], *(s.started_at_ms or s.at_ms for s in steps))
        )
        values.setdefault("direction", "out")
        merged = sorted([*known, *(s for s in told if s not in known)], key=lambda s: s["at_ms"])
        values["steps"] = json.dumps(merged[:_MOST_STEPS], ensure_ascii=False)
        if not values["test"]:
            values["result"] = _why_unanswered(values.get("result"), {s["step"] for s in merged})
        if fresh:
            EmergencyCall.insert(values).execute()
        else:
            EmergencyCall.update(values).where(EmergencyCall.call_id == call_id).execute()
        if moved_at_ms is not None:
            self._leasing.goes_on(call_id, moved_at_ms)
        self._follow(values, new, fresh=fresh)

    def _take(self, values: dict[str, Any], step: Event) -> None:
        """Take what a step says about the whole call."""
        if step.direction is not None:
            values["direction"] = step.direction
        for name in ("panel", "dialled", "number", "number_source"):
            told = getattr(step, name)
            if told is not None and (values.get(name) is None or name == "number"):
                values[name] = told
        if step.panel is not None and values.get("panel_id") is None:
            place = self._context.database.row(_PLACE, (step.panel,))
            if place is not None:
                values["panel_id"], values["company_id"], city_id = place
                values.setdefault("city_id", city_id)
        if step.city_id is not None:
            values["city_id"] = step.city_id
        values["test"] = bool(values.get("test")) or step.dialled == TEST_NUMBER
        self._take_move(values, step)
        self._take_step(values, step)

    @staticmethod
    def _take_step(values: dict[str, Any], step: Event) -> None:
        if step.step == "dial":
            values["route"] = step.detail
        elif step.step == "answered":
            values["answered_at_ms"] = step.at_ms
            values["route"] = step.detail
            if not values.get("test"):  # who has asked for the test says what came of it
                values["result"] = values.get("result") or "answered"
        elif step.step == ENDED and step.moves == values["moves"]:
            values["ended_at_ms"] = values.get("ended_at_ms") or step.at_ms
            values["result"] = step.result if not values.get("test") else values.get("result")
        elif step.step == HUNG_UP and not values.get("test"):
            values["ended_at_ms"] = values.get("ended_at_ms") or step.at_ms

    @staticmethod
    def _take_move(values: dict[str, Any], step: Event) -> None:
        """Forget the end that was told before the call had moved so often: by a node that it goes on without."""
        if step.moves <= values.setdefault("moves", 0):
            return
        values["moves"], values["ended_at_ms"] = step.moves, None
        if not values.get("test"):
            values["result"] = None if values.get("answered_at_ms") is None else "answered"

    def _follow(self, values: dict[str, Any], steps: list[Event], *, fresh: bool) -> None:
        """Do what follows: end the lease's call, record the lease that could not be taken, tell centre and company."""
        for step in steps:
            if step.step in {"number", "dial"} and step.number and step.panel and values["direction"] == "out":
                self._leasing.late(step.number, step.panel, step.call_id, step.at_ms)
                if step.step == "number" and (step.detail or "").endswith(KNOWN):
                    self._leasing.renewed_late(step.number, step.panel, step.call_id, step.at_ms)
            elif step.step == HUNG_UP and values["test"]:
                continue
            elif step.step == HUNG_UP or (step.step == ENDED and step.moves == values["moves"]):
                self._leasing.ended(step.call_id, step.at_ms)
        if values["test"] and values.get("number_source") == "leased" and values.get("ended_at_ms") is not None:
            # Free again at once; that it was leased may be told after the end.
            self._leasing.free(str(values["call_id"]), int(values["ended_at_ms"]))
        if fresh and values["direction"] == "out" and not values["test"]:
            self._notices.emergency_call(values)


def _why_unanswered(told: str | None, steps: set[str]) -> str | None:
    """Return the result by what Kamailio has told, which comes in any order: to Asterisk all of it is `no_answer`."""
    if told in (None, "no_answer", "failed") and not steps & _REACHED:
        if "no_way" in steps:
            return "no_way"
        if told and steps & _FAILED:
            return "failed"
    return told
