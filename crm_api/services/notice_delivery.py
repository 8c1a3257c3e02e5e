"""Sends notices that are due; one that fails is tried again, ever later, and given up after a day."""

from __future__ import annotations

import json
import traceback
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_api.adapters.notice_senders import SendError
from crm_api.tables.database import DatabaseErrors
from crm_api.tables.emergency import EmergencyCentre, EmergencyNotice, EmergencyRule

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        secrets: dict[int, str | None] = {}
        for row in due:
            with self._failing_alone(row):
                secrets[row.id] = self._secret(row)
        with ThreadPoolExecutor(len(due)) as threads:
            sendings = [(row, threads.submit(self._send, row, secrets[row.id])) for row in due if row.id in secrets]
        sent = 0
        for row, sending in sendings:
            with self._failing_alone(row):
                error = sending.result()
                self._note(row, error)
                sent += 1 if error is None else 0
        return sent

    def _is_taken(self, row: Any, now_ms: int) -> bool:
        """Take a notice: whoever else has found it finds it changed."""
        taken = EmergencyNotice.update(due_at_ms=now_ms + TAKEN_FOR_MS).where(
            (EmergencyNotice.id == row.id)
            & (EmergencyNotice.due_at_ms == row.due_at_ms)
            & EmergencyNotice.sent_at_ms.is_null()
            & EmergencyNotice.given_up_at_ms.is_null()
        )
        return bool(taken.execute())

    @contextmanager
    def _failing_alone(self, row: Any) -> Iterator[None]:
        """Whatever goes wrong with one notice is a failed try of it, and keeps no other from being sent.

        Raises one of `DatabaseErrors` when the database is away: what was taken is due again later.
        """
        try:
            yield
        except DatabaseErrors:
            raise
        except Exception as error:  # noqa: BLE001 - the one boundary of a notice
            _log.exception("notice not sent", notice=row.id, channel=row.channel, call_id=row.call_id)
            self._put_off(row, "".join(traceback.format_exception_only(error)).strip())

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
        if error is None:
            self._write(row, last_error=None, sent_at_ms=self._context.now_ms(), body=_without_code(row.body))
        elif self._put_off(row, error):
            _log.warning("notice not sent", notice=row.id, channel=row.channel, call_id=row.call_id, reason=error)

    def _put_off(self, row: Any, error: str) -> bool:
        """Count a try that failed; say whether there is another. One that is given up is told here."""
        now_ms = self._context.now_ms()
        # As any database takes it: an error may quote what came from anywhere.
        error = error.encode("utf-8", "backslashreplace").decode().replace("\0", "\\x00")
        if now_ms - row.made_at_ms > GIVEN_UP_AFTER_MS:
            self._write(row, last_error=error, given_up_at_ms=now_ms, body=_without_code(row.body))
            _log.error("notice given up", notice=row.id, channel=row.channel, call_id=row.call_id, reason=error)
            return False
        pause_ms = min(FIRST_PAUSE_MS * 2 ** min(row.attempts, 20), LONGEST_PAUSE_MS)
        self._write(row, last_error=error, due_at_ms=now_ms + pause_ms)
        return True

    @staticmethod
    def _write(row: Any, **values: Any) -> None:
        EmergencyNotice.update(attempts=row.attempts + 1, **values).where(EmergencyNotice.id == row.id).execute()

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


def _without_code(body: str) -> str:
    """Return what is kept of a notice that is not sent any more: codes are kept encrypted; this one had to be told."""
    try:
        return json.dumps({**json.loads(body), "entrance_code": None}, ensure_ascii=False)
    except (ValueError, TypeError):
        return "{}"
