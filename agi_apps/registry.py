"""Every AGI application there is."""

from __future__ import annotations

from agi_apps.applications import (
    access_code,
    call_ended,
    pass_on,
    passed_on,
    phone_ended,
    probe_ended,
    ring_all,
    stage_ended,
    unlock,
)

_MODULES = (
    ring_all,
    stage_ended,
    unlock,
    call_ended,
    access_code,
    pass_on,
    passed_on,
    phone_ended,
    probe_ended,
)
APPLICATIONS = {module.APPLICATION.name: module.APPLICATION for module in _MODULES}
