"""Doors: permission from the database, opening through the panel's driver, a record whatever happens."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_api.adapters.panel_drivers import TOO_OLD, PanelAccess, PanelRefusedError, PanelSilentError
from crm_api.services.context import Tenant, find
from crm_api.tables import caller_facts, ring_plan_facts, webhook_rows
from crm_api.tables.database import DatabaseErrors, reason_of
from crm_api.tables.fund import Relay
from crm_api.tables.models import AccessRecord, Account, Door, Panel
from crm_api.tables.opening_houses import house_of

if TYPE_CHECKING:
    from crm_api.adapters.panel_drivers import PanelDriver
    from crm_api.domain.inputs.calls import DoorOpening
    from crm_api.domain.ring_plan import RingPlan
    from crm_api.services.context import Context
    from crm_api.services.kept import Document
    from crm_api.services.planning import Planned, Planning

FRESH_S: Final = 3.0
"""A door that begins to open later opens for nobody: whoever asked has left, and somebody else may stand there."""

_log = structlog.get_logger("crm_api.doors")


@dataclass
class Opening:
    """What came of one wish to open a door.

    `may_be_open`: the device was asked and said nothing; the result is `failed`, as nobody confirmed.
    """

    result: str
    reason: str
    method: str | None = None
    may_be_open: bool = False


class DoorOpenings:
    """Opens doors for residents who talk, and for operators."""

    def __init__(self, context: Context, planning: Planning, drivers: dict[str, PanelDriver]) -> None:
        self._context = context
        self._planning = planning
        self._drivers = drivers

    def in_call(self, wish: DoorOpening, asked_s: float) -> Document:
        """Open, or grant, or refuse the door for the account that talks (docs/contracts.md §6).

        Args:
            wish: who talks, where, and with whom.
            asked_s: when it was asked for (monotonic seconds).
        """
        at_ms = self._context.now_ms()
        planned = self._planning.planned(wish.panel, wish.dialled)
        plan = planned.plan
        at = self._at(wish, planned, at_ms)
        refusal = self._refusal(plan, wish.account)
        if refusal is not None:
            opening = Opening("refused", refusal, plan.door.method if plan.door else None)
        elif plan.door is not None and plan.door.method == "http":
            opening = self.driven(find(Tenant(None), Door, "door", plan.door.door_id), asked_s)
        else:
            opening = Opening("granted", "send the digits to the panel", "dtmf")
        record_id = self.record(
            opening,
            at_ms=at_ms,
            company_id=plan.company_id,
            **at,
            door_id=plan.door.door_id if plan.door else None,
            account=wish.account,
            call_id=wish.call_id,
            key=wish.key,
        )
        door: Document | None = (
            None if plan.door is None else {"door_id": plan.door.door_id, "method": plan.door.method}
        )
        if door is not None and plan.door is not None and opening.result == "granted":
            door["dtmf"] = plan.door.dtmf
        return {"result": opening.result, "reason": opening.reason, "door": door, "access_record_id": record_id}

    def by_operator(self, tenant: Tenant, door_id: int, asked_s: float) -> Document:
        """Open a door for an operator. A door that only opens by DTMF in a call cannot be opened this way."""
        at_ms = self._context.now_ms()
        door = find(tenant, Door, "door", door_id)
        opener = self._opener(door)
        if door.method != "dtmf":
            opening = self.driven(door, asked_s)
        else:
            opening = Opening("refused", "this door opens by DTMF in a call only: give it method http", door.method)
        record_id = self.record(
            opening,
            at_ms=at_ms,
            company_id=door.company_id,
            panel_id=door.panel_id,
            panel=opener,
            door_id=door.id,
            opened_by=tenant.name,
        )
        return {"result": opening.result, "reason": opening.reason, "door_id": door.id, "access_record_id": record_id}

    def _at(self, wish: DoorOpening, planned: Planned, at_ms: int) -> dict[str, Any]:
        """Return at which panel, and whose, an opening is recorded as.

        Who looks through a panel calls it himself. `CallRecording._belongs_at` tells the same of an opening by a
        permission that FastAGI had kept, which comes as an event.
        """
        if planned.facts is not None:
            return {
                "panel": wish.panel, "panel_id": planned.facts.panel_id, "apartment_id": planned.plan.apartment_id
            }  # fmt: skip
        database = self._context.database
        apartment_id, panel = planned.plan.apartment_id, None
        if wish.account == wish.panel:
            caller = caller_facts.known_caller(database, wish.account, at_ms)
            apartment_id = None if caller is None else caller.apartment_id
            panel = ring_plan_facts.known_panel(database, wish.dialled)
        if panel is None or panel.facts.company_id != planned.plan.company_id:
            return {"panel": wish.panel, "panel_id": None, "apartment_id": apartment_id}
        return {"panel": wish.dialled, "panel_id": panel.facts.panel_id, "apartment_id": apartment_id}

    @staticmethod
    def _opener(door: Door) -> str:
        """Return the account of the door's panel, or the name of the relay that opens it without one."""
        if door.panel_id is None:
            return str(Relay.get_by_id(door.relay_id).name)
        return str(Account.get_by_id(Panel.get_by_id(door.panel_id).account_id).account)

    @staticmethod
    def _refusal(plan: RingPlan, account: str) -> str | None:
        if plan.outcome != "ring":
            return f"the number dialled is {plan.outcome.replace('_', ' ')} now"
        if account != plan.panel and plan.target(account) is None:
            return f"account {account} does not answer for this apartment now"
        if plan.door is None:
            return "this panel opens no door"
        if not plan.opens(account):
            return f"account {account} may talk but not open here"
        return None

    def driven(self, door: Door, asked_s: float) -> Opening:
        """Have the door opened by its relay, or by its panel; a device that confirms has been seen.

        Not when that was asked for too long ago (monotonic seconds): this server stood still, or the database did, or
        the device was not found or reached in time.
        """
        device: Any
        output: Any  # a door of a relay has a relay output: a constraint of the table
        if door.relay_id is not None:
            device, output, noun = Relay.get_by_id(door.relay_id), door.relay_output, "relay"
        else:
            device, output, noun = Panel.get_by_id(door.panel_id), door.output, "panel"
        if device.address is None:
            return Opening("failed", f"{noun} {device.name} has no network address: give it one", "http")
        try:
            access = self._access(device)
            if time.monotonic() > asked_s + FRESH_S:
                return Opening("failed", TOO_OLD, "http")
            self._drivers[device.driver].open_door(access, output, asked_s + FRESH_S)
        except PanelRefusedError as error:
            return Opening("failed", str(error), "http", may_be_open=isinstance(error, PanelSilentError))
        except ValueError as error:
            return Opening("failed", f"credentials of {noun} {device.name}: {error}", "http")
        self._note_seen(device)
        return Opening("opened", f"the {noun} confirmed", "http")

    def _note_seen(self, device: Any) -> None:
        """Write when a device was seen, unless that fails or has to wait: its door is open, and whoever asked waits."""
        database, model = self._context.database, type(device)
        try:
            with database.transaction_at_once():
                model.update(last_seen_at_ms=self._context.now_ms()).where(model.id == device.id).execute()
        except DatabaseErrors as error:
            database.forget_connection()  # the record of the opening gets a new one
            _log.debug("device not noted as seen", device=device.name, error=reason_of(error))

    def _access(self, device: Any) -> PanelAccess:
        login: dict[str, str] = {}
        if device.credentials is not None:
            login = json.loads(self._context.encryption.decrypted(device.credentials))
        return PanelAccess(device.address, login.get("user"), login.get("password"), device.company_id)

    def record(self, opening: Opening, **facts: Any) -> int | None:
        """Write an access record; return its id, or None when the database does not take it.

        The door may be open by then, so what came of the wish is told all the same. Of one in a call FastAGI's door
        event makes the record later; the log has it in any case.
        """
        database = self._context.database
        told = {"result": opening.result, "reason": opening.reason, "method": opening.method}
        try:
            places = ("apartment_id", "access_code_id", "door_id", "panel_id")
            facts["house_id"] = house_of(database, **{place: facts.get(place) for place in places})
            with database.transaction():
                made_id = int(AccessRecord.create(**told, **facts).id)
                if opening.result == "opened" and facts.get("opened_by"):  # else FastAGI's event has it announced
                    now_ms = self._context.now_ms()
                    webhook_rows.announce(database, facts["company_id"], "door.opened", str(made_id), now_ms)
                return made_id
        except DatabaseErrors as error:
            database.forget_connection()
            _log.error("door not recorded", **told, **facts, error=reason_of(error))
            return None
