"""Sounds of calls: sent by the call path, fetched by whoever may hear them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.inputs.call_sounds import NewCallSound
from crm_api.resources.authentication import tenant_of
from crm_api.resources.rendering import content_of, query_of, send

if TYPE_CHECKING:
    import falcon

    from crm_api.services.call_sounds import CallSounds
    from crm_api.services.message_pictures import MessagePictures
    from crm_api.services.message_sounds import MessageSounds

MAX_SOUND_BYTES: Final = 32 * 1024 * 1024
"""An hour of µ-law."""
WAV: Final = "audio/wav"
WAV_EXAMPLE: Final = "(a WAV file, one channel, 8 kHz)"
JPEG: Final = "image/jpeg"
JPEG_EXAMPLE: Final = "(a JPEG picture)"


class RecordedSound:
    """`POST /v1/recorded-sounds`: the call path sends what it has recorded."""

    def __init__(self, sounds: CallSounds) -> None:
        self._sounds = sounds

    def on_post(self, req: falcon.Request, resp: falcon.Response) -> None:
        """Keep what was recorded; sent again it is kept once."""
        new = query_of(req, NewCallSound)
        content = content_of(req, MAX_SOUND_BYTES, "an hour is the longest sound")
        send(resp, self._sounds.keep(new, content), 201)


class Audio:
    """`GET /v1/call-sounds/{id}/audio`."""

    def __init__(self, sounds: CallSounds) -> None:
        self._sounds = sounds

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Send the sound."""
        resp.data = self._sounds.content(tenant_of(req), key)
        resp.content_type = WAV


class PictureOfMessage:
    """`GET /v1/call-sounds/{id}/picture`."""

    def __init__(self, sounds: CallSounds, pictures: MessagePictures) -> None:
        self._sounds = sounds
        self._pictures = pictures

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: int) -> None:
        """Send the picture."""
        self._sounds.row(tenant_of(req), key)
        resp.data = self._pictures.content(key)
        resp.content_type = JPEG


class LinkedSound:
    """`GET /v1/message-sounds/{key}`: the link of a push."""

    def __init__(self, sounds: MessageSounds) -> None:
        self._sounds = sounds

    def on_get(self, _req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Send the sound; nobody on the way may keep it."""
        resp.data = self._sounds.heard(key)
        resp.content_type = WAV
        resp.cache_control = ["private", "no-store"]


class LinkedPicture:
    """`GET /v1/message-pictures/{key}`: the link of a push or a webhook."""

    def __init__(self, pictures: MessagePictures) -> None:
        self._pictures = pictures

    def on_get(self, _req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Show the picture; nobody on the way may keep it."""
        resp.data = self._pictures.shown(key)
        resp.content_type = JPEG
        resp.cache_control = ["private", "no-store"]
