"""Messages of visitors and recordings of talks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs.call_sounds import CallSoundQuery, NewCallSound
from crm_api.domain.outputs.call_sounds import CallSoundDocument
from crm_api.resources.acts import Act
from crm_api.resources.call_sounds import (
    JPEG,
    JPEG_EXAMPLE,
    WAV,
    WAV_EXAMPLE,
    Audio,
    LinkedPicture,
    LinkedSound,
    PictureOfMessage,
    RecordedSound,
)
from crm_api.resources.declaration import ID, Answer, Endpoint, Key, Operation, id_key
from crm_api.resources.kept import kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services

TAG: Final = "Messages and recordings"
PATH: Final = "/v1/call-sounds"


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    keeping = Operation(
        "POST",
        "Keep a message or a recording",
        changes("door_openings"),
        (Answer(201, "What is kept; sent again it is kept once", CallSoundDocument),),
        "The call path sends what it has recorded: WAV, µ-law, 8 kHz.",
        upload=(WAV,),
        query=NewCallSound,
        problems=frozenset({"not-found", "too-large"}),
    )
    return (
        *kept(
            PATH,
            tag=TAG,
            plural="messages and recordings",
            service=services.call_sounds,
            query=CallSoundQuery,
            document=CallSoundDocument,
            removal="It is gone before its time, with the picture of a message: nobody hears or sees it any more.",
            readers=reads("call_sounds"),
            writers=changes("call_sounds"),
        ),
        Endpoint("/v1/recorded-sounds", TAG, RecordedSound(services.call_sounds), (keeping,)),
        Endpoint(
            f"{PATH}/{ID}/audio",
            TAG,
            Audio(services.call_sounds),
            (
                Operation(
                    "GET",
                    "Hear a message or a recording",
                    reads("call_sounds"),
                    (Answer(200, "The sound", media_types=(WAV,), example=WAV_EXAMPLE),),
                    "WAV, µ-law, 8 kHz, one channel; of a talk both sides together. That somebody has heard a "
                    "message is noted by `.../heard`, not by this.",
                ),
            ),
            id_key("sound of a call"),
        ),
        Endpoint(
            f"{PATH}/{ID}/picture",
            TAG,
            PictureOfMessage(services.call_sounds, services.message_pictures),
            (
                Operation(
                    "GET",
                    "See who left a message",
                    reads("call_sounds"),
                    (
                        Answer(
                            200,
                            "The panel's picture, taken as he was invited to speak",
                            media_types=(JPEG,),
                            example=JPEG_EXAMPLE,
                        ),
                    ),
                    "404 for a recording, and for a message whose panel gave no picture (`has_picture` false).",
                    problems=frozenset({"not-found"}),
                ),
            ),
            id_key("sound of a call"),
        ),
        Endpoint(
            "/v1/message-pictures/{key}",
            TAG,
            LinkedPicture(services.message_pictures),
            (
                Operation(
                    "GET",
                    "See who left a message, by the link of a push or a webhook",
                    None,
                    (Answer(200, "The panel's picture", media_types=(JPEG,), example=JPEG_EXAMPLE),),
                    "The link is its own permission: for one message, for as long as that is kept.",
                    problems=frozenset({"not-found"}),
                ),
            ),
            {"key": Key("what the link holds", "7-1791209600000-b1")},
        ),
        Endpoint(
            "/v1/message-sounds/{key}",
            TAG,
            LinkedSound(services.message_sounds),
            (
                Operation(
                    "GET",
                    "Hear a message, by the link of a push",
                    None,
                    (Answer(200, "The sound: WAV, µ-law, 8 kHz", media_types=(WAV,), example=WAV_EXAMPLE),),
                    "The link is its own permission: for one message, for as long as that is kept.",
                    problems=frozenset({"not-found"}),
                ),
            ),
            {"key": Key("what the link holds", "7-1791209600000-b1")},
        ),
        Endpoint(
            f"{PATH}/{ID}/heard",
            TAG,
            Act(services.call_sounds.heard),
            (
                Operation(
                    "POST",
                    "Note that a message was heard",
                    changes("call_sounds"),
                    (Answer(200, "The message", CallSoundDocument, headers=("ETag",)),),
                    "Its `heard_at_ms` is the first time that somebody said so, and stays it. Nothing else depends "
                    "on it: the message is kept as long as before.",
                ),
            ),
            id_key("sound of a call"),
        ),
    )
