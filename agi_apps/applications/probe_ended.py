"""`probe_ended`: a quality probe is over; the CRM is told what the resident and the network say."""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING

from agi_apps.application import NOTHING, Application, Outputs
from agi_apps.crm_client import CrmAway

if TYPE_CHECKING:
    from collections.abc import Sequence

    from agi_apps.application import Services

_log = logging.getLogger(__name__)


def run(arguments: Sequence[str], services: Services) -> Outputs:
    """Tell the CRM; a probe whose end it never hears of is given up by the scheduler."""
    probe, grade, answered_at, packets, lost, jitter, round_trip, reason, gave_way = arguments
    if not probe.isdigit():
        return NOTHING
    try:
        services.crm.probe_ended({
            "probe_id": int(probe),
            "grade": int(grade) if grade in {"1", "2", "3", "4"} else None,
            "answered_at_ms": int(answered_at) if answered_at.isdigit() else None,
            "reason": _whole(reason), "packets": _whole(packets), "packets_lost": _whole(lost),
            "jitter_us": _whole(jitter, 1e6), "round_trip_us": _whole(round_trip, 1e6), "gave_way": gave_way == "1",
        })  # fmt: skip
    except CrmAway as error:
        _log.warning("[probe %s] its end was not told: %s", probe, error)
    return NOTHING


def _whole(text: str, unit: float = 1.0) -> int | None:
    """Return a number of Asterisk's (seconds or packets) as a whole one, None when there is none."""
    try:
        value = float(text)
    except ValueError:
        return None
    return max(0, round(value * unit)) if math.isfinite(value) else None


APPLICATION = Application(
    name="probe_ended",
    arguments=(
        "EP_PROBE",
        "EP_GRADE",
        "EP_ANSWERED_AT_MS",
        "rxcount",
        "rxploss",
        "rxjitter",
        "rtt",
        "REASON",
        "EP_GAVE_WAY",
    ),
    run=run,
    deadline_s=4.0,
)
