from __future__ import annotations

import asyncio

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lab.peers import g711, rtp, sdp


@given(st.integers(-32124, 32124))
def test_ulaw_keeps_a_sample_within_its_step(sample: int) -> None:
    assert abs(g711.decode_ulaw(g711.encode_ulaw(sample)) - sample) <= max(8, abs(sample) // 16)


@given(st.integers(-30000, 30000))
def test_what_is_made_alaw_keeps_its_sample(sample: int) -> None:
    (byte,) = g711.as_alaw(bytes([g711.encode_ulaw(sample)]))
    assert abs(g711.decode_alaw(byte) - sample) <= max(16, abs(sample) // 12)


def test_silence_is_silent_and_a_tone_is_not() -> None:
    assert g711.loudness(b"\xff" * 160) == 0
    assert g711.loudness(b"\xd5" * 160, alaw=True) < rtp.AUDIBLE
    assert g711.loudness(g711.tone(440)[:160]) > 10 * rtp.AUDIBLE


def test_a_description_is_read_as_written() -> None:
    body = sdp.write("127.0.2.1", 40000, video_port=40002)
    audio, video = sdp.audio(body), sdp.video(body)
    assert audio is not None
    assert (audio.address, audio.port, audio.telephone_event) == ("127.0.2.1", 40000, 101)
    assert video is not None
    assert (video.port, video.rtpmap[sdp.H264]) == (40002, "H264/90000")


def test_a_rejected_stream_is_none_and_an_own_address_wins() -> None:
    body = b"v=0\r\nc=IN IP4 1.1.1.1\r\nm=audio 9000 RTP/AVP 0\r\nc=IN IP4 2.2.2.2\r\nm=video 0 RTP/AVP 99\r\n"
    audio = sdp.audio(body)
    assert audio is not None
    assert audio.address == "2.2.2.2"
    assert audio.telephone_event is None
    assert sdp.video(body) is None


@given(st.binary(max_size=300))
def test_any_packet_is_survived(data: bytes) -> None:
    rtp.RtpStream().datagram_received(data, ("127.0.0.1", 1))


def _between_two_streams() -> tuple[list[rtp.KeyPress], int]:
    async def run() -> tuple[list[rtp.KeyPress], int]:
        one, other = await rtp.open_stream("127.0.0.1"), await rtp.open_stream("127.0.0.1")
        try:
            for stream, towards in ((one, other), (other, one)):
                stream.aim(sdp.Media("audio", "127.0.0.1", towards.port, (0, 101), {101: "telephone-event/8000"}))
            one.talk()
            await other.wait_for_sound(60)
            await one.press("#", 60)
            await one.press("#", 60)
            await one.press("1", 60)
            await other.wait_for_key("1", 60)
            return other.keys, one.packets
        finally:
            one.close()
            other.close()

    return asyncio.run(run())


def test_keys_and_sound_cross_and_repeated_end_packets_count_once() -> None:
    keys, heard_back = _between_two_streams()
    assert "".join(press.key for press in keys) == "##1"
    assert all(press.ended_s > press.began_s for press in keys)
    assert heard_back == 0


def test_a_key_without_telephone_event_is_an_error() -> None:
    async def run() -> None:
        stream = await rtp.open_stream("127.0.0.1")
        try:
            stream.aim(sdp.Media("audio", "127.0.0.1", 9, (0,)))
            with pytest.raises(RuntimeError, match="telephone-event"):
                await stream.press("#")
        finally:
            stream.close()

    asyncio.run(run())
