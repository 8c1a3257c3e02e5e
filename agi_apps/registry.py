"""Every AGI application there is."""

from __future__ import annotations

from agi_apps.applications import (
    access_code,
    call_back,
    call_ended,
    emergency,
    emergency_ended,
    pass_on,
    passed_on,
    phone_ended,
    probe_ended,
    ring_all,
    stage_ended,
    unlock,
)

_MODULES = (
    *(ring_all, stage_ended, unlock, call_ended, access_code, pass_on, passed_on, phone_ended, probe_ended),
    *(emergency, emergency_ended, call_back),
)
APPLICATIONS = {module.APPLICATION.name: module.APPLICATION for module in _MODULES}
