"""Sends notices that are due; one that fails is tried again, ever later, and given up after a day."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_api.adapters.notice_senders import SendError
from crm_api.tables.emergency import EmergencyCentre, EmergencyNotice, EmergencyRule

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crm_api.adapters.notice_senders import NoticeSender
    from crm_api.services.context import Context

AT_ONCE: Final = 16
FIRST_PAUSE_MS: Final = 1_000
LONGEST_PAUSE_MS: Final = 30 * 60_000
GIVEN_UP_AFTER_MS: Final = 24 * 3_600_000
TAKEN_FOR_MS: Final = 60_000
"""Longer than any sender takes. A notice whose process died while it sent is due again then."""

# Asked twice a second, so it costs one look at an index.
_ANY_DUE: Final = """
SELECT 1 FROM emergency_notices
WHERE due_at_ms <= ? AND sent_at_ms IS NULL AND given_up_at_ms IS NULL LIMIT 1
"""
_log = structlog.get_logger("crm_api.emergency")


class NoticeDelivery:
    """One pass at a time; of several processes that find the same notice one sends it."""

    def __init__(self, context: Context, senders: Mapping[str, NoticeSender]) -> None:
        self._context = context
        self._senders = senders

    def deliver(self) -> int:
        """Send everything that is due, several at once; return how many were sent."""
        now_ms = self._context.now_ms()
        if self._context.database.row(_ANY_DUE, (now_ms,)) is None:
            return 0
        found = list(
            EmergencyNotice.select()
            .where(
                (EmergencyNotice.due_at_ms <= now_ms)
                & EmergencyNotice.sent_at_ms.is_null()
                & EmergencyNotice.given_up_at_ms.is_null()
            )
            .order_by(EmergencyNotice.id)
            .limit(AT_ONCE)
        )
        due = [row for row in found if self._is_taken(row, now_ms)]
        if not due:
            return 0
        secrets = {row.id: self._secret(row) for row in due}
        with ThreadPoolExecutor(len(due)) as threads:
            errors = list(threads.map(lambda row: self._sent(row, secrets[row.id]), due))
        for row, error in zip(due, errors, strict=True):
            self._note(row, error)
        return errors.count(None)

    def _is_taken(self, row: Any, now_ms: int) -> bool:
        """Take a notice: whoever else has found it finds it changed."""
        taken = EmergencyNotice.update(due_at_ms=now_ms + TAKEN_FOR_MS).where(
            (EmergencyNotice.id == row.id)
            & (EmergencyNotice.due_at_ms == row.due_at_ms)
            & EmergencyNotice.sent_at_ms.is_null()
            & EmergencyNotice.given_up_at_ms.is_null()
        )
        return bool(taken.execute())

    def _sent(self, row: Any, secret: str | None) -> str | None:
        """Send; return what went wrong. One notice that cannot be sent must not keep others from being sent."""
        try:
            return self._send(row, secret)
        except Exception as error:  # noqa: BLE001 - whatever a sender may raise
            _log.exception("notice not sent", notice=row.id, channel=row.channel)
            return f"{type(error).__name__}: {error}"

    def _send(self, row: Any, kept: str | None) -> str | None:
        sender = self._senders.get(row.channel)
        if sender is None:
            return f"no {row.channel} is set up in crm.json"
        secret = None if kept is None else self._context.encryption.decrypted(kept)
        try:
            sender.send(row.destination, json.loads(row.body), secret)
        except SendError as error:
            return str(error)
        return None

    def _note(self, row: Any, error: str | None) -> None:
        now_ms = self._context.now_ms()
        values: dict[str, Any] = {"attempts": row.attempts + 1, "last_error": error}
        if error is None:
            values["sent_at_ms"] = now_ms
        elif now_ms - row.made_at_ms > GIVEN_UP_AFTER_MS:
            values["given_up_at_ms"] = now_ms
            _log.error("notice given up", notice=row.id, channel=row.channel, call_id=row.call_id, reason=error)
        else:
            pause_ms = min(FIRST_PAUSE_MS * 2 ** min(row.attempts, 20), LONGEST_PAUSE_MS)
            values["due_at_ms"] = now_ms + pause_ms
            _log.warning("notice not sent", notice=row.id, channel=row.channel, call_id=row.call_id, reason=error)
        if {"sent_at_ms", "given_up_at_ms"} & values.keys():
            # Codes are kept encrypted; this one had to be told.
            values["body"] = json.dumps({**json.loads(row.body), "entrance_code": None}, ensure_ascii=False)
        EmergencyNotice.update(values).where(EmergencyNotice.id == row.id).execute()

    def _secret(self, row: Any) -> str | None:
        """Return the secret that signs a webhook, as it is kept: the centre's or the company's."""
        if row.channel != "webhook":
            return None
        # Of this city and this company: others may have the same receiver, under secrets of their own.
        centre = EmergencyCentre.get_or_none(
            (EmergencyCentre.city_id == row.city_id) & (EmergencyCentre.webhook_url == row.destination)
        )
        rule = EmergencyRule.get_or_none(
            (EmergencyRule.company_id == row.company_id) & (EmergencyRule.webhook_url == row.destination)
        )
        return next((found.webhook_secret for found in (centre, rule) if found and found.webhook_secret), None)
