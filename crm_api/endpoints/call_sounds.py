"""Messages of visitors and recordings of talks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs.call_sounds import CallSoundQuery, NewCallSound
from crm_api.domain.outputs.call_sounds import CallSoundDocument
from crm_api.resources.acts import Act
from crm_api.resources.call_sounds import WAV, Audio, RecordedSound
from crm_api.resources.declaration import ID, Answer, Endpoint, Operation, id_key
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
                    (Answer(200, "The sound", media_types=(WAV,)),),
                ),
            ),
            id_key("sound of a call"),
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
                ),
            ),
            id_key("sound of a call"),
        ),
    )
