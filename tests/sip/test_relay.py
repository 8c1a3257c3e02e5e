"""A door that opens by the panel's HTTP relay: what the resident hears and the record says when the relay does not."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers.door import Door
from lab.peers.relay import Fault, HttpRelay
from tests.sip.households import debtor, family
from tests.sip.records import record_with_keys

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.town import Panel
    from tests.sip.scene import Scene


async def relay_of(scene: Scene, panel: Panel, fault: Fault = "none") -> HttpRelay:
    """The panel's relay, served until the story ends."""
    login = scene.town.relay_login(panel)
    relay = await HttpRelay.start(Door(panel.door_code), panel.address, *login, fault=fault)
    scene.when_over(relay.stop)
    return relay


async def _press_and_listen(call: OutgoingCall, ring: IncomingCall) -> None:
    """Press `#`; a voice or a tone of the platform must answer, and the call must go on afterwards."""
    await ring.rtp.wait_for_sound(3)
    call.rtp.hush()  # whatever the resident hears from now on is the platform's
    await ring.rtp.quiet(0.3)
    heard_before = ring.rtp.audible_packets
    await ring.rtp.press("#")
    await ring.rtp.wait_for_sound(5, packets=heard_before + 4)  # the tone of an open door is short
    await ring.rtp.quiet(0.3)

    assert not call.ended
    assert not ring.ended
    heard_before = ring.rtp.audible_packets
    call.rtp.talk()
    await ring.rtp.wait_for_sound(3, packets=heard_before + 20)


@pytest.mark.parametrize("fault", ["refuses", "hangs", "offline"])
async def test_a_relay_that_fails_is_heard_and_recorded_and_the_call_goes_on(scene: Scene, fault: str) -> None:
    apartment, at, number = family(scene.town, method="http")
    relay: HttpRelay | None = None
    if fault == "refuses":
        relay = await relay_of(scene, at, "refuses")
    elif fault == "hangs":
        relay = await relay_of(scene, at, "hangs")
    call, ring, _ = await scene.talk(apartment, at, number)

    await _press_and_listen(call, ring)

    assert await call.bye() == 200
    doors = await scene.office.access_records(call.call_id)
    assert [(door["key"], door["method"], door["result"]) for door in doors] == [("#", "http", "failed")]
    assert at.address in doors[0]["reason"]
    if relay is not None:
        assert relay.door.openings == []
        if fault == "refuses":
            assert len(relay.requests) == 1  # never tried again: a lost answer may have opened the door


async def test_a_relay_that_opens_is_recorded_as_opened(scene: Scene) -> None:
    apartment, at, number = family(scene.town, method="http")
    relay = await relay_of(scene, at)
    call, ring, _ = await scene.talk(apartment, at, number)

    await _press_and_listen(call, ring)

    await relay.door.wait_opened()  # a CRM that is slow is not waited for: the sound was then that it is on its way
    assert [opening.cause for opening in relay.door.openings] == ["http"]
    assert await call.bye() == 200
    record = await record_with_keys(scene, call.call_id)
    assert [(door["method"], door["result"]) for door in record["access_records"]] == [("http", "opened")]


async def test_a_debtors_key_sends_the_relay_no_command(scene: Scene) -> None:
    apartment, at, number = debtor(scene.town)
    relay = await relay_of(scene, at)
    call, ring, _ = await scene.talk(apartment, at, number)

    await _press_and_listen(call, ring)

    assert await call.bye() == 200
    record = await record_with_keys(scene, call.call_id)
    assert [door["result"] for door in record["access_records"]] == ["refused"]
    assert record["access_records"][0]["reason"]
    assert (relay.requests, relay.door.openings, call.rtp.keys) == ([], [], [])


async def test_ten_quick_keys_open_once_and_break_nothing(scene: Scene) -> None:
    apartment, at, number = family(scene.town, method="http")
    relay = await relay_of(scene, at)
    call, ring, _ = await scene.talk(apartment, at, number)

    began_s = time.monotonic()
    for _ in range(10):
        await ring.rtp.press("#", duration_ms=60)
        await asyncio.sleep(0.04)  # the pause between two presses of a hasty finger

    await relay.door.wait_opened()
    assert await call.bye() == 200
    once_and_each_two_s = 1 + int((time.monotonic() - began_s) / 2)  # should the finger, or a server, have stood still
    record = await record_with_keys(scene, call.call_id, len(relay.door.openings))
    assert 1 <= len(relay.door.openings) <= once_and_each_two_s
    assert [door["result"] for door in record["access_records"]] == ["opened"] * len(relay.door.openings)
    assert scene.log_lines("agi", call.call_id) == []
