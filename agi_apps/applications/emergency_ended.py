"""`emergency_ended`: an emergency call, or a call back, is over; its record, and the end of its lease's call."""

from __future__ import annotations

from typing import TYPE_CHECKING

from agi_apps.application import NOTHING, Application, Outputs, number_of

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services

_RESULTS = {"ANSWER": "answered", "BUSY": "busy", "NOANSWER": "no_answer", "CANCEL": "caller_hung_up"}


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Record the end. Who was called back is told by `call_back`: its caller, in place of a panel, is a trunk."""
    call_id, panel, dialled, dial_status, cause, talk_ms, started, direction, called, moves = arguments
    result = _RESULTS.get(dial_status, "failed" if dial_status else "caller_hung_up")
    now_ms = services.now_ms()
    services.events.add({
        "event": "emergency", "call_id": call_id, "at_ms": now_ms,
        "panel": panel if panel and direction == "out" else None, "dialled": dialled, "step": "ended",
        "detail": f"{result}, cause {cause or '-'}", "result": result, "direction": direction,
        "talk_ms": number_of(talk_ms), "moves": number_of(moves),
    })  # fmt: skip
    if direction == "out":
        services.events.add({
            "event": "ended", "call_id": call_id, "at_ms": now_ms, "panel": panel, "dialled": dialled,
            "started_at_ms": number_of(started), "talk_ms": number_of(talk_ms), "result": result,
            "cause": number_of(cause), "plan_source": None, "moves": number_of(moves),
        })  # fmt: skip
    elif called and "," not in called:
        services.events.panel_is_free(called, call_id, number_of(moves))
    return NOTHING


APPLICATION = Application(
    name="emergency_ended",
    arguments=(
        "EP_CALL_ID", "EP_PANEL", "EP_DIALLED", "DIALSTATUS", "HANGUPCAUSE", "ANSWEREDTIME_MS", "EP_STARTED_AT_MS",
        "direction", "EP_ACCOUNTS", "X-Entryphone-Moves",
    ),
    run=run,
    deadline_s=2.0,
    added=1,
)  # fmt: skip
