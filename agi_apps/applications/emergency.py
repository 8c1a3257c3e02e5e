"""`emergency`: a panel calls the dispatch centre; with which number. Whatever happens here, the call goes on."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING, NamedTuple

from agi_apps.application import Application, Outputs
from agi_apps.emergency_lease import SHARED
from agi_apps.prompts import Prompt
from agi_apps.stages import prompt_outputs
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services
    from agi_apps.emergency_lease import Found

_log = logging.getLogger(__name__)

NOTHING = "-"
_WORDS = 7


class Facts(NamedTuple):
    """What Kamailio knows: city, its shared number and that one's trunk, what was dialled, whether it is recorded."""

    city_id: str
    number: str
    trunk: str
    dialled: str
    recorded: str


def facts_of(text: str, dialled: str) -> Facts:
    """Read the header; a call that Kamailio did not recognise has none."""
    words = text.split("|")
    return Facts(*words[:5]) if len(words) == _WORDS else Facts(NOTHING, NOTHING, NOTHING, dialled, "0")


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Take a number for the call."""
    call_id, panel, dialled, header, _started = arguments
    facts = facts_of(header, dialled)
    found = services.leases.find(panel, call_id)
    if found is not None and found.lease.refused:
        _tell(services, arguments, facts, "refused", found)
        return prompt_outputs(Prompt.BLOCKED)
    number, trunk, city_id = facts.number, facts.trunk, facts.city_id
    recorded = facts.recorded == "1"
    if found is not None:
        lease = found.lease
        city_id = str(lease.city_id) if lease.city_id is not None else city_id
        recorded = lease.records_calls or recorded
        if lease.number is not None:
            number, trunk = lease.number, lease.trunk or NOTHING
    taken = Facts(city_id, number, trunk, facts.dialled, "1" if recorded else "0")
    _tell(services, arguments, taken, "number", found)
    return {
        Variable.DECISION: Decision.DIAL,
        Variable.EMERGENCY: "|".join(taken[:3]),
        Variable.RECORDED: taken.recorded,
    }


def _tell(services: Services, arguments: Sequence[str], facts: Facts, step: str, found: Found | None) -> None:
    call_id, panel, _dialled, _header, started = arguments
    source = SHARED if found is None or found.lease.source is None else found.lease.source
    told_by = "nobody" if found is None else found.told_by
    services.events.add({
        "event": "emergency", "call_id": call_id, "at_ms": services.now_ms(), "panel": panel,
        "dialled": facts.dialled, "step": step, "detail": f"{source}, told by {told_by}",
        "number": None if facts.number == NOTHING else facts.number, "number_source": source,
        "city_id": int(facts.city_id) if facts.city_id.isdigit() else None,
        "started_at_ms": int(started) if started.isdigit() else None,
    })  # fmt: skip


APPLICATION = Application(
    name="emergency",
    arguments=("EP_CALL_ID", "EP_PANEL", "EP_DIALLED", "EP_EMERGENCY", "EP_STARTED_AT_MS"),
    run=run,
    deadline_s=1.0,
    for_living_calls=True,  # this server stood still, and the call has gone out without it: no number is taken
)
