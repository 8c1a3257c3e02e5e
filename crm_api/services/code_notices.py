"""Residents are told their new code: one message to each app and, where the company pays, to each phone.

A push is sent until it is taken. An SMS costs money and is sent once: one whose sending was cut off is not repeated.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from crm_api.adapters.messages import NotSentError
from crm_api.domain.waking import waking_moment
from crm_api.services.kept import Document, Listed
from crm_api.tables.codes import CodeNotice
from crm_api.tables.ring_plan_statements import RINGS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crm_api.adapters.messages import Messenger

CODES_AT_ONCE: Final = 100
SENDING_MS: Final = 5 * 60_000
"""A message that has been on its way for so long has lost its sender."""
TRIES: Final = 8
RETRY_MS: Final = 60_000
KEPT_MS: Final = 90 * 86_400_000
"""Who was told stays on record for so long: each week adds a row for every app and phone."""
FORGOTTEN_AT_ONCE: Final = 2000

TEXTS: Final = {
    "en": "New code of {address}, entrance {entrance}: {code}.",
    "ru": "Новый код: {address}, подъезд {entrance}: {code}.",
    "zh": "{address}{entrance}单元新门禁密码 {code}。",
}

# People sleep by the clock of their house's city, else of the company's.
_TO_TELL: Final = """
SELECT c.id, c.company_id, c.entrance_id, coalesce(r.sms, ?), coalesce(r.tell_from_hour, 9),
    coalesce(r.tell_until_hour, 20), coalesce(t.time_zone, 'UTC')
FROM access_codes c JOIN companies o ON o.id = c.company_id JOIN entrances e ON e.id = c.entrance_id
JOIN houses h ON h.id = e.house_id LEFT JOIN cities t ON t.id = coalesce(h.city_id, o.city_id)
LEFT JOIN access_code_rules r ON r.company_id = c.company_id
WHERE c.tell_at_ms <= ? AND c.ended_at_ms IS NULL ORDER BY c.tell_at_ms, c.id LIMIT ?
"""
_PHONES: Final = """
INSERT INTO code_notices (company_id, access_code_id, resident_id, channel, address, state, next_try_ms)
SELECT r.company_id, ?, min(r.resident_id), 'sms', f.phone, 'waiting', 0
FROM apartments a JOIN residencies r ON r.apartment_id = a.id JOIN resident_phones f ON f.resident_id = r.resident_id
WHERE a.entrance_id = ? AND (r.ends_at_ms IS NULL OR r.ends_at_ms > ?) GROUP BY r.company_id, f.phone
ON CONFLICT DO NOTHING
"""
# An app may be the household's: then it is told for whoever lives there first. A guest's own is told until his end.
_APPS: Final = f"""
INSERT INTO code_notices (company_id, access_code_id, resident_id, channel, address, state, next_try_ms)
SELECT ap.company_id, ?, coalesce(min(a.resident_id), min(r.resident_id)), 'push', a.account, 'waiting', 0
FROM apartments ap JOIN accounts a ON a.apartment_id = ap.id JOIN push_tokens p ON p.account_id = a.id
JOIN residencies r ON r.apartment_id = ap.id
WHERE ap.entrance_id = ? AND a.kind = 'app' AND {RINGS} AND p.invalidated_at_ms IS NULL
GROUP BY ap.company_id, a.account ON CONFLICT DO NOTHING
"""  # noqa: S608 - constants
_TOLD: Final = "UPDATE access_codes SET tell_at_ms = NULL WHERE id = ?"
_LATER: Final = "UPDATE access_codes SET tell_at_ms = ? WHERE id = ?"
# SQLite uses the index of what is still to be sent only where its own condition is repeated; otherwise each look would
# read the messages of three months.
_OPEN: Final = "state IN ('waiting', 'sending')"
_LOST: Final = f"""
UPDATE code_notices SET state = CASE WHEN channel = 'sms' THEN 'failed' ELSE 'waiting' END,
    last_error = 'the sender was lost while sending'
WHERE {_OPEN} AND state = 'sending' AND next_try_ms < ?
"""  # noqa: S608 - constants
_DUE: Final = f"""
SELECT n.id, n.channel, n.address, n.tries, c.code_encrypted, h.address, e.number, o.language, c.ended_at_ms,
    c.superseded_by, coalesce(r.tell_from_hour, 9), coalesce(r.tell_until_hour, 20), coalesce(t.time_zone, 'UTC')
FROM code_notices n JOIN access_codes c ON c.id = n.access_code_id JOIN entrances e ON e.id = c.entrance_id
JOIN houses h ON h.id = e.house_id JOIN companies o ON o.id = n.company_id
LEFT JOIN cities t ON t.id = coalesce(h.city_id, o.city_id) LEFT JOIN access_code_rules r ON r.company_id = o.id
WHERE n.{_OPEN} AND n.state = 'waiting' AND n.next_try_ms <= ? ORDER BY n.next_try_ms, n.id LIMIT ?
"""  # noqa: S608 - constants
_ANY_DUE: Final = f"""
SELECT 1 WHERE EXISTS (SELECT 1 FROM access_codes WHERE tell_at_ms <= ? AND ended_at_ms IS NULL)
OR EXISTS (SELECT 1 FROM code_notices WHERE {_OPEN} AND next_try_ms <= ? AND (state = 'waiting' OR next_try_ms < ?))
"""  # noqa: S608 - constants
_NOT_NOW: Final = "UPDATE code_notices SET next_try_ms = ? WHERE id = ? AND state = 'waiting'"
_SENDING: Final = """
UPDATE code_notices SET state = 'sending', tries = tries + 1, next_try_ms = ? WHERE id = ? AND state = 'waiting'
RETURNING id
"""
_SETTLED: Final = """
SELECT id FROM code_notices WHERE state IN ('sent', 'failed') AND next_try_ms < ? ORDER BY id LIMIT ?
"""
"""Looks through the table: asked outside a transaction, so that no writer waits."""
_FORGET: Final = "DELETE FROM code_notices WHERE id = ?"
_SENT: Final = "UPDATE code_notices SET state = 'sent', sent_at_ms = ?, last_error = NULL WHERE id = ?"
_NOT_SENT: Final = "UPDATE code_notices SET state = ?, next_try_ms = ?, last_error = ? WHERE id = ?"


@dataclass(frozen=True)
class _Due:
    row_id: int
    channel: str
    address: str
    tries: int
    code_encrypted: str
    house: str
    entrance: int
    language: str
    ended_at_ms: int | None
    superseded_by: int | None
    from_hour: int
    until_hour: int
    zone: str


class CodeNotices(Listed[CodeNotice]):
    """Messages about new codes."""

    noun = "notice"
    model = CodeNotice

    def documents(self, rows: Sequence[CodeNotice]) -> list[Document]:
        """Show to whom and how, never the code."""
        return [dict(row.__data__) for row in rows]

    def is_any_due(self) -> bool:
        """Say whether `prepare` or `send` would find anything."""
        now_ms = self.context.now_ms()
        return self.database.row(_ANY_DUE, (now_ms, now_ms, now_ms - SENDING_MS)) is not None

    def prepare(self) -> int:
        """Write the notices of codes that people may be told of now; return of how many codes."""
        now_ms = self.context.now_ms()
        rows = self.database.rows(_TO_TELL, (False, now_ms, CODES_AT_ONCE))
        for code_id, _, entrance_id, sms, from_hour, until_hour, zone in rows:
            moment = waking_moment(now_ms, zone, from_hour, until_hour)
            with self.database.transaction():
                if moment > now_ms:
                    self.database.rows(_LATER, (moment, code_id))
                    continue
                self.database.rows(_APPS, (code_id, entrance_id, now_ms))
                if sms:
                    self.database.rows(_PHONES, (code_id, entrance_id, now_ms))
                self.database.rows(_TOLD, (code_id,))
        return len(rows)

    def send(self, messengers: Mapping[str, Messenger], limit: int, at_once: int = 1) -> int:
        """Send what is due, at most `limit` messages, `at_once` beside one another; return how many were looked at.

        Many messages take long, and one that was not taken comes again: each is sent at hours when people are awake.
        """
        now_ms = self.context.now_ms()
        with self.database.transaction():
            self.database.rows(_LOST, (now_ms - SENDING_MS,))
        due = [_Due(*row) for row in self.database.rows(_DUE, (now_ms, limit))]
        with ThreadPoolExecutor(at_once, "notice") as threads:
            for told in [threads.submit(self._tell, notice, messengers) for notice in due]:
                told.result()
        return len(due)

    def forget(self) -> int:
        """Remove some notices that were settled long ago; return how many. Called again as long as there are any."""
        old = self.database.rows(_SETTLED, (self.context.now_ms() - KEPT_MS, FORGOTTEN_AT_ONCE))
        with self.database.transaction():
            self.database.many(_FORGET, old)
        return len(old)

    def _tell(self, notice: _Due, messengers: Mapping[str, Messenger]) -> None:
        """Send one message, if people are awake and nobody else does."""
        try:
            now_ms = self.context.now_ms()
            moment = waking_moment(now_ms, notice.zone, notice.from_hour, notice.until_hour)
            if moment > now_ms:
                self._write(_NOT_NOW, (moment, notice.row_id))
                return
            with self.database.transaction():
                mine = self.database.rows(_SENDING, (now_ms, notice.row_id))
            if mine:
                self._send(notice, messengers.get(notice.channel))
        finally:
            self.database.forget_connection()

    def _send(self, notice: _Due, messenger: Messenger | None) -> None:
        reason = ""
        if notice.ended_at_ms is not None or notice.superseded_by is not None:
            reason = "the code is out of date"
        elif messenger is None:
            reason = f"no {notice.channel} service is configured"
        if reason or messenger is None:
            self._write(_NOT_SENT, ("failed", self.context.now_ms(), reason, notice.row_id))
            return
        try:
            code = self.context.encryption.decrypted(notice.code_encrypted)
            words = TEXTS.get(notice.language.partition("-")[0], TEXTS["en"])
            messenger.send(notice.address, words.format(address=notice.house, entrance=notice.entrance, code=code))
        except NotSentError as error:
            final = error.final or notice.tries + 1 >= TRIES
            later_ms = self.context.now_ms() + RETRY_MS * 2**notice.tries
            self._write(_NOT_SENT, ("failed" if final else "waiting", later_ms, str(error)[:500], notice.row_id))
            return
        self._write(_SENT, (self.context.now_ms(), notice.row_id))

    def _write(self, statement: str, values: tuple[Any, ...]) -> None:
        with self.database.transaction():
            self.database.rows(statement, values)
