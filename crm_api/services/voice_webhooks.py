"""What a voice API asks and tells of its calls: signed with its account's token, each thing once, and not late."""

from __future__ import annotations

from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

import structlog

from crm_api.adapters.twilio_voice import HANG_UP, dials, is_signed
from crm_api.domain.problems import ConflictError, ForbiddenError
from crm_api.services.voice_calls import ANSWER_PATH, EVENT_PATH, account_of, tell
from crm_api.tables import voice_rows

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crm_api.services.context import Context
    from crm_api.tables.voice_rows import VoiceCall

FRESH_MS: Final = 5 * 60 * 1000
"""A status told later than this after it happened is a replay; so is an answer so long after the call was asked for."""
RINGING: Final = 180
SIP_STATUS: Final = {"busy": 486, "no-answer": 480, "canceled": 480, "completed": 480}
"""What a carrier would say of a call that has ended. A leg that was joined waits no more, and hears nothing of it."""
FAILED: Final = 404
"""Twilio says `failed` of a number that does not exist; where it knows what its carrier said, that is taken."""
_LOWEST, _HIGHEST = 400, 699
_LONGEST_S = 86_400
_CARRIER_SAID: Final = "SipResponseCode"
_log = structlog.get_logger("crm_api.voice_calls")


class VoiceWebhooks:
    """Checks and answers them. `sip_address` is where the API finds the proxy: `host[:port]`, parameters allowed."""

    def __init__(self, context: Context, public_url: str, sip_address: str | None) -> None:
        self._context = context
        self._public_url = public_url.rstrip("/")
        self._sip_address = sip_address

    def answered(self, key: str, fields: Mapping[str, str], signature: str) -> bytes:
        """The called person is there: return the TwiML that joins him with the call that waits.

        Raises:
            ForbiddenError: not signed with the account's token, or of another call.
            ConflictError: asked before, or too late.
        """
        call = self._checked(f"{ANSWER_PATH}{key}", key, fields, signature)
        database, now_ms = self._context.database, self._context.now_ms()
        with database.transaction():
            first = database.row(voice_rows.ANSWERED, (now_ms, call.id))
        if first is None or now_ms - call.asked_at_ms > FRESH_MS:
            raise ConflictError("This call has been answered before, or long ago: nothing waits for it")
        if call.ended_at_ms is not None:  # the visitor has left in this moment
            return HANG_UP
        return dials(f"sip:{call.token}@{self._sip_address}")

    def told(self, key: str, fields: Mapping[str, str], signature: str) -> None:
        """A call has come to a status.

        Raises:
            ForbiddenError: not signed with the account's token, or of another call.
            ConflictError: told before, or too late.
        """
        call = self._checked(f"{EVENT_PATH}{key}", key, fields, signature)
        status = fields.get("CallStatus", "")
        if self._is_old(fields.get("Timestamp", "")):
            raise ConflictError(f"Timestamp: {fields.get('Timestamp')!r} is no moment of the last minutes")
        database = self._context.database
        with database.transaction():
            if database.row(voice_rows.TOLD, (call.id, status[:32], self._context.now_ms())) is None:
                raise ConflictError(f"CallStatus: {status!r} of this call has been told before")
            charged = fields.get("CallDuration", "")
            if status == "completed" and charged.isascii() and charged.isdecimal() and 0 < int(charged) <= _LONGEST_S:
                database.rows(voice_rows.OVER, (self._context.now_ms(), int(charged), call.id))
            sip_status = _sip_status(status, fields)
            if sip_status is not None:
                tell(self._context, call.token, sip_status)

    def _checked(self, path: str, key: str, fields: Mapping[str, str], signature: str) -> VoiceCall:
        """Return the call that this is about; whoever is refused does not learn whether there is one."""
        call = voice_rows.call_of(self._context.database.row(voice_rows.BY_URL_KEY, (key,)))
        if call is None:
            raise ForbiddenError("X-Twilio-Signature: sign with the token of the account that places this call")
        account = account_of(self._context, call.username, call.secret)
        signed = is_signed(account, self._public_url + path, fields, signature)
        sid = fields.get("CallSid", "")
        # Told before the answer to our own request: then its SID is not known yet.
        if not signed or fields.get("AccountSid") != account.sid or not sid or call.sid not in {None, sid}:
            _log.warning("webhook refused: signature, account or call is another", call_id=call.call_id, path=path)
            raise ForbiddenError("X-Twilio-Signature: sign with the token of the account that places this call")
        return call

    def _is_old(self, timestamp: str) -> bool:
        try:
            at_ms = int(parsedate_to_datetime(timestamp).timestamp() * 1000)
        except ValueError:
            return True
        return abs(self._context.now_ms() - at_ms) > FRESH_MS


def _sip_status(status: str, fields: Mapping[str, str]) -> int | None:
    if status == "ringing":
        return RINGING
    if status == "failed":
        said = fields.get(_CARRIER_SAID, "")
        known = said.isascii() and said.isdecimal() and _LOWEST <= int(said) <= _HIGHEST
        return int(said) if known else FAILED
    return SIP_STATUS.get(status)
