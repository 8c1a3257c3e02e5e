"""`call_back`: a dispatcher calls a number of ours; which panel holds it, or which desk takes the call."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from agi_apps.application import Application, Outputs
from agi_apps.prompts import Prompt
from agi_apps.stages import prompt_outputs
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services

_log = logging.getLogger(__name__)


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Find who is called back. `EP_PANEL` is the trunk here, `EP_DIALLED` the number called."""
    call_id, trunk, number = arguments
    told = services.leases.call_back(number, call_id)
    target = told.panel or ",".join(told.desks)
    language = told.language.replace("-", "_")
    services.events.add({
        "event": "emergency", "call_id": call_id, "at_ms": services.now_ms(), "panel": told.panel, "dialled": number,
        "step": "called_back", "detail": f"from {trunk}: {told.source} {target or 'nobody'}", "number": told.number,
        "direction": "back",
    })  # fmt: skip
    if not target:
        _log.error("[%s] call back to %s: nobody holds it and no desk is on duty", call_id, number)
        return {**prompt_outputs(Prompt.NOBODY_HOME), Variable.LANGUAGE: language}
    return {
        Variable.DECISION: Decision.DIAL,
        Variable.ACCOUNTS: target,
        Variable.STAGE: "0",
        Variable.CALLER_NAME: f"112 {number}",
        Variable.CALLED_BACK: "panel" if told.panel else "desk",
        Variable.ADDRESS: spoken_address(told.address, told.entrance),
        Variable.AUTO_ANSWER: "1" if told.panel and told.auto_answer else "",
        Variable.LANGUAGE: language,
    }


def spoken_address(address: str, entrance: int | None) -> str:
    """The address as it is said: letters, digits and spaces only."""
    text = " ".join("".join(char if char.isalnum() else " " for char in address).split())
    return text if entrance is None else f"{text} {entrance}".strip()


APPLICATION = Application(
    name="call_back",
    arguments=("EP_CALL_ID", "EP_PANEL", "EP_DIALLED"),
    run=run,
    deadline_s=1.5,
)
