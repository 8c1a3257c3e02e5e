"""Sounds of calls: sent by the call path, fetched by whoever may hear them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.inputs.call_sounds import NewCallSound
from crm_api.resources.authentication import tenant_of
from crm_api.resources.rendering import TooLargeError, query_of, send

if TYPE_CHECKING:
    import falcon

    from crm_api.services.call_sounds import CallSounds

MAX_SOUND_BYTES: Final = 32 * 1024 * 1024
"""An hour of µ-law."""
WAV: Final = "audio/wav"


class RecordedSound:
    """`POST /v1/recorded-sounds`: the call path sends what it has recorded."""

    def __init__(self, sounds: CallSounds) -> None:
        self._sounds = sounds

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Keep what was recorded; sent again it is kept once."""
        new = query_of(req, NewCallSound)
        content = req.bounded_stream.read(MAX_SOUND_BYTES + 1)
        if len(content) > MAX_SOUND_BYTES:
            raise TooLargeError(f"The sound is longer than {MAX_SOUND_BYTES} bytes")
        send(resp, self._sounds.keep(new, content), 201)


class Audio:
    """`GET /v1/call-sounds/{id}/audio`."""

    def __init__(self, sounds: CallSounds) -> None:
        self._sounds = sounds

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Send the sound."""
        resp.data = self._sounds.content(tenant_of(req), key)
        resp.content_type = WAV
