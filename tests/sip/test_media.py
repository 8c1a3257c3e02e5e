"""Sound, pictures and early media pass through: what the panel offers, the phone gets, and the packets flow."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lab.peers import sdp
from lab.peers.rtp import open_stream
from tests.sip.households import family

if TYPE_CHECKING:
    from tests.sip.scene import Scene

_FRAME = bytes(range(40))  # passed on untouched, so its content is nobody's business


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

        for _ in range(25):  # both directions: Asterisk learns where each side is from its own packets
            stream.send_packet(payload_type, _FRAME)
            ring.rtp.send_packet(theirs if theirs == payload_type else payload_type, _FRAME)
            await asyncio.sleep(0.02)
        await ring.rtp.wait_for_packets(5, 2)
        await stream.wait_for_packets(5, 2)
        assert await call.bye() == 200
    finally:
        stream.close()


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
        for _ in range(25):
            camera.send_packet(video_type, _FRAME)
            await asyncio.sleep(0.02)
        await screen.wait_for_packets(5, 2)
        assert await call.bye() == 200
    finally:
        for stream in (camera, screen, audio):
            stream.close()


async def test_early_media_of_a_ringing_phone_reaches_the_panel(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)

    ring = await phone.incoming()
    ring.show_early_media()

    await call.wait_status(183, 3)
    await call.rtp.wait_for_sound(3)
    assert 200 not in call.statuses
    await call.cancel()
