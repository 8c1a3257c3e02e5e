"""Descriptions of phones that show the visitor before they answer: their sound is on hold, nothing else is touched."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import early_pictures
from lab.peers import sdp
from tests.unit.kemi.sip_message import Message

if TYPE_CHECKING:
    from tests.unit.kemi.fake_ksr import FakeKsr

_SOUND = sdp.write("10.0.0.2", 4000)
_PICTURE = sdp.write("10.0.0.2", 4000, video_port=4002)
_NO_PICTURE = sdp.write("10.0.0.2", 4000, video_port=0)


def said(direction: str, description: bytes = _SOUND) -> bytes:
    """The description with this direction of its sound; empty: it says none."""
    sound, mark, rest = description.partition(b"m=video")
    return sound.replace(b"a=sendrecv\r\n", f"a={direction}\r\n".encode() if direction else b"") + mark + rest


def directions(description: bytes) -> list[str]:
    return [media.direction for media in sdp.read(description)]


@pytest.mark.parametrize("direction", ["", "sendrecv", "sendonly", "recvonly", "inactive"])
def test_the_sound_of_who_shows_a_picture_is_on_hold(direction: str) -> None:
    held = early_pictures.with_sound_held(said(direction, _PICTURE))
    assert directions(held) == ["inactive", "sendrecv"]
    assert sorted(line for line in held.splitlines() if not line.startswith(b"a=")) == sorted(
        line for line in _PICTURE.splitlines() if not line.startswith(b"a=")
    )
    assert early_pictures.with_sound_held(held) == held


@pytest.mark.parametrize(
    ("description", "is_held"),
    [
        pytest.param(_SOUND, False, id="may have something to say"),
        pytest.param(said("recvonly"), True, id="listens alone"),
        pytest.param(said("", _SOUND).replace(b"t=0 0\r\n", b"t=0 0\r\na=recvonly\r\n"), True, id="says so for all"),
        pytest.param(said("sendrecv", _NO_PICTURE), False, id="shows no picture"),
        pytest.param(b"", False, id="nothing"),
        pytest.param(_PICTURE.replace(b"m=audio 4000", b"m=audio 0"), False, id="has no sound"),
    ],
)
def test_who_may_have_something_to_say_is_heard(description: bytes, is_held: bool) -> None:
    held = early_pictures.with_sound_held(description)
    assert (held != description) is is_held
    assert ("inactive" in directions(held)) is is_held


@pytest.mark.parametrize(
    "description",
    [said("sendonly"), said("sendonly", _NO_PICTURE), said("").replace(b"t=0 0\r\n", b"t=0 0\r\na=sendonly\r\n")],
    ids=["of the sound", "beside a refused picture", "of all"],
)
def test_who_only_sends_before_he_answers_has_nobody_on_hold(description: bytes) -> None:
    assert b"a=sendonly" in description
    heard = early_pictures.with_sound_held(description)
    assert directions(heard)[0] == "sendrecv"
    assert early_pictures.with_sound_held(heard) == heard


@pytest.mark.parametrize(
    ("content_type", "is_held"),
    [("application/sdp", True), ("Application/SDP ; x=1", True), ("multipart/mixed", False)],
)
def test_a_description_is_changed_byte_for_byte(fake: FakeKsr, content_type: str, is_held: bool) -> None:
    body = _PICTURE.replace(b"s=-", b"s=\xcf").decode("utf-8", "surrogateescape")
    fake.message = Message(status=183, body=body, headers=[("Content-Type", content_type)])
    early_pictures.hold_sound(fake.ksr)
    written = [(bytes.fromhex(str(text)), kind) for text, kind in fake.called("textops.set_body_hex")]
    held = early_pictures.with_sound_held(body.encode("utf-8", "surrogateescape"))
    assert written == ([(held, "application/sdp")] if is_held else [])


def test_what_is_as_it_should_be_is_left_alone(fake: FakeKsr) -> None:
    fake.message = Message(status=183, body=_SOUND.decode(), headers=[("Content-Type", "application/sdp")])
    early_pictures.hold_sound(fake.ksr)
    assert fake.called("textops.set_body_hex") == []
