"""Sound, pictures and early media pass through: what the panel offers, the phone gets, and the packets flow."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers import sdp
from lab.peers.rtp import open_stream
from tests.sip.carriers import a_phone_is_dialled
from tests.sip.households import debtor, family
from tests.sip.ordinary import flows, they_talk
from tests.sip.prompts import prompt_plays
from tests.sip.records import record_with

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from tests.sip.records import Record
    from tests.sip.scene import Scene

_MORE_THAN_RINGING = 90
"""Audible packets within three seconds: of ringing (one second in five) there are 50."""
_FRAME = bytes(range(40))  # no picture: what is passed on untouched need not be one


@pytest.mark.parametrize(
    ("payload_type", "name"),
    [
        pytest.param(sdp.OPUS, "opus/48000/2", id="opus"),
        pytest.param(sdp.G722, "G722/8000", id="g722"),
        pytest.param(sdp.PCMA, "PCMA/8000", id="pcma"),
    ],
)
async def test_a_call_with_one_codec_passes_through(scene: Scene, payload_type: int, name: str) -> None:
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    types = (payload_type, sdp.TELEPHONE_EVENT)
    stream = await open_stream(at.address)
    try:
        offer = sdp.write(at.address, stream.port, payload_types=types)
        call = await visitor.call(at.credentials, number, description=offer)
        ring = await phone.incoming()
        offered = sdp.audio(ring.invite.body)
        assert offered is not None
        assert name.lower() in [known.lower() for known in offered.rtpmap.values()]
        theirs = next(number for number, known in offered.rtpmap.items() if known.lower() == name.lower())
        ring.payload_types = types
        ring.ring()
        ring.answer()
        ring.rtp.hush()
        final = await call.final()
        answered = sdp.audio(final.body)
        assert answered is not None
        assert answered.payload_types[0] == payload_type
        stream.aim(answered)
        await ring.established()

        def send() -> None:  # both directions: Asterisk learns where each side is from its own packets
            stream.send_packet(payload_type, _FRAME)
            ring.rtp.send_packet(theirs if theirs == payload_type else payload_type, _FRAME)

        await flows(send, ring.rtp, stream)
        assert await call.bye() == 200
    finally:
        stream.close()


async def test_a_phone_that_says_183_and_shows_nothing_rings(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await phone.incoming()
    ring.respond(ring.received, 183)
    await call.wait_status(180, 3)
    await call.cancel()


@pytest.mark.parametrize(
    ("video_type", "name"),
    [pytest.param(sdp.H264, "H264/90000", id="h264"), pytest.param(sdp.VP8, "VP8/90000", id="vp8")],
)
async def test_video_of_the_panel_reaches_the_phone(scene: Scene, video_type: int, name: str) -> None:
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    camera, screen = await open_stream(at.address), await open_stream(apartment.residents[0].address)
    try:
        audio = await open_stream(at.address)
        offer = sdp.write(at.address, audio.port, video_port=camera.port, video_type=video_type)
        call = await visitor.call(at.credentials, number, description=offer)
        ring = await phone.incoming()
        offered = sdp.video(ring.invite.body)
        assert offered is not None
        assert name in offered.rtpmap.values()
        ring.video_port, ring.video_type = screen.port, video_type
        ring.ring()
        ring.answer()
        answered = sdp.video((await call.final()).body)
        assert answered is not None
        assert name in answered.rtpmap.values()
        await ring.established()

        camera.aim(answered)
        await flows(lambda: camera.send_packet(video_type, _FRAME), screen)
        assert screen.payloads == {_FRAME}
        assert await call.bye() == 200
    finally:
        for stream in (camera, screen, audio):
            stream.close()


async def test_a_panel_that_names_an_address_nobody_reaches_hears_the_resident(scene: Scene) -> None:
    """A router stands before it: sound goes where its own comes from, through Asterisk, at ports of its range."""
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    stream = await open_stream(at.address)
    try:
        offer = sdp.write("192.168.77.7", stream.port)
        call = await visitor.call(at.credentials, number, description=offer)
        ring = await phone.incoming()
        ring.ring()
        ring.answer()
        answered = sdp.audio((await call.final()).body)
        await ring.established()
        assert answered is not None
        for told in (answered, sdp.audio(ring.invite.body)):
            assert told is not None
            assert told.address in scene.stack.settings.asterisk_nodes.values()
            assert 20_000 <= told.port <= 39_998
        stream.aim(answered)
        stream.talk()
        await stream.wait_for_sound(3)
        await ring.rtp.wait_for_sound(3)
        assert await call.bye() == 200
    finally:
        stream.close()


async def test_a_phone_that_speaks_another_codec_than_we_would_hears_the_tone_of_the_door(scene: Scene) -> None:
    """It answers with two codecs and may use either (RFC 3264, 7); the node once lost what it says itself then.

    That was a race at the answer, which two calls of twelve met.
    """
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    for _ in range(4):
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        ring, *_others = await home.all_ring(since_s=began_s)
        ring.payload_types = (sdp.PCMA, sdp.PCMU, sdp.TELEPHONE_EVENT)
        ring.rtp.speaks = "A-law"
        ring.answer()
        await call.answered()
        await ring.established()
        await ring.rtp.wait_for_sound(3)
        await call.rtp.wait_for_sound(3)
        call.rtp.hush()
        await ring.rtp.quiet(0.2)
        heard = ring.rtp.audible_packets
        await ring.rtp.press("#")
        await ring.rtp.wait_for_sound(3, packets=heard + 4)
        assert await call.bye() == 200


@pytest.mark.parametrize("direction", ["sendrecv", "sendonly"])
async def test_early_media_of_a_ringing_phone_reaches_the_panel(scene: Scene, direction: str) -> None:
    """One that only sends, as gateways do, has nobody on hold: no ringing of ours is in its sound's place."""
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)

    ring = await phone.incoming()
    ring.respond(ring.received, 183, ring.describe().replace(b"a=sendrecv", f"a={direction}".encode()))
    ring.rtp.talk()

    await call.wait_status(183, 3)
    await call.rtp.wait_for_sound(3, packets=_MORE_THAN_RINGING)
    assert 200 not in call.statuses
    await call.cancel()


@pytest.mark.parametrize(
    ("video_type", "name"),
    [pytest.param(sdp.H264, "H264/90000", id="h264"), pytest.param(sdp.VP8, "VP8/90000", id="vp8")],
)
async def test_an_app_that_answers_183_sees_the_visitor_while_it_rings(
    scene: Scene, video_type: int, name: str
) -> None:
    apartment, at, number = family(scene.town)
    app = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    camera, microphone = await open_stream(at.address), await open_stream(at.address)
    screen = await open_stream(apartment.residents[0].address)
    try:
        offer = sdp.write(at.address, microphone.port, video_port=camera.port, video_type=video_type)
        call = await visitor.call(at.credentials, number, description=offer)
        ring = await app.incoming()
        ring.video_port, ring.video_type = screen.port, video_type
        ring.show_early_media()

        progress = await call.wait_status(183, 3)
        accepted = sdp.video(progress.body)
        assert accepted is not None
        assert name in accepted.rtpmap.values()
        camera.aim(accepted)
        await flows(lambda: camera.send_packet(video_type, _FRAME), screen)
        assert screen.payloads == {_FRAME}
        assert 200 not in call.statuses
        ring.answer()
        await call.final()
        await ring.established()
        await flows(lambda: camera.send_packet(video_type, _FRAME), screen)
        await call.bye()
    finally:
        for stream in (camera, microphone, screen):
            stream.close()


@pytest.mark.parametrize("rang", [True, False], ids=["180 before", "183 alone"])
@pytest.mark.parametrize("who", ["who shows him", "another", "nobody"])
async def test_the_visitor_hears_ringing_while_an_app_shows_him(scene: Scene, rang: bool, who: str) -> None:
    """A panel makes no ringing of its own after a 183. Who answers is heard, and nothing beside him."""
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    camera, screen = await open_stream(at.address), await open_stream(apartment.residents[0].address)
    try:
        call = await visitor.call(at.credentials, number, video_port=camera.port)
        rings = [await phone.incoming() for _, phone in home.phones]
        if rang:
            rings[0].ring()
            await call.ringing()
        rings[0].video_port = screen.port
        rings[0].respond(rings[0].received, 183, rings[0].describe())
        accepted = sdp.video((await call.wait_status(183, 3)).body)
        assert accepted is not None
        camera.aim(accepted)
        await flows(lambda: camera.send_packet(sdp.H264, _FRAME), screen)
        await call.rtp.wait_for_sound(3)
        if who == "nobody":
            for ring in rings:
                ring.reject(480)
            await prompt_plays(scene, "en/nobody-home")
            await call.final()
            return
        ring = rings[0 if who == "who shows him" else 1]
        ring.answer()
        await call.answered()
        await ring.established()
        heard = call.rtp.audible_packets
        await call.rtp.wait_for_sound(3, packets=heard + _MORE_THAN_RINGING)
        ring.rtp.hush()
        await call.rtp.quiet(0.3)
        heard = call.rtp.packets
        with pytest.raises(TimeoutError):
            await call.rtp.wait_for_packets(heard + 1, 0.3)
        await call.bye()
    finally:
        camera.close()
        screen.close()


async def test_two_apps_see_the_visitor_while_they_ring_and_the_one_that_answers_talks(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    rings = [await peer.incoming() for _, peer in home.phones]
    for ring in rings[:2]:
        ring.show_early_media()
    await call.wait_status(183, 3)
    rings[1].answer()
    await call.answered()
    await rings[1].established()
    heard = rings[1].rtp.audible_packets
    await rings[1].rtp.wait_for_sound(3, packets=heard + 10)
    await rings[0].wait_cancelled()
    await call.bye()


async def test_a_side_that_sends_nothing_for_30_s_ends_the_call_and_the_record_says_so(scene: Scene) -> None:
    """Also what becomes of a call whose phone dies without BYE. Three at once: an app's, a panel's, a telephone's."""

    def hung_up_by(record: Record) -> set[str | None]:
        return {line.get("hung_up_by") for line in record["story"] if line["event"] == "ended"}

    app_dies, app, _ = await scene.talk(*family(scene.town))
    panel_dies, other_app, _ = await scene.talk(*debtor(scene.town))
    phone_dies, phone = await a_phone_is_dialled(scene)
    await they_talk(phone_dies, phone)

    async def ends(gone: IncomingCall | OutgoingCall, other: IncomingCall | OutgoingCall) -> float:
        gone.rtp.hush()
        began_s = time.monotonic()
        await other.wait_request("BYE", 36)
        return time.monotonic() - began_s

    took_s = await asyncio.gather(ends(app, app_dies), ends(panel_dies, other_app), ends(phone, phone_dies))
    assert all(28 < one < 35 for one in took_s), took_s
    for call in (app_dies, panel_dies, phone_dies):
        # The end may be told in two words; the reason is in one of them, and who hung up in one.
        record = await record_with(
            scene, call.call_id, lambda told: told["reason"] is not None and "platform" in hung_up_by(told)
        )
        ended = (record["result"], record["reason"], record["cause"])
        assert ended == ("answered", "no media for 30 s", 44), record
        assert hung_up_by(record) <= {"platform", None}, record


async def test_a_key_that_a_phone_sends_as_tones_opens_the_door(scene: Scene) -> None:
    apartment, at, _ = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    call, ring = await a_phone_is_dialled(scene)
    ring.payload_types = (sdp.PCMU,)  # no telephone-event
    await they_talk(call, ring)
    ring.rtp.hush()
    await ring.rtp.press_in_band("#")
    # It might be the visitor's, come back by an echo: the resident is asked to press again, and heard alone.
    heard = ring.rtp.audible_packets
    await ring.rtp.wait_for_sound(5, packets=heard + 50)
    await ring.rtp.quiet(0.4)
    assert call.rtp.keys == []
    await ring.rtp.press_in_band("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    (opening,) = await scene.office.access_records(call.call_id)
    assert (opening["result"], opening["account"]) == ("sent", mobile.account)
