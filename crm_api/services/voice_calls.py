"""Phones that a voice API calls: placed and ended by a worker, and what the API says of them told to the proxy.

The proxy holds the leg that waits. It is told by a change `voice:<token> <SIP status>`, in the words of a carrier: 100
for a call that is placed, 180 for one that rings, anything from 300 on for one that has failed.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec
import structlog

from crm_api.adapters.twilio_voice import PhoneCall, VoiceAccount, VoiceRefusedError
from crm_api.domain.call_record import billed
from crm_api.services.changes import Changes
from crm_api.tables import call_record_rows, voice_rows

if TYPE_CHECKING:
    from crm_api.services.context import Context

CHANGE_MARK: Final = "voice:"
LATE_MS: Final = 5000
"""The leg has gone on by then (`kemi_routes.voice_calls.PLACED_WITHIN_MS`)."""
SETTLES_MS: Final = 60_000
"""By then a phone that has joined has its own record."""
KEPT_MS: Final = 24 * 3600 * 1000
ANSWER_PATH: Final = "/v1/twilio/voice-answers/"
EVENT_PATH: Final = "/v1/twilio/voice-events/"
PLACED: Final = 100
UNAVAILABLE: Final = 503
_log = structlog.get_logger("crm_api.voice_calls")


class VoiceApi(Protocol):
    """Who calls phones (`crm_api.adapters.twilio_voice`)."""

    def call(self, account: VoiceAccount, call: PhoneCall) -> str:
        """Call a phone; return the name of the call."""

    def end(self, account: VoiceAccount, sid: str) -> None:
        """End a call."""


class VoiceWish(msgspec.Struct, frozen=True):
    """An entry of the stream `ep:voice_calls`: `call` this phone, or `end` the call of this token."""

    event: str
    token: str
    at_ms: int
    call_id: str = ""
    stage: int = 0
    branch: int = 0
    account: str = ""
    trunk: str = ""
    number: str = ""
    caller_number: str = ""


def url_key(context: Context, token: str) -> str:
    """Return what the URLs of a call end with: it does not tell the token."""
    return context.encryption.keyed_hash(f"voice call {token}")


def tell(context: Context, token: str, sip_status: int) -> None:
    """Tell the proxy; called inside a transaction."""
    Changes(context).credential(f"{CHANGE_MARK}{token} {sip_status}")


def account_of(context: Context, username: str, secret: str) -> VoiceAccount:
    """Return an account of the API with its token readable."""
    return VoiceAccount(username, context.encryption.decrypted(secret))


class VoiceCalls:
    """Does what the proxy wishes; each wish once, whichever worker has it."""

    def __init__(self, context: Context, api: VoiceApi, public_url: str) -> None:
        self._context = context
        self._api = api
        self._public_url = public_url.rstrip("/")

    def do(self, wish: VoiceWish, age_ms: int = 0) -> None:
        """Place or end a call: waits for the voice API. The wish is so old."""
        if wish.event == "call":
            self._place(wish, age_ms)
        else:
            self._end(wish)

    def count(self) -> None:
        """Record what was charged for phones that were answered and have not joined: the visitor had just left.

        A phone that has joined has a record of its own, which came within seconds of the end.
        """
        database = self._context.database
        with database.transaction():
            for row in database.rows(voice_rows.UNCOUNTED, (self._context.now_ms() - SETTLES_MS,)):
                call = voice_rows.Uncounted._make(row)
                charged = billed(call.charged_s * 1000, call.billing_increment_s, call.price_per_minute_micros)
                database.rows(
                    call_record_rows.PHONE_LEG,
                    (
                        *(call.call_id, call.stage, call.account, call.branch, call.company_id, call.apartment_id),
                        *(call.trunk, call.over_at_ms, call.charged_s * 1000, *charged, call.currency, False),
                    ),
                )
                database.rows(voice_rows.COUNTED, (call.id,))

    def forget(self) -> None:
        """Remove what is older than a day."""
        before = (self._context.now_ms() - KEPT_MS,)
        with self._context.database.transaction():
            self._context.database.rows(voice_rows.FORGET, before)
            self._context.database.rows(voice_rows.FORGET_ENDS, before)

    def _place(self, wish: VoiceWish, age_ms: int) -> None:
        database, now_ms = self._context.database, self._context.now_ms()
        if age_ms > LATE_MS:  # not by `at_ms`, which another host's clock says
            _log.warning("wish left out: it is late", call_id=wish.call_id, account=wish.account)
            return
        trunk = database.row(voice_rows.TRUNK, (wish.trunk, True))
        if trunk is None:
            self._failed(wish, "no such trunk", UNAVAILABLE)
            return
        trunk_id, username, secret = trunk
        key = url_key(self._context, wish.token)
        where = (wish.call_id, wish.stage, wish.branch, wish.account, wish.number)
        asked = (wish.token, key, trunk_id, *where, now_ms)
        with database.transaction():
            made = database.row(voice_rows.ASKED, asked)
            over = database.row(voice_rows.ENDED_BEFORE, (wish.token,))
        if made is None or over is not None:
            return  # another worker has it, or the visitor has left already
        account = account_of(self._context, username, secret)
        urls = (f"{self._public_url}{ANSWER_PATH}{key}", f"{self._public_url}{EVENT_PATH}{key}")
        try:
            sid = self._api.call(account, PhoneCall(wish.number, wish.caller_number, *urls))
        except VoiceRefusedError as error:
            self._failed(wish, str(error), error.sip_status)
            return
        with database.transaction():
            ended = database.row(voice_rows.PLACED, (sid, made[0]))
            over = database.row(voice_rows.ENDED_BEFORE, (wish.token,))
            tell(self._context, wish.token, PLACED)
        if over is not None or (ended is not None and ended[0] is not None):  # the visitor has left meanwhile
            self._hang_up(account, sid, wish.call_id)

    def _failed(self, wish: VoiceWish, reason: str, sip_status: int) -> None:
        _log.error("phone not called", call_id=wish.call_id, account=wish.account, trunk=wish.trunk, reason=reason)
        with self._context.database.transaction():
            tell(self._context, wish.token, sip_status)

    def _end(self, wish: VoiceWish) -> None:
        database = self._context.database
        with database.transaction():
            call = voice_rows.call_of(database.row(voice_rows.BY_TOKEN, (wish.token,)))
            if call is None:
                # The wish to call may be with a worker that is busy.
                database.rows(voice_rows.END_BEFORE, (wish.token, self._context.now_ms()))
                return
            # It may have been placed since it was read: whoever writes second, placer or ender, hangs up.
            ended = database.row(voice_rows.ENDED, (self._context.now_ms(), call.id))
        if ended is not None and ended[0] is not None:
            self._hang_up(account_of(self._context, call.username, call.secret), ended[0], call.call_id)

    def _hang_up(self, account: VoiceAccount, sid: str, call_id: str) -> None:
        try:
            self._api.end(account, sid)
        except VoiceRefusedError as error:
            _log.error("phone still rings", call_id=call_id, sid=sid, reason=str(error))
