"""Webhooks of Twilio's voice API: forms, signed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final
from urllib.parse import parse_qsl

from crm_api.domain.problems import InvalidFieldsError
from crm_api.resources.rendering import content_of

if TYPE_CHECKING:
    import falcon

    from crm_api.services.voice_webhooks import VoiceWebhooks

FORM: Final = "application/x-www-form-urlencoded"
TWIML: Final = "text/xml"
MAX_FORM_BYTES: Final = 64 * 1024
MAX_FIELDS: Final = 200


def _form_of(req: falcon.Request) -> dict[str, str]:
    raw = content_of(req, MAX_FORM_BYTES, "no form of Twilio is")
    try:
        return dict(parse_qsl(raw.decode(), keep_blank_values=True, max_num_fields=MAX_FIELDS))
    except ValueError as error:
        raise InvalidFieldsError.one("body", None, f"send a form ({FORM}) in UTF-8: {error}") from None


def _signature_of(req: falcon.Request) -> str:
    return req.get_header("X-Twilio-Signature") or ""


class VoiceAnswer:
    """`POST /v1/twilio/voice-answers/{key}`: a phone has answered; the answer is TwiML."""

    def __init__(self, webhooks: VoiceWebhooks) -> None:
        self._webhooks = webhooks

    def on_post(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Tell where the phone's call goes."""
        resp.data = self._webhooks.answered(key, _form_of(req), _signature_of(req))
        resp.content_type = TWIML


class VoiceEvent:
    """`POST /v1/twilio/voice-events/{key}`: how a call goes."""

    def __init__(self, webhooks: VoiceWebhooks) -> None:
        self._webhooks = webhooks

    def on_post(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Take it."""
        self._webhooks.told(key, _form_of(req), _signature_of(req))
        resp.status = 204
