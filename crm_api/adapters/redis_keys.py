"""Names in Redis (docs/contracts.md §7); `agi_apps/redis_keys.py` has the other side's copy."""

from __future__ import annotations

from typing import Final

RING_PLAN_PREFIX: Final = "ep:ring_plan:"
CRM_DELIVERED_AT_MS: Final = "ep:crm_delivered_at_ms"
CALL_EVENTS: Final = "ep:call_events"
CALL_EVENTS_LENGTH: Final = 1_000_000
PUSHES: Final = "ep:pushes"
PUSHES_GROUP: Final = "pushes"
VOICE_CALLS: Final = "ep:voice_calls"
VOICE_CALLS_GROUP: Final = "voice_calls"
CALL_RECORDS_GROUP: Final = "call_records"
SCHEDULER_AT_KEY: Final = "ep:scheduler_at_ms"
EMERGENCY_AT_KEY: Final = "ep:emergency_at_ms"
JOBS_AT_KEY: Final = "ep:jobs_at_ms"
WEBHOOKS_AT_KEY: Final = "ep:webhooks_at_ms"
PANELS_SEEN_AT_KEY: Final = "ep:panels_seen_at_ms"
PANEL_CALL_PREFIX: Final = "ep:panel_call:"
CONTACT_QUESTIONS: Final = "ep:contact_questions"
CONTACT_ANSWER_PREFIX: Final = "ep:contact_answer:"
PANELS_REGISTERED: Final = "ep:panels_registered"

TOMBSTONE: Final = ""
TOMBSTONE_MS: Final = 2000


def panel_call(panel: str) -> str:
    """Return the key that says whose call a panel carries."""
    return f"{PANEL_CALL_PREFIX}{panel}"


def ring_plan(panel: str, dialled: str) -> str:
    """Return the key of a cached ring plan."""
    return f"{RING_PLAN_PREFIX}{panel}:{dialled}"


def contact_answer(question: str) -> str:
    """Return the key of the answer to a question, by its id."""
    return f"{CONTACT_ANSWER_PREFIX}{question}"
