"""Messages that get lost, or come twice, on the way to a dispatch centre, to a carrier, and of keys and devices."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.sip.bad_network import FAULTS, befalling, name_of, sent
from tests.sip.carriers import FIRST, dialled
from tests.sip.emergency_scene import (
    CITY_LINE,
    SECOND_LINE,
    call_back,
    caller_of,
    emergency_record,
    nobody_holds_a_number,
    panel_at,
    registered,
)
from tests.sip.households import family
from tests.sip.ordinary import they_talk
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from tests.sip.bad_network import Case, Fault
    from tests.sip.scene import Scene

_WITHIN_S = 3.0


async def _ring_and_talk(call: OutgoingCall, ring: IncomingCall, case: Case) -> None:
    ring.ring()
    if case[0] != "SIP/2.0 180":  # it is not said again when it gets lost (RFC 3261, 13.3.1.1)
        await call.ringing()
    await they_talk(call, ring)


_OUT: list[Case] = [
    ("INVITE", "panel", "proxy"),
    ("SIP/2.0 407", "proxy", "panel"),
    ("INVITE", "proxy", "node"),
    ("INVITE", "node", "proxy"),
    ("INVITE", "proxy", "line"),
    ("SIP/2.0 100", "proxy", "node"),
    ("SIP/2.0 100", "node", "proxy"),
    ("SIP/2.0 180", "line", "proxy"),
    ("SIP/2.0 180", "proxy", "node"),
    ("SIP/2.0 200", "line", "proxy"),
    ("SIP/2.0 200", "proxy", "node"),
    ("ACK", "node", "proxy"),
    ("ACK", "proxy", "line"),
    ("SIP/2.0 200", "node", "proxy"),
    ("SIP/2.0 200", "proxy", "panel"),
    ("ACK", "panel", "proxy"),
    ("ACK", "proxy", "node"),
    ("BYE", "line", "proxy"),
    ("BYE", "proxy", "node"),
    ("BYE", "node", "proxy"),
    ("BYE", "proxy", "panel"),
    ("SIP/2.0 200", "panel", "proxy"),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _OUT, ids=name_of)
async def test_112(scene: Scene, fault: Fault, case: Case) -> None:
    at = panel_at(scene)
    centre, other, visitor = await scene.peer(CITY_LINE), await scene.peer(SECOND_LINE), await scene.visitor(at)
    async with befalling(scene, fault, sent(scene, case, at)):
        watch = Stopwatch()
        since_s = watch.began_s
        call = await visitor.call(at.credentials, "112")
        ring = await centre.incoming("112", 5, since_s)
        await _ring_and_talk(call, ring, case)
        await asyncio.gather(ring.rtp.wait_for_sound(3), call.rtp.wait_for_sound(3))
        assert watch.took_s < _WITHIN_S
        assert await ring.bye() == 200
        await call.wait_request("BYE", 3)
    record = await emergency_record(scene, call.call_id, "ended", "answered")
    assert record["result"] == "answered"
    assert [step["step"] for step in record["steps"] if step["step"] in ("trunk_failed", "answered")] == ["answered"]
    assert not [got for got in other.ringing if got.received.at_s >= since_s]
    assert len([got for got in centre.ringing if got.received.at_s >= since_s]) == 1


_BACK: list[Case] = [
    ("INVITE", "line", "proxy"),
    ("INVITE", "proxy", "node"),
    ("SIP/2.0 200", "node", "proxy"),
    ("SIP/2.0 200", "proxy", "line"),
    ("ACK", "line", "proxy"),
    ("ACK", "proxy", "node"),
    ("INVITE", "node", "proxy"),
    ("INVITE", "proxy", "panel"),
    ("SIP/2.0 200", "panel", "proxy"),
    ("SIP/2.0 200", "proxy", "node"),
    ("ACK", "node", "proxy"),
    ("ACK", "proxy", "panel"),
    ("BYE", "line", "proxy"),
    ("BYE", "proxy", "panel"),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _BACK, ids=name_of)
async def test_call_back(scene: Scene, fault: Fault, case: Case) -> None:
    at = panel_at(scene)
    centre = await scene.peer(CITY_LINE)
    panel = await registered(scene, at)
    since_s = time.monotonic()
    call = await panel.call(at.credentials, "112")
    ring = await centre.incoming("112", 3, since_s)
    await they_talk(call, ring)
    await ring.bye()
    await call.wait_request("BYE", 3)
    await emergency_record(scene, call.call_id)
    async with befalling(scene, fault, sent(scene, case, at)):
        back, rung = await call_back(scene, panel, at.credentials.username, caller_of(ring))
        rung.answer()
        await rung.established()
        await asyncio.gather(rung.rtp.wait_for_sound(3), back.rtp.wait_for_sound(3))
        assert await back.bye() == 200
        await rung.wait_request("BYE", 3)
    assert (await emergency_record(scene, back.call_id))["result"] == "answered"
    await nobody_holds_a_number(scene)


_PHONE: list[Case] = [
    ("INVITE", "node", "proxy"),
    ("INVITE", "proxy", "carrier"),
    ("SIP/2.0 100", "proxy", "node"),
    ("SIP/2.0 180", "carrier", "proxy"),
    ("SIP/2.0 180", "proxy", "node"),
    ("SIP/2.0 200", "carrier", "proxy"),
    ("SIP/2.0 200", "proxy", "node"),
    ("ACK", "node", "proxy"),
    ("ACK", "proxy", "carrier"),
    ("SIP/2.0 200", "node", "proxy"),
    ("BYE", "carrier", "proxy"),
    ("BYE", "proxy", "node"),
    ("SIP/2.0 200", "proxy", "carrier"),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _PHONE, ids=name_of)
async def test_phone(scene: Scene, fault: Fault, case: Case) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    carrier = await scene.peer(FIRST)
    visitor = await scene.visitor(at)
    async with befalling(scene, fault, sent(scene, case, at)):
        watch = Stopwatch()
        since_s = watch.began_s
        call = await visitor.call(at.credentials, number)
        ring = await dialled(carrier, apartment.mobiles[0].number, 5, since_s)
        await _ring_and_talk(call, ring, case)
        assert watch.took_s < _WITHIN_S
        await ring.rtp.press("#")
        await call.rtp.wait_for_key(at.door_code[0], 3)
        assert await ring.bye() == 200
        await call.wait_request("BYE", 3)
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["answered_by"]) == ("answered", apartment.mobiles[0].account)
    legs = await scene.office.phone_legs(call.call_id, 1)
    assert [leg["connected"] for leg in legs] == [True]
    assert len([got for got in carrier.ringing if got.received.at_s >= since_s]) == 1


_KEY: list[Case] = [
    ("INFO", "phones", "proxy"),
    ("INFO", "proxy", "node"),
    ("SIP/2.0 200", "node", "proxy"),
    ("SIP/2.0 200", "proxy", "phones"),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _KEY, ids=name_of)
async def test_a_key_by_info_opens_once(scene: Scene, fault: Fault, case: Case) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    async with befalling(scene, fault, sent(scene, case, at, apartment.residents)):
        assert await ring.info("#") == 200
        await call.rtp.wait_for_key(at.door_code[0], 3)
    assert await call.bye() == 200
    await ring.wait_request("BYE", 3)
    opened = await scene.office.access_records(call.call_id)
    assert len(opened) == 1


_REGISTER: list[Case] = [
    ("REGISTER", "phones", "proxy"),
    ("SIP/2.0 401", "proxy", "phones"),
    ("SIP/2.0 200", "proxy", "phones"),
]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _REGISTER, ids=name_of)
async def test_register(scene: Scene, fault: Fault, case: Case) -> None:
    apartment, at, number = family(scene.town)
    async with befalling(scene, fault, sent(scene, case, at, apartment.residents)):
        await scene.resident(apartment.residents[0])
    call, _, _ = await scene.talk(apartment, at, number)
    assert await call.bye() == 200
