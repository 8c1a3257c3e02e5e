"""Redis keys and streams (docs/contracts.md, 7)."""

from __future__ import annotations

DELIVERED_AT_KEY = "ep:crm_delivered_at_ms"
EVENT_STREAM = "ep:call_events"
EVENT_STREAM_LENGTH = 1_000_000
PUSH_STREAM = "ep:pushes"
PUSH_STREAM_LENGTH = 10_000
EVENT_SOURCE = "agi"
PLAN_TTL_S = 24 * 3600
UNKNOWN_NUMBER_TTL_S = 60


def ring_plan_key(panel: str, dialled: str) -> str:
    """Key of a ring plan."""
    return f"ep:ring_plan:{panel}:{dialled}"
