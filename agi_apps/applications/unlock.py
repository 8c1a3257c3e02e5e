"""`unlock`: a resident has pressed the key; may this account open this door, and how. Doors fail closed."""

from __future__ import annotations

import logging
import time
from concurrent.futures import wait
from typing import TYPE_CHECKING, Final, NamedTuple

from agi_apps.application import TOO_OLD, Answer, Application, Outputs
from agi_apps.crm_client import CrmAway, Opening
from agi_apps.plan_lookup import NoPlan
from agi_apps.prompts import Prompt
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services
    from agi_apps.ring_plan import Door

_log = logging.getLogger(__name__)

# Keys pressed again within this time after an opening in the same call are answered by the tone alone.
REPEAT_MS = 2_000
DEADLINE_S: Final = 2.5
# A door that this call opens by DTMF stays shut unless the CRM has said yes by now: it is waited for as long as the
# deadline allows, what the plan took included, and no longer than a resident stands silence.
DTMF_WAIT_S: Final = 1.6
DTMF_DECIDED_S: Final = DEADLINE_S - 0.3
FAILED: Outputs = {Variable.DECISION: Decision.FAILED, Variable.PROMPT: Prompt.DOOR_FAILED.value.sound}


class _Press(NamedTuple):
    """Who pressed what, where."""

    call_id: str
    panel: str
    dialled: str
    account: str
    key: str

    @property
    def door_at(self) -> str:
        """The panel of the door: the one that calls. A caller who presses himself looks through the one he called."""
        return self.dialled if self.account == self.panel else self.panel


class _Shut(Exception):  # noqa: N818 - states the fact
    """The door stays shut. `result` is `refused` (not allowed) or `failed` (could not be done)."""

    def __init__(self, result: str, reason: str, door: Door | None = None, record_id: int | None = None) -> None:
        super().__init__(reason)
        self.result = result
        self.reason = reason
        self.door = door
        self.record_id = record_id


def run(arguments: Sequence[str], services: Services) -> Outputs | Answer:
    """Decide about a door."""
    *who, opened_at = arguments
    press = _Press(*who)
    now_ms = services.now_ms()
    if opened_at.isdigit() and 0 <= now_ms - int(opened_at) < REPEAT_MS:
        return {Variable.DECISION: Decision.OPENED, Variable.PROMPT: Prompt.DOOR_OPENED.value.sound}
    try:
        return _decide(press, services, now_ms)
    except _Shut as shut:
        _record(press, shut.door, services, shut.result, shut.reason, record_id=shut.record_id)
        if shut.result == "refused":
            return {Variable.DECISION: Decision.REFUSED, Variable.PROMPT: Prompt.DOOR_REFUSED.value.sound}
        return FAILED


def _decide(press: _Press, services: Services, now_ms: int) -> Outputs | Answer:
    if not press.account:
        # The proxy did not say who answered: nobody in particular may open nothing.
        raise _Shut("refused", "the account that answered is not known")
    begun_s = time.monotonic()
    try:
        found = services.plans.find(press.panel, press.dialled)
    except NoPlan as error:
        raise _Shut("failed", str(error)) from error
    door = found.plan.door
    if not found.is_fresh(now_ms, services.permission_fresh_s):
        if door is None or door.method == "dtmf":
            wait_s = min(DTMF_WAIT_S, begun_s + DTMF_DECIDED_S - time.monotonic())
            return _ask_crm(press, door, services, wait_s) or FAILED
        return _ask_crm_to_open(press, door, services)
    if door is None:
        raise _Shut("refused", "this panel opens no door")
    if not found.plan.may_open(press.account):
        raise _Shut("refused", "this account may not open this door", door)
    if door.method == "dtmf":
        return _by_dtmf(press, door, services)
    return _ask_crm_to_open(press, door, services)


def _by_dtmf(press: _Press, door: Door, services: Services, record_id: int | None = None) -> Answer:
    """Have Asterisk send the digits. Only with a call that goes on are they sent: it is told when that is known."""
    if not door.dtmf:
        raise _Shut("failed", "the door has no DTMF code", door, record_id)

    def told(why_not: str) -> None:
        _record(press, door, services, "failed" if why_not else "sent", why_not, record_id=record_id)

    outputs: Outputs = {
        Variable.DECISION: Decision.DTMF,
        Variable.DOOR_DTMF: door.dtmf,
        Variable.PROMPT: Prompt.DOOR_OPENED.value.sound,
        Variable.OPENED_AT_MS: str(services.now_ms()),
    }
    return Answer(outputs, told)


def _opened(prompt: Prompt, services: Services) -> Outputs:
    return {
        Variable.DECISION: Decision.OPENED,
        Variable.PROMPT: prompt.value.sound,
        Variable.OPENED_AT_MS: str(services.now_ms()),
    }


def _ask_crm_to_open(press: _Press, door: Door, services: Services) -> Outputs | Answer:
    """Let the CRM open over HTTP. It goes on when that takes longer than the resident should wait for a tone."""
    return _ask_crm(press, door, services, services.opening_wait_s) or _opened(Prompt.DOOR_ON_ITS_WAY, services)


def _ask_crm(press: _Press, door: Door | None, services: Services, wait_s: float) -> Outputs | Answer | None:
    """Let the CRM decide, and open where it can; None when it is late: what it says then is recorded."""
    request = services.beside.submit(_request, press, services)
    if not wait((request,), max(0.0, wait_s)).done:
        request.add_done_callback(lambda done: _record_late(press, door, services, done.result()))
        return None
    opening = request.result()
    if opening is None:
        raise _Shut("failed", "the CRM gave no answer", door)
    door, record_id = opening.door or door, opening.access_record_id
    if opening.result == "granted":
        if door is None or door.method != "dtmf":
            raise _Shut("failed", "permission without a door to open by DTMF", door, record_id)
        return _by_dtmf(press, door, services, record_id)
    if opening.result == "opened":
        _record(press, door, services, "opened", opening.reason, record_id=record_id)
        return _opened(Prompt.DOOR_OPENED, services)
    raise _Shut(opening.result, opening.reason, door, record_id)


def _request(press: _Press, services: Services) -> Opening | None:
    if not services.is_fresh():
        _log.warning("[%s] door of %s stays shut: %s", press.call_id, press.panel, TOO_OLD)
        return Opening("failed", TOO_OLD)
    try:
        return services.crm.open_door(*press)
    except CrmAway as error:
        _log.warning("[%s] door of %s stays shut: %s", press.call_id, press.panel, error)
        return None


def _record_late(press: _Press, door: Door | None, services: Services, opening: Opening | None) -> None:
    if opening is None:
        _record(press, door, services, "failed", "the CRM gave no answer")
        return
    result, reason = opening.result, opening.reason
    if result == "granted":
        result, reason = "failed", "permission came too late to send DTMF"
    _record(press, opening.door or door, services, result, reason, record_id=opening.access_record_id)


def _record(
    press: _Press, door: Door | None, services: Services, result: str, reason: str, *, record_id: int | None = None
) -> None:
    """Tell what came of it; `record_id` of the CRM's record, None when the CRM was not asked or has not answered."""
    services.events.add({
        "event": "door", "call_id": press.call_id, "at_ms": services.now_ms(), "account": press.account,
        "panel": press.door_at, "dialled": press.dialled, "door_id": door.door_id if door else None, "key": press.key,
        "method": door.method if door else None, "result": result, "reason": reason, "access_record_id": record_id,
    })  # fmt: skip


APPLICATION = Application(
    name="unlock",
    arguments=("EP_CALL_ID", "EP_PANEL", "EP_DIALLED", "EP_ANSWERED_BY", "key", "EP_OPENED_AT_MS"),
    run=run,
    deadline_s=DEADLINE_S,
    fallback=FAILED,
    for_living_calls=True,
    fresh_s=3.0,  # a door that opens later opens for nobody
)
