"""Every AGI application there is."""

from __future__ import annotations

from agi_apps.applications import access_code, call_ended, ring_all, stage_ended, unlock

APPLICATIONS = {
    module.APPLICATION.name: module.APPLICATION for module in (ring_all, stage_ended, unlock, access_code, call_ended)
}
