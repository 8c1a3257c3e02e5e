"""Test calls: an operator asks, `python -m crm_api.emergency` places them as the panel, steps are their record."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final
from uuid import uuid4

from crm_api.adapters.sip_probe import ProbeCall, SipProbe
from crm_api.domain.problems import ConflictError, InvalidFieldsError
from crm_api.services.audit import AuditTrail, Entry
from crm_api.services.context import visible
from crm_api.services.emergency_calls import EmergencyCalls
from crm_api.tables.emergency import EmergencyCall, locked_call
from crm_api.tables.models import Account, Panel

if TYPE_CHECKING:
    from crm_api.domain.inputs.emergency import NewTestCall
    from crm_api.services.context import Context, Tenant
    from crm_api.services.kept import Document

NUMBER: Final = "*112*"
ASKED, PLACED, FAILED = "asked", "placed", "failed"
GIVEN_UP_MS: Final = 120_000
"""A test call that nobody has placed for so long is not placed any more."""
LONGEST_MS: Final = 60_000
"""So long after that also one that was placed at the last moment has told its end."""
GIVE_UP_EVERY_S: Final = 5.0

MOST_OPEN: Final = 5
"""Test calls of one company at once: they are placed one after the other, for everybody."""

# Asked twice a second, so it costs one look at an index, and takes no lock.
_ANY: Final = "SELECT 1 FROM emergency_calls WHERE test = {true} AND result IS NULL AND started_at_ms > ? LIMIT 1"
# Those that a panel has dialled are never asked for and have no result: they are passed once.
_LATE: Final = """
SELECT call_id FROM emergency_calls WHERE test = {true} AND result IS NULL AND started_at_ms > ? AND started_at_ms <= ?
ORDER BY started_at_ms
"""
# Those that a panel has dialled have other names.
_OPEN: Final = """
SELECT panel FROM emergency_calls WHERE test = {true} AND result IS NULL AND started_at_ms > ? AND company_id = ?
    AND call_id LIKE ?
"""


class EmergencyTests:
    """Takes and places test calls."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._calls = EmergencyCalls(context)
        self._trail = AuditTrail(context)
        true = "TRUE" if context.database.dialect == "postgresql" else "1"
        self._any, self._late = _ANY.replace("{true}", true), _LATE.replace("{true}", true)
        self._open = _OPEN.replace("{true}", true)
        self._settled_ms = 0

    def ask(self, tenant: Tenant, new: NewTestCall) -> Document:
        """Ask for a test call from a panel.

        Raises:
            InvalidFieldsError: there is no such panel.
            ConflictError: its last one is not over, or too many of the company's.
        """
        panel: Any = (
            visible(tenant, Panel)
            .join(Account, on=(Account.id == Panel.account_id))
            .where(Account.account == new.panel)
        ).first()
        if panel is None:
            raise InvalidFieldsError.one("panel", new.panel, "name the account of one of your panels")
        now_ms = self._context.now_ms()
        with self._context.database.transaction():
            self._refuse_more(panel.company_id, new.panel, now_ms)
            row = EmergencyCall.create(
                call_id=f"test-{uuid4()}",
                direction="out",
                company_id=panel.company_id,
                panel_id=panel.id,
                panel=new.panel,
                dialled=NUMBER,
                test=True,
                started_at_ms=now_ms,
                steps=json.dumps([{"at_ms": now_ms, "step": ASKED, "detail": tenant.name or "platform"}]),
            )
            document = self._calls.got(tenant, row.id)
            entry = Entry("test call", str(row.id), "create", None, document, panel.company_id)
            self._trail.write(tenant, [entry])
        return document

    def _refuse_more(self, company_id: int, panel: str, now_ms: int) -> None:
        since_ms = now_ms - GIVEN_UP_MS - LONGEST_MS
        asked = [row[0] for row in self._context.database.rows(self._open, (since_ms, company_id, "test-%"))]
        if panel in asked:
            raise ConflictError(f"panel: a test call of {panel} is under way: wait for its result")
        if len(asked) >= MOST_OPEN:
            raise ConflictError(f"panel: {len(asked)} test calls of company {company_id} are under way: wait for one")

    def place(self, proxy: tuple[str, int] | None) -> int:
        """Place every call that waits; return how many."""
        placed = 0
        while (row := self.take()) is not None:
            placed += 1
            self.place_one(row, proxy)
        return placed

    def take(self) -> Any:
        """Take the oldest call that nobody has placed yet."""
        now_ms = self._context.now_ms()
        if self._context.database.row(self._any, (now_ms - GIVEN_UP_MS,)) is None:
            return None
        with self._context.database.transaction():
            waiting = EmergencyCall.select().where(
                (EmergencyCall.test == True)  # noqa: E712 - SQL
                & EmergencyCall.result.is_null()
                & (EmergencyCall.started_at_ms > now_ms - GIVEN_UP_MS)
            )
            for row in waiting.order_by(EmergencyCall.id):
                # Locked and looked at again: another process may have taken it since.
                now = locked_call(self._context.database, row.call_id) if _is_only_asked(row) else None
                if now is not None and _is_only_asked(now):
                    self._note(row.call_id, PLACED, "on its way")
                    return row
        return None

    def give_up(self) -> int:
        """Fail calls that were asked for and that nobody places, or that nobody tells the end of; return how many.

        Who has asked waits for a result.
        """
        late_ms, given_up = self._context.now_ms() - GIVEN_UP_MS, 0
        since_ms = self._settled_ms if self._settled_ms <= late_ms else 0  # else the clock was put back
        for (call_id,) in self._context.database.rows(self._late, (since_ms, late_ms)):
            with self._context.database.transaction():
                row = locked_call(self._context.database, call_id)
                why = None if row is None else _why_given_up(row, late_ms)
                if why is not None:
                    self._note(call_id, FAILED, why, result=FAILED)
                    given_up += 1
        self._settled_ms = late_ms - LONGEST_MS
        return given_up

    def place_one(self, row: Any, proxy: tuple[str, int] | None) -> None:
        """Place a call that was taken: as long as it lasts, three quarters of a minute at most."""
        account = Account.get_or_none(Account.account == row.panel)
        if proxy is None or account is None or account.ha1 is None:
            why = "sip_proxy is not set in crm.json" if proxy is None else "the panel's account has no password"
            self._note(row.call_id, "refused", why, result=FAILED)
            return
        call = ProbeCall(proxy, self._context.realm, row.panel, account.ha1, NUMBER, row.call_id)
        result = SipProbe(call, lambda step, detail: self._note(row.call_id, step, detail)).run()
        self._note(row.call_id, "result", result, result=result)

    def _note(self, call_id: str, step: str, detail: str, result: str | None = None) -> None:
        """Add a step; others add theirs to the same record meanwhile."""
        now_ms = self._context.now_ms()
        with self._context.database.transaction():
            row = locked_call(self._context.database, call_id)
            if row is None:
                return  # removed meanwhile
            steps = [*json.loads(str(row.steps)), {"at_ms": now_ms, "step": step, "detail": detail}]
            values: dict[str, Any] = {"steps": json.dumps(sorted(steps, key=lambda told: told["at_ms"]))}
            if result is not None:
                values |= {"result": result, "ended_at_ms": now_ms}
            EmergencyCall.update(values).where(EmergencyCall.call_id == call_id).execute()


def _is_only_asked(row: Any) -> bool:
    return [step["step"] for step in json.loads(str(row.steps))] == [ASKED]


def _why_given_up(row: Any, late_ms: int) -> str | None:
    steps = {step["step"] for step in json.loads(str(row.steps))}
    if row.result is not None or ASKED not in steps:
        return None
    if _is_only_asked(row):
        return f"nobody was free to place it for {GIVEN_UP_MS // 1000} s"
    return "whoever placed it has not told how it ended" if row.started_at_ms <= late_ms - LONGEST_MS else None
