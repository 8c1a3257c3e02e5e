"""Twilio's voice API: a phone is called, and its call ended, through Twilio's own library."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Final, NamedTuple

from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.request_validator import RequestValidator
from twilio.twiml.voice_response import Dial, VoiceResponse

from crm_api.adapters.twilio_numbers import client_at

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

RING_S: Final = 120
"""How long a phone rings when nobody can tell it to stop; it is told so when its stage is over."""
TALK_LIMIT_S: Final = 4 * 3600
"""Longer than any talk: the platform's own limit ends it before."""
TOLD: Final = ("initiated", "ringing", "answered", "completed")
_NO_SUCH_NUMBER: Final = frozenset({13223, 13224, 13225, 13226, 21211, 21214, 21215, 21216, 21217, 21219, 60205})
"""Twilio's codes of a number that cannot or may not be called (https://www.twilio.com/docs/api/errors)."""
_OVER: Final = frozenset({20404, 21220})
"""The call is not there any more, or not in progress."""
HANG_UP: Final = b'<?xml version="1.0" encoding="UTF-8"?><Response><Hangup /></Response>'
NOT_FOUND: Final = 404
UNAVAILABLE: Final = 503


class VoiceRefusedError(Exception):
    """The API does not call; the sentence says why, `sip_status` what a carrier would have said."""

    def __init__(self, reason: str, sip_status: int) -> None:
        super().__init__(reason)
        self.sip_status = sip_status


class VoiceAccount(NamedTuple):
    """An account of the API: its SID and its auth token."""

    sid: str
    token: str


class PhoneCall(NamedTuple):
    """A call to place: both numbers in E.164, where it is asked what to do and where told how it goes."""

    number: str
    caller_number: str
    answer_url: str
    event_url: str


class TwilioVoice:
    """Twilio at an address. Every method waits for it: the worker's threads call them, and nobody else."""

    def __init__(self, base_url: str) -> None:
        self._base_url = base_url
        self._client_of = functools.lru_cache(maxsize=64)(self._client)

    def _client(self, account: VoiceAccount) -> Any:
        return client_at(account.sid, account.token, self._base_url)

    def call(self, account: VoiceAccount, call: PhoneCall) -> str:
        """Call a phone; return the SID of the call.

        Raises:
            VoiceRefusedError: Twilio is away, or does not want to.
        """
        try:
            placed = self._client_of(account).calls.create(
                to=call.number,
                from_=call.caller_number,
                url=call.answer_url,
                method="POST",
                status_callback=call.event_url,
                status_callback_method="POST",
                status_callback_event=list(TOLD),
                timeout=RING_S,
                time_limit=TALK_LIMIT_S,
            )
        except TwilioRestException as error:
            status = NOT_FOUND if error.code in _NO_SUCH_NUMBER else UNAVAILABLE
            raise VoiceRefusedError(f"HTTP {error.status}, code {error.code}: {error.msg}", status) from error
        except (TwilioException, OSError) as error:
            raise VoiceRefusedError(str(error) or type(error).__name__, UNAVAILABLE) from error
        return str(placed.sid)

    def end(self, account: VoiceAccount, sid: str) -> None:
        """End a call, whatever its state.

        Raises:
            VoiceRefusedError: Twilio is away; the call ends at its own limits.
        """
        try:
            self._client_of(account).calls(sid).update(status="completed")
        except TwilioRestException as error:
            if error.code not in _OVER:
                raise VoiceRefusedError(f"HTTP {error.status}, code {error.code}: {error.msg}", UNAVAILABLE) from error
        except (TwilioException, OSError) as error:
            raise VoiceRefusedError(str(error) or type(error).__name__, UNAVAILABLE) from error


def is_signed(account: VoiceAccount, url: str, fields: Mapping[str, str], signature: str) -> bool:
    """Tell whether a webhook was signed with the account's token (https://www.twilio.com/docs/usage/security)."""
    return bool(RequestValidator(account.token).validate(url, dict(fields), signature))


def dials(sip_uri: str) -> bytes:
    """Return the TwiML that joins a phone that has answered with a SIP address."""
    response = VoiceResponse()
    dial = Dial(answer_on_bridge=False, timeout=10)
    dial.sip(sip_uri)
    response.append(dial)
    return str(response).encode()
