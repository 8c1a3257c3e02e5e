"""What client companies are to be told: rows of `webhook_deliveries`, and what each says."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

ADD: Final = """
INSERT INTO webhook_deliveries (webhook_id, company_id, event, subject, state, attempts, created_at_ms, due_at_ms)
SELECT w.id, w.company_id, CAST(? AS TEXT), CAST(? AS TEXT), 'waiting', 0, ?, ? FROM webhooks w
JOIN companies c ON c.id = w.company_id
WHERE w.company_id = ? AND w.enabled = ? AND c.active = ? AND ',' || w.events || ',' LIKE ?
ON CONFLICT (webhook_id, event, subject) DO NOTHING
"""
WITHDRAW: Final = "DELETE FROM webhook_deliveries WHERE event = ? AND subject = ? AND state = 'waiting' RETURNING id"
"""What was to be told is not so after all."""
OF_ONE: Final = 5
"""Deliveries of one webhook in a batch: a server that hangs leaves room for the others."""
_DUE: Final = f"""
SELECT d.id, d.event, d.subject, d.attempts, d.created_at_ms, d.company_id, d.webhook_id, w.silences, w.url, w.secret
FROM webhooks w JOIN {{turns}} (
    SELECT {{columns}} FROM webhook_deliveries x WHERE x.webhook_id = w.id AND x.state = 'waiting' AND x.due_at_ms <= ?
    ORDER BY x.due_at_ms, x.id LIMIT {OF_ONE}) {{joined}}
WHERE w.enabled = ? AND w.rests_until_ms <= ? ORDER BY d.due_at_ms, d.id LIMIT ?
"""  # noqa: S608 - constants
# Not row_number(): to number what is due, all of it would be read, a hundred thousand rows of one webhook for five.
DUE: Final = {
    "sqlite": _DUE.format(turns="webhook_deliveries d ON d.id IN", columns="x.id", joined=""),
    "postgresql": _DUE.format(turns="LATERAL", columns="x.*", joined="d ON TRUE"),
}
LISTENING: Final = "SELECT DISTINCT company_id FROM webhooks WHERE enabled = ?"
ANY_DUE: Final = """
SELECT 1 FROM webhooks w
WHERE (SELECT min(due_at_ms) FROM webhook_deliveries WHERE state = 'waiting') <= ? AND w.enabled = ?
    AND w.rests_until_ms <= ? AND (
        SELECT due_at_ms FROM webhook_deliveries d WHERE d.webhook_id = w.id AND d.state = 'waiting'
        ORDER BY due_at_ms LIMIT 1) <= ?
LIMIT 1
"""
"""Whether anything at all is due is asked first: usually nothing is, and no webhook is looked at."""
LEASE: Final = """
UPDATE webhook_deliveries SET due_at_ms = ? WHERE id = ? AND state = 'waiting' AND due_at_ms <= ? RETURNING id
"""
"""Of two processes that have found the same one it is due to the first alone."""
DELIVERED: Final = """
UPDATE webhook_deliveries SET state = 'delivered', attempts = ?, delivered_at_ms = ?, last_error = NULL WHERE id = ?
"""
FAILED: Final = "UPDATE webhook_deliveries SET state = ?, attempts = ?, due_at_ms = ?, last_error = ? WHERE id = ?"
REST: Final = "UPDATE webhooks SET rests_until_ms = ?, silences = ? WHERE id = ?"
"""What waits for it keeps its place and its tries."""
PRUNE: Final = """
DELETE FROM webhook_deliveries WHERE id IN (
    SELECT id FROM webhook_deliveries WHERE state = 'delivered' AND delivered_at_ms < ? LIMIT ?) RETURNING id
"""
UNDELIVERED: Final = "SELECT id FROM webhook_deliveries WHERE state <> 'delivered' AND created_at_ms < ? LIMIT ?"
"""Looks through the table: asked outside a transaction, so that no writer waits."""
FORGET: Final = "DELETE FROM webhook_deliveries WHERE id = ?"
SETTLES_MS: Final = 1500
"""A record may be completed by a later batch of events: so long nothing is told of it."""

_CALL: Final = (
    "call_id", "panel", "dialled", "apartment_id", "house_id", "started_at_ms", "ended_at_ms", "talk_ms", "answered_by",
    "result", "reason",
)  # fmt: skip
_DOOR: Final = (
    "id", "at_ms", "panel", "door_id", "apartment_id", "account", "call_id", "key", "method", "result", "opened_by",
)  # fmt: skip
_MESSAGE: Final = ("id", "call_id", "panel", "dialled", "apartment_id", "at_ms", "duration_ms", "expires_at_ms")
_QUERIES: Final[dict[str, tuple[tuple[str, ...], str]]] = {
    "call.ended": (_CALL, f"SELECT {', '.join(_CALL)} FROM call_records WHERE call_id = ?"),  # noqa: S608 - constants
    "door.opened": (_DOOR, f"SELECT {', '.join(_DOOR)} FROM access_records WHERE id = CAST(? AS {{int}})"),  # noqa: S608
    "message.left": (_MESSAGE, f"SELECT {', '.join(_MESSAGE)} FROM call_sounds WHERE id = CAST(? AS {{int}})"),  # noqa: S608
}


def announce(database: CrmDatabase, company_id: int | None, event: str, subject: str, now_ms: int) -> None:
    """Have an active company's webhooks told, once, whatever repeats; part of the caller's transaction."""
    if company_id is not None:
        mark = f"%,{event},%"
        database.rows(ADD, (event, subject, now_ms, now_ms + SETTLES_MS, company_id, True, True, mark))


def listening(database: CrmDatabase) -> frozenset[int]:
    """Return the companies that have a webhook: nothing is announced for the others."""
    return frozenset(row[0] for row in database.rows(LISTENING, (True,)))


def said(database: CrmDatabase, event: str, subject: str) -> dict[str, Any] | None:
    """Return what a delivery says; None when what happened is on record no more."""
    query = _QUERIES.get(event)
    if query is None:
        return {"id": subject}
    names, sql = query
    row = database.row(sql.replace("{int}", "BIGINT" if database.dialect == "postgresql" else "INTEGER"), (subject,))
    return None if row is None else dict(zip(names, row, strict=True))
