"""What Twilio's voice API asks and tells of the phones that it calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.adapters.twilio_voice import dials
from crm_api.resources.declaration import Answer, Endpoint, Key, Operation
from crm_api.resources.twilio import FORM, TWIML, VoiceAnswer, VoiceEvent

if TYPE_CHECKING:
    from crm_api.bootstrap import Services

TAG: Final = "Phones"
_KEY: Final = {"key": Key("what the URL that Twilio was given ends with", "a0b1")}
_SIGNED: Final = (
    "Called by Twilio alone: the header `X-Twilio-Signature` is checked with the account's token against `public_url`. "
    "What is told again, or late, is refused."
)
_PROBLEMS: Final = frozenset({"forbidden", "conflict", "too-large", "broken-off", "invalid-fields"})

_JOINED: Final = dials("sip:3f1c9a0e@sip.riverside.example").decode()


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        Endpoint(
            "/v1/twilio/voice-answers/{key}",
            TAG,
            VoiceAnswer(services.voice_webhooks),
            (
                Operation(
                    "POST",
                    "A phone has answered: what to do with its call",
                    None,
                    (
                        Answer(
                            200, "TwiML that joins the phone with the visitor", media_types=(TWIML,), example=_JOINED
                        ),
                    ),
                    _SIGNED,
                    upload=(FORM,),
                    upload_example="CallSid=CA0&AccountSid=AC0&CallStatus=in-progress",
                    problems=_PROBLEMS,
                ),
            ),
            _KEY,
        ),
        Endpoint(
            "/v1/twilio/voice-events/{key}",
            TAG,
            VoiceEvent(services.voice_webhooks),
            (
                Operation(
                    "POST",
                    "How the call to a phone goes",
                    None,
                    (Answer(204, "Taken"),),
                    _SIGNED,
                    upload=(FORM,),
                    upload_example="CallSid=CA0&AccountSid=AC0&CallStatus=ringing",
                    problems=_PROBLEMS,
                ),
            ),
            _KEY,
        ),
    )
