"""The phone numbers of a Twilio account, through Twilio's own library."""

from __future__ import annotations

from typing import Any, Final

from twilio.base.exceptions import TwilioException
from twilio.http.http_client import TwilioHttpClient
from twilio.rest import Client

from crm_api.domain.problems import ProblemError

TIMEOUT_S: Final = 15.0
_API: Final = "https://api.twilio.com"


class ElsewhereError(ProblemError):
    """Another service does not do what was asked of it."""

    kind = "elsewhere"


class _At(TwilioHttpClient):  # type: ignore[misc]  # twilio publishes no types
    """Twilio's own client, at another address: a proxy of the operator's, or a stand-in in tests."""

    def __init__(self, base_url: str) -> None:
        super().__init__(timeout=TIMEOUT_S)
        self._base_url = base_url.rstrip("/")

    def request(self, method: str, url: str, *arguments: Any, **more: Any) -> Any:
        return super().request(method, url.replace(_API, self._base_url, 1), *arguments, **more)


def client_at(account_sid: str, token: str, base_url: str) -> Any:
    """Return Twilio's client, speaking to this address."""
    return Client(account_sid, token, http_client=_At(base_url))


class TwilioNumberSource:
    """Reads an account's incoming phone numbers."""

    def __init__(self, base_url: str = _API) -> None:
        self._base_url = base_url

    def numbers(self, account_sid: str, token: str) -> list[str]:
        """Return the numbers that can carry voice, in E.164.

        Raises:
            ElsewhereError: Twilio is away, or refuses account and token.
        """
        client = client_at(account_sid, token, self._base_url)
        try:
            found = client.incoming_phone_numbers.list()
        except (TwilioException, OSError) as error:
            raise ElsewhereError(f"Twilio did not tell the numbers of {account_sid}: {error}") from error
        return [line.phone_number for line in found if line.phone_number and line.capabilities.get("voice", True)]
