"""Access codes typed at panels that send them as a call: the door opens, or the wrong one is counted.

Somebody who tries codes is stopped at the panel and at its entrance or gate, whichever panel of it he tries next.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

from crm_api.services.access_codes import Typed
from crm_api.services.context import Tenant, find
from crm_api.services.door_openings import Opening
from crm_api.services.kept import Document, Kept
from crm_api.tables import code_locks, ring_plan_facts
from crm_api.tables.code_locks import CodeLock
from crm_api.tables.models import Door

if TYPE_CHECKING:
    from crm_api.domain.inputs.calls import CodeEntry
    from crm_api.domain.ring_plan import PanelFacts
    from crm_api.services.access_codes import AccessCodes
    from crm_api.services.context import Context
    from crm_api.services.door_openings import DoorOpenings

SHUT: Final = ("refused", "failed")
"""Results that open nothing; what is `granted` is the panel's to open."""


class CodeLocks(Kept[CodeLock]):
    """Locks that wrong codes have brought about; removing one ends it."""

    noun = "code lock"
    comes_and_goes = True
    model = CodeLock

    def remove(self, tenant: Tenant, key: int) -> None:
        """Take codes again, from now."""
        with self.database.transaction():
            self.row(tenant, key).delete_instance()


class CodeEntries:
    """Decides about codes that were typed."""

    def __init__(self, context: Context, codes: AccessCodes, openings: DoorOpenings) -> None:
        self._context = context
        self._codes = codes
        self._openings = openings

    def typed(self, entry: CodeEntry, asked_s: float) -> Document:
        """Open, grant, or refuse what was asked then (monotonic seconds); the code itself is written nowhere."""
        at_ms = self._context.now_ms()
        database = self._context.database
        known = ring_plan_facts.known_panel(database, entry.panel)
        if known is None:
            return self._told(Opening("refused", f"there is no panel {entry.panel}"), None, None, None)
        facts = known.facts
        typed, until_ms = self._judged(facts, entry.code, at_ms)
        opening = self._opened(facts, asked_s) if typed.opens else Opening("refused", typed.reason)
        if typed.used_up and opening.result in SHUT:
            opening = self._not_used(int(typed.code_id or 0), opening)
        record_id = self._openings.record(
            opening,
            at_ms=at_ms,
            company_id=facts.company_id,
            panel_id=facts.panel_id,
            apartment_id=typed.apartment_id,
            access_code_id=typed.code_id,
            panel=entry.panel,
            door_id=facts.door.door_id if facts.door else None,
            call_id=entry.call_id,
        )
        return self._told(opening, facts, until_ms, record_id)

    def _judged(self, facts: PanelFacts, code: str, at_ms: int) -> tuple[Typed, int | None]:
        """Say what comes of a code, and until when no other is taken (None: it is not locked)."""
        database = self._context.database
        with database.transaction():
            places = code_locks.places_of(database, facts.panel_id)
            until_ms = code_locks.locked_until_ms(database, facts.company_id, places, at_ms)
            if until_ms is not None:
                return Typed(False, "too many wrong codes: none is taken now"), until_ms
            typed = self._codes.typed(facts.panel_id, code)
            if typed.opens:
                code_locks.forget(database, places)
                return typed, None
            return typed, code_locks.count_wrong(database, facts.company_id, places, at_ms)

    def _not_used(self, code_id: int, opening: Opening) -> Opening:
        """Give a single-use code back whose door stayed shut: its courier may try again, at another door, too.

        Used up before the door is asked and given back after, so that of two entries at once one opens at most. A door
        that may have opened has used the code: it must not open twice.
        """
        if opening.may_be_open:
            return replace(opening, reason=f"{opening.reason}; the code is used up, as the door may have opened")
        self._codes.give_back(code_id)
        return opening

    def _opened(self, facts: PanelFacts, asked_s: float) -> Opening:
        if facts.door is None:
            return Opening("refused", "this panel opens no door")
        if facts.door.method == "dtmf":
            return Opening("granted", "send the digits to the panel", "dtmf")
        return self._openings.driven(find(Tenant(None), Door, "door", facts.door.door_id), asked_s)

    @staticmethod
    def _told(opening: Opening, facts: PanelFacts | None, until_ms: int | None, record_id: int | None) -> Document:
        door: Document | None = None
        if facts is not None and facts.door is not None:
            door = {"door_id": facts.door.door_id, "method": facts.door.method}
            if opening.result == "granted":
                door["dtmf"] = facts.door.dtmf
        return {
            "result": opening.result,
            "reason": opening.reason,
            "language": "en" if facts is None else facts.language,
            "locked_until_ms": until_ms,
            "door": door,
            "access_record_id": record_id,
        }
