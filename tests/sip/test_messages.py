"""A message of the visitor when nobody answered; recordings where the company wants them, and nowhere else."""

from __future__ import annotations

import asyncio
import time
import urllib.request
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import pytest

from agi_apps.sound_shipper import ALIVE
from lab.peers import sdp
from tests.sip.carriers import FIRST, SECOND, either
from tests.sip.emergency_scene import until
from tests.sip.households import beside_a_desk, family, nobody_home

if TYPE_CHECKING:
    from tests.sip.scene import Scene

_HEADER_BYTES = 58
_BYTES_PER_S = 8_000


async def sound_of(scene: Scene, call_id: str, timeout_s: float = 15.0) -> dict[str, Any]:
    """What was recorded of a call, once the CRM has it; then it is removed."""
    deadline = time.monotonic() + timeout_s
    while not (items := (await scene.office.get(f"/v1/call-sounds?call_id={call_id}"))["items"]):
        assert time.monotonic() < deadline, f"nothing was recorded of {call_id}"
        await asyncio.sleep(0.2)  # the API has nothing to wait on
    (found,) = items
    found["audio"] = await asyncio.to_thread(_audio, scene, found["id"])
    await scene.office.send("DELETE", f"/v1/call-sounds/{found['id']}")
    return dict(found)


def _audio(scene: Scene, key: int) -> bytes:
    url = f"{scene.town.api_url}/v1/call-sounds/{key}/audio"
    headers = {"Authorization": f"Bearer {scene.town.operator_token}"}
    request = urllib.request.Request(url, headers=headers)  # noqa: S310 - the API's own URL
    with urllib.request.urlopen(request, timeout=5) as answer:  # noqa: S310 - as above
        return bytes(answer.read())


async def spooled(scene: Scene) -> set[str]:
    """What the nodes record, or have recorded and the CRM has not taken yet."""
    found = await asyncio.to_thread(lambda: list((scene.stack.settings.lib / "sounds").iterdir()))
    return {path.name for path in found} - {ALIVE}


async def is_message_recorded(scene: Scene, call_id: str) -> None:
    """Until the message of this call is recorded: the invitation and the tone are over."""
    spool = scene.stack.settings.lib / "sounds"

    async def begun() -> bool:
        found = await asyncio.to_thread(lambda: list(spool.glob("message.*.ulaw")))
        lines = [path.with_suffix(".call") for path in found]
        return any(line.read_text().startswith(f"{quote(call_id, safe='')},") for line in lines if line.exists())

    await until(begun, bool, 20)


def loud_part(audio: bytes) -> float:
    """How much of a µ-law sound is louder than a whisper; silence is written 0xFF and 0x7F."""
    samples = audio[_HEADER_BYTES:]
    return sum((byte & 0x70) != 0x70 for byte in samples) / max(1, len(samples))


async def test_a_visitor_leaves_a_message_and_the_office_hears_it(scene: Scene) -> None:
    _, at, number = nobody_home(scene.town)
    async with scene.company_with(message_limit_s=10):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        await call.answered()
        call.rtp.hush()
        await call.rtp.wait_for_sound(3)
        await is_message_recorded(scene, call.call_id)
        call.rtp.talk()
        await asyncio.sleep(3)  # what he has to say
        heard = call.rtp.audible_packets
        await call.rtp.press("#")
        await call.rtp.wait_for_sound(3, packets=heard + 20)  # it has been kept
        await call.wait_request("BYE", 6)
        found = await sound_of(scene, call.call_id)
    assert (found["kind"], found["dialled"], found["panel"]) == ("message", number, at.credentials.username)
    assert found["apartment_id"] is not None
    assert 2_500 < found["duration_ms"] < 6_000
    assert loud_part(found["audio"]) > 0.4
    assert (await scene.office.call_record(call.call_id))["result"] == "no_answer"


async def test_a_visitor_who_hangs_up_has_left_his_message(scene: Scene) -> None:
    _, at, number = nobody_home(scene.town)
    async with scene.company_with(message_limit_s=10):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        await call.answered()
        call.rtp.hush()
        await call.rtp.wait_for_sound(3)
        await is_message_recorded(scene, call.call_id)
        call.rtp.talk()
        await asyncio.sleep(1)  # what he has to say
        await call.bye()
        assert (await sound_of(scene, call.call_id))["duration_ms"] > 500


async def test_a_message_ends_at_its_limit(scene: Scene) -> None:
    _, at, number = nobody_home(scene.town)
    async with scene.company_with(message_limit_s=4):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        await call.answered()
        await call.wait_request("BYE", 25)
        # A node that stands still for a second leaves it out; more than the limit there is never.
        assert 2_500 < (await sound_of(scene, call.call_id))["duration_ms"] < 4_600


async def test_a_talk_is_recorded_where_the_company_wants_it_and_both_are_told(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    async with scene.company_with(records_calls=True):
        phone = await scene.resident(apartment.residents[0])
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        await call.wait_status(183, 5)
        await call.rtp.wait_for_sound(3)  # told before anybody rings
        assert phone.ringing == []
        ring = await phone.incoming(timeout_s=6)
        ring.ring()
        ring.answer()
        await ring.established()
        await ring.rtp.wait_for_sound(3)  # told before he talks
        assert 200 not in call.statuses
        await ring.rtp.press(at.door_code[0])
        await call.answered()
        assert call.rtp.keys == [], "a key reaches the panel while he is told"
        ring.rtp.hush()  # two tones of one pitch may cancel one another
        await asyncio.sleep(4)  # they talk
        await ring.rtp.press("#")
        await call.rtp.wait_for_key(at.door_code[0], 3)
        await call.bye()
        found = await sound_of(scene, call.call_id)
    assert found["kind"] == "recording"
    assert found["duration_ms"] > 1_500
    assert loud_part(found["audio"]) > 0.3
    assert (await scene.office.call_record(call.call_id))["result"] == "answered"


@pytest.mark.parametrize("note", ["phone only", "presses a key first"])
async def test_who_answers_a_phone_is_told_before_he_is_connected(scene: Scene, note: str) -> None:
    apartment, at, number = scene.town.apartment(note)
    first, second = await scene.peer(FIRST), await scene.peer(SECOND)
    async with scene.company_with(records_calls=True):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        ring = await either(first, second, apartment.mobiles[0].number, 10)
        ring.answer()
        await ring.established()
        if note == "presses a key first":
            await ring.rtp.wait_for_sound(3)
            await ring.rtp.press("1")
        heard = ring.rtp.audible_packets
        await ring.rtp.wait_for_sound(3, packets=heard + 25)
        assert 200 not in call.statuses
        await ring.rtp.press(at.door_code[0])
        await call.answered()
        assert call.rtp.keys == []
        await ring.rtp.press("#")
        await call.rtp.wait_for_key(at.door_code[0], 3)
        await call.bye()
        assert (await sound_of(scene, call.call_id))["kind"] == "recording"


async def test_a_visitor_whom_a_desk_passes_on_is_one_recording(scene: Scene) -> None:
    """The desk is in the ring plan of the apartment that he called: calls of apartments are recorded."""
    _, (apartment, at, number), (_, _, called) = beside_a_desk(scene.town)
    stages = [{"ring_timeout_s": 20, "targets": [{"kind": "concierge"}]}]
    async with scene.plan_with(at, called, stages), scene.company_with(records_calls=True):
        home, lobby = await scene.home(apartment), await scene.resident(scene.town.desks[0])
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, called)
        desk = await lobby.incoming(timeout_s=10)
        desk.answer()
        await desk.established()
        await desk.rtp.wait_for_sound(3)  # told
        await call.answered(timeout_s=8)
        for side in (call, desk):
            side.rtp.hush()
        for _ in range(150):  # they are silent
            for side in (call, desk):
                side.rtp.send_packet(sdp.PCMU, b"\xff" * 160)
            await asyncio.sleep(0.02)
        for key in f"0{number}#":
            await desk.rtp.press(key)
            await asyncio.sleep(0.1)
        (ring,) = await home.all_ring()
        ring.answer()
        await ring.established()
        await ring.rtp.wait_for_sound(3)  # told, too
        ring.rtp.hush()  # two tones of one pitch may cancel one another
        call.rtp.talk()
        await ring.rtp.wait_for_sound(12, packets=ring.rtp.audible_packets + 350)  # seven seconds of the visitor
        await call.bye()
        audio = (await sound_of(scene, call.call_id))["audio"]
    middle = _HEADER_BYTES + 2 * _BYTES_PER_S
    assert loud_part(audio[:middle]) < 0.3, "what was said later stands at the beginning"
    assert loud_part(audio[-_BYTES_PER_S:]) > 0.3


async def test_nothing_is_recorded_where_nobody_asked_for_it(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    call, _, _ = await scene.talk(apartment, at, number)
    await call.bye()
    await scene.office.call_record(call.call_id)
    await until(lambda: spooled(scene), lambda waiting: not waiting)  # whatever there was, the CRM has it
    assert (await scene.office.get(f"/v1/call-sounds?call_id={call.call_id}"))["items"] == []


async def test_a_message_waits_for_the_crm(scene: Scene) -> None:
    _, at, number = nobody_home(scene.town)
    async with scene.company_with(message_limit_s=2):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        await call.answered()
        await scene.kill("crm")
        await call.wait_request("BYE", 20)
        await scene.revive()
        assert (await sound_of(scene, call.call_id))["kind"] == "message"
