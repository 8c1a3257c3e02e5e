"""`access_code`: a visitor typed an access code at a panel that sends it as a call. Doors fail closed.

The code comes as an argument of its own and goes to the CRM alone: into no event, no log, no key of Redis.
"""

from __future__ import annotations

import logging
from concurrent.futures import wait
from typing import TYPE_CHECKING, Final, Literal

from msgspec import structs

from agi_apps.application import TOO_OLD, Answer, Application, Outputs
from agi_apps.crm_client import CodeVerdict, CrmAway
from agi_apps.prompts import Prompt, language_of
from agi_apps.stages import prompt_outputs
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future

    from agi_apps.application import Services

_log = logging.getLogger(__name__)

# A visitor at the door waits for a slow relay; a resident in a call would not (opening_wait_s).
WAIT_S: Final = 4.0
UNAVAILABLE = prompt_outputs(Prompt.SERVICE_UNAVAILABLE)


def run(arguments: Sequence[str], services: Services) -> Outputs | Answer:
    """Have the code judged, and the door opened."""
    call_id, panel, _, code = arguments
    request = services.beside.submit(_ask, call_id, panel, code, services)
    if not wait((request,), WAIT_S).done:
        request.add_done_callback(lambda done: _record(call_id, panel, _late(done), services))
        return {Variable.DECISION: Decision.OPENED, Variable.PROMPT: Prompt.DOOR_ON_ITS_WAY.value.sound}
    verdict = request.result()
    if verdict is None:
        return UNAVAILABLE
    if verdict.result == "granted" and verdict.door is not None and verdict.door.dtmf:
        return _by_dtmf(call_id, panel, verdict, verdict.door.dtmf, services)
    if verdict.result == "granted":
        verdict = structs.replace(verdict, result="failed", reason="permission without a door to open by DTMF")
    _record(call_id, panel, verdict, services)
    return {**_outputs(verdict), Variable.LANGUAGE: language_of(verdict.language)}


def _ask(call_id: str, panel: str, code: str, services: Services) -> CodeVerdict | None:
    if not services.is_fresh():
        _log.warning("[%s] access code at %s opens nothing: %s", call_id, panel, TOO_OLD)
        return CodeVerdict("failed", TOO_OLD)
    try:
        return services.crm.enter_code(call_id, panel, code)
    except CrmAway as error:
        _log.warning("[%s] access code at %s opens nothing: %s", call_id, panel, error)
        return None


def _by_dtmf(call_id: str, panel: str, verdict: CodeVerdict, digits: str, services: Services) -> Answer:
    """Have Asterisk send the digits. Only with a call that goes on are they sent: it is told when that is known."""

    def told(why_not: str) -> None:
        result: Literal["failed", "granted"] = "failed" if why_not else "granted"
        reason = why_not or verdict.reason
        _record(call_id, panel, structs.replace(verdict, result=result, reason=reason), services)

    outputs: Outputs = {
        Variable.DECISION: Decision.DTMF,
        Variable.DOOR_DTMF: digits,
        Variable.PROMPT: Prompt.DOOR_OPENED.value.sound,
        Variable.LANGUAGE: language_of(verdict.language),
    }
    return Answer(outputs, told)


def _outputs(verdict: CodeVerdict) -> Outputs:
    if verdict.result == "opened":
        return {Variable.DECISION: Decision.OPENED, Variable.PROMPT: Prompt.DOOR_OPENED.value.sound}
    if verdict.locked_until_ms is not None:
        return prompt_outputs(Prompt.CODE_LOCKED)
    return prompt_outputs(Prompt.CODE_WRONG if verdict.result == "refused" else Prompt.DOOR_FAILED)


def _late(done: Future[CodeVerdict | None]) -> CodeVerdict:
    verdict = done.result() or CodeVerdict("failed", "the CRM gave no answer")
    if verdict.result == "granted":
        return CodeVerdict("failed", "permission came too late to send DTMF", door=verdict.door)
    return verdict


def _record(call_id: str, panel: str, verdict: CodeVerdict, services: Services) -> None:
    """Tell what came of it: for a door that opens by DTMF only this call knows that the digits were sent."""
    door = verdict.door
    services.events.add({
        "event": "door", "call_id": call_id, "at_ms": services.now_ms(), "account": None, "panel": panel,
        "door_id": door.door_id if door else None, "key": None, "method": door.method if door else None,
        "result": "sent" if verdict.result == "granted" else verdict.result, "reason": verdict.reason,
        "access_record_id": verdict.access_record_id,
    })  # fmt: skip


APPLICATION = Application(
    name="access_code",
    arguments=("EP_CALL_ID", "EP_PANEL", "EP_DIALLED", "code"),
    run=run,
    deadline_s=WAIT_S + 1.0,
    fallback=UNAVAILABLE,
    for_living_calls=True,
    fresh_s=3.0,  # a door that opens later opens for nobody
)
