"""Where notices go: mail by SMTP, webhooks signed with HMAC, short messages through Twilio."""

from __future__ import annotations

import asyncio
import json
import smtplib
import ssl
import time
from email.message import EmailMessage
from typing import TYPE_CHECKING, Any, Final, Protocol
from urllib.parse import unquote, urlsplit

from twilio.base.exceptions import TwilioException

from crm_api.adapters.customer_posts import NotPostedError, client_of, post
from crm_api.adapters.signing import SIGNATURE, signature
from crm_api.adapters.twilio_numbers import client_at
from crm_api.domain.network_addresses import networks_of

if TYPE_CHECKING:
    from crm_api.config import CrmConfig
    from crm_api.domain.network_addresses import Networks

TIMEOUT_S: Final = 5.0
_WORDS: Final = {
    "address": "Address",
    "entrance": "Entrance",
    "city": "City",
    "entrance_code": "Entrance code",
    "number": "Calls from",
    "map": "Map",
    "panel_name": "Panel",
}


class SendError(Exception):
    """The message could not be sent; the sentence says why."""


class NoticeSender(Protocol):
    """One channel."""

    def send(self, destination: str, body: dict[str, Any], secret: str | None) -> None:
        """Send, or raise `SendError`."""


def text_of(body: dict[str, Any]) -> str:
    """Write a notice for people."""
    if body.get("event") != "emergency_call":
        return "\n".join(f"{name}: {value}" for name, value in body.items())
    lines = [f"{word}: {body[name]}" for name, word in _WORDS.items() if body.get(name) is not None]
    return "\n".join(["Emergency call from a door panel", *lines])


class MailSender:
    """Mail through one server: `smtps://[user:password@]host[:port]` for TLS from the start, or `smtp://`.

    Certificates are checked (against `SSL_CERT_FILE`, where that is set). With `smtp://` a password is sent after
    STARTTLS (RFC 3207) alone; without one the mail goes in clear: on this host, or within a network of one's own.
    """

    def __init__(self, url: str, sender: str) -> None:
        self._parts = urlsplit(url)
        self._sender = sender

    def send(self, destination: str, body: dict[str, Any], secret: str | None) -> None:  # noqa: ARG002 - of webhooks
        """Send one mail."""
        message = EmailMessage()
        message["From"], message["To"] = self._sender, destination
        message["Subject"] = "112: emergency call" if body.get("event") == "emergency_call" else str(body.get("event"))
        message.set_content(text_of(body))
        parts = self._parts
        try:
            with self._connected() as server:
                if parts.username:
                    server.login(unquote(parts.username), unquote(parts.password or ""))
                server.send_message(message)
        except (OSError, smtplib.SMTPException) as error:
            raise SendError(f"mail to {destination}: {error}") from error

    def _connected(self) -> smtplib.SMTP:
        host, port = self._parts.hostname or "", self._parts.port or 0
        if self._parts.scheme == "smtps":
            return smtplib.SMTP_SSL(host, port, timeout=TIMEOUT_S, context=ssl.create_default_context())
        server = smtplib.SMTP(host, port, timeout=TIMEOUT_S)
        if self._parts.username:
            try:
                server.starttls(context=ssl.create_default_context())
            except smtplib.SMTPNotSupportedError:
                server.close()
                raise smtplib.SMTPNotSupportedError(
                    f"{host} offers no STARTTLS, and its password is not sent in clear: give smtp_url with smtps://, "
                    "or without user"
                ) from None
            except BaseException:
                server.close()
                raise
        return server


class WebhookSender:
    """`POST` of the JSON document, signed where there is a secret."""

    def __init__(self, networks: Networks = ()) -> None:
        self._networks = networks

    def send(self, destination: str, body: dict[str, Any], secret: str | None) -> None:
        """Post once."""
        data = json.dumps(body, ensure_ascii=False).encode()
        headers = {"Content-Type": "application/json"}
        if secret is not None:
            headers[SIGNATURE] = signature(secret, int(time.time()), data)
        try:
            asyncio.run(self._post(destination, data, headers))
        except NotPostedError as error:
            raise SendError(f"POST {destination}: {error}") from error

    async def _post(self, destination: str, data: bytes, headers: dict[str, str]) -> None:
        async with client_of(self._networks) as client:
            await post(client, destination, data, headers)


class SmsSender:
    """Short messages through Twilio."""

    def __init__(self, account_sid: str, token: str, sender: str, api_url: str) -> None:
        self._client = client_at(account_sid, token, api_url)
        self._sender = sender

    def send(self, destination: str, body: dict[str, Any], secret: str | None) -> None:  # noqa: ARG002 - of webhooks
        """Send one message."""
        try:
            self._client.messages.create(to=destination, from_=self._sender, body=text_of(body))
        except (TwilioException, OSError) as error:
            raise SendError(f"SMS to {destination}: {error}") from error


def notice_senders(config: CrmConfig) -> dict[str, NoticeSender]:
    """Return the channels that are set up."""
    senders: dict[str, NoticeSender] = {"webhook": WebhookSender(networks_of(config.webhook_networks))}
    if config.smtp_url is not None:
        senders["email"] = MailSender(config.smtp_url, config.mail_from)
    if config.twilio_account_sid is not None and config.twilio_token is not None and config.sms_from is not None:
        senders["sms"] = SmsSender(
            config.twilio_account_sid, config.twilio_token, config.sms_from, config.twilio_api_url
        )
    return senders
