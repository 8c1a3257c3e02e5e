"""`call_ended`: a call is over; its record. Kamailio tells the end of an ordinary one that was answered."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agi_apps.application import NOTHING, Application, Outputs, number_of
from agi_apps.prompts import Prompt
from agi_apps.variables import Decision

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services

_log = logging.getLogger(__name__)

# Nobody was rung, or nobody could be: whoever looks for the call in the log finds the reason.
_TOLD = frozenset({"blocked", "unknown_number", "forbidden", "no_answer", "failed"})

# Q.850 cause that Asterisk gives a call whose side sends no media any more (rtp_timeout, pjsip.conf).
_RTP_TIMEOUT = "44"
NO_MEDIA = "no media for 30 s"
# Instead of who hung up: the panel's leg was taken out of Dial(), which has then not counted how long they talked.
DISPATCHER = "dispatcher"
GAVE_WAY = "the panel was called back by a dispatcher"

# What the dialplan presets before it asks again.
_UNDECIDED = "error"

_BY_PROMPT = {
    Prompt.BLOCKED: "blocked",
    Prompt.UNKNOWN_NUMBER: "unknown_number",
    Prompt.FORBIDDEN: "forbidden",
    Prompt.NOBODY_HOME: "no_answer",
    Prompt.BUSY: "busy",
    Prompt.CODE_WRONG: "code_refused",
    Prompt.CODE_LOCKED: "code_locked",
}


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Record the end of a call."""
    (call_id, panel, dialled, dial_status, cause, talk_ms, plan_source, decision, sound, started, *ending) = arguments
    no_media, hung_up_by, moves = ending
    gave_way = hung_up_by == DISPATCHER
    result = result_of(dial_status, decision, sound)
    if gave_way and result == "caller_hung_up":
        result = "no_answer"
    if result in _TOLD:
        _log.info("[%s] %s dialled %s: %s (cause %s)", call_id, panel, dialled, result, cause or "-")
    reason = (
        NO_MEDIA if result == "answered" and (no_media or cause == _RTP_TIMEOUT) else GAVE_WAY if gave_way else None
    )
    services.events.add({
        "event": "ended", "call_id": call_id, "at_ms": services.now_ms(), "panel": panel, "dialled": dialled,
        "started_at_ms": number_of(started), "result": result, "cause": number_of(cause),
        "talk_ms": None if gave_way and result == "answered" else number_of(talk_ms),
        "plan_source": plan_source or None,
        "reason": reason, "hung_up_by": "platform" if reason else hung_up_by or None,
        "moves": number_of(moves),
    })  # fmt: skip
    return NOTHING


def result_of(dial_status: str, decision: str, sound: str) -> str:
    """Result of a call (docs/contracts.md, 7) from its last `Dial` and the last decision."""
    if dial_status == "ANSWER":
        return "answered"
    if decision in {Decision.PROMPT, Decision.MESSAGE}:
        prompt = Prompt.of_sound(sound)
        return _BY_PROMPT.get(prompt, "failed") if prompt is not None else "failed"
    if not dial_status and decision in {Decision.DTMF, Decision.OPENED}:
        return "code_accepted"
    if decision in {*Decision.rings(), Decision.RECORD} and dial_status != "INVALIDARGS":
        return "caller_hung_up"  # what follows Dial(), whatever came of it, begins with another decision
    if not sound and decision in {"", _UNDECIDED}:
        return "caller_hung_up"  # before it was decided how to go on; without FastAGI he is told so
    return "failed"


APPLICATION = Application(
    name="call_ended",
    arguments=(
        "EP_CALL_ID", "EP_PANEL", "EP_DIALLED", "DIALSTATUS", "HANGUPCAUSE", "ANSWEREDTIME_MS",
        "EP_PLAN_SOURCE", "EP_DECISION", "EP_PROMPT", "EP_STARTED_AT_MS", "EP_NO_MEDIA",
        "EP_HUNG_UP_BY", "X-Entryphone-Moves",
    ),
    run=run,
    deadline_s=2.0,
    added=1,
)  # fmt: skip
