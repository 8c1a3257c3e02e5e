"""Short messages to people: SMS by Twilio."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import requests
from twilio.base.exceptions import TwilioException, TwilioRestException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

if TYPE_CHECKING:
    from crm_api.config import SmsConfig

TIMEOUT_S: Final = 10.0
_TOO_MANY: Final = 429
_CLIENT_ERROR: Final = range(400, 500)


class NotSentError(Exception):
    """The message was not taken; `final` when trying again is of no use."""

    def __init__(self, reason: str, *, final: bool) -> None:
        super().__init__(reason)
        self.final = final


class Messenger(Protocol):
    """Sends one message; raises `NotSentError`."""

    def send(self, address: str, text: str) -> None:
        """Send to a phone number (SMS) or an account (push)."""


class TwilioSms:
    """SMS over Twilio's REST API (https://www.twilio.com/docs/messaging/api/message-resource)."""

    def __init__(self, config: SmsConfig) -> None:
        self._from = config.from_number
        http = TwilioHttpClient(timeout=TIMEOUT_S)
        self._client = Client(config.account_sid, config.auth_token, http_client=http)
        self._client.api.base_url = config.api_url

    def send(self, address: str, text: str) -> None:
        """Send to a number in E.164; Twilio taking it is not yet its arrival."""
        try:
            self._client.messages.create(to=address, from_=self._from, body=text)
        except TwilioRestException as error:
            final = error.status in _CLIENT_ERROR and error.status != _TOO_MANY
            raise NotSentError(
                f"Twilio answered {error.status}, code {error.code}: {error.msg}", final=final
            ) from error
        except (TwilioException, requests.RequestException) as error:
            raise NotSentError(f"Twilio did not answer ({type(error).__name__})", final=False) from error
