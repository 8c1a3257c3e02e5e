"""Every message of a call may get lost, or come twice: nobody notices more than a moment, and the record is true."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.sip.bad_network import FAULTS, befalling, name_of, sent
from tests.sip.households import family
from tests.sip.ordinary import the_family_rings
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from contextlib import AbstractAsyncContextManager

    from lab.peers.calls import IncomingCall, OutgoingCall
    from tests.sip.bad_network import Case, Fault
    from tests.sip.scene import Scene

_RING_WITHIN_S = 2.5
"""A message and its repetition; the default of T1 is half a second, and two hops may each wait for it."""
_END_WITHIN_S = 6.0

_RINGING: list[Case] = [
    ("INVITE", "panel", "proxy"),
    ("SIP/2.0 407", "proxy", "panel"),
    ("ACK", "panel", "proxy"),
    ("SIP/2.0 100", "proxy", "panel"),
    ("INVITE", "proxy", "node"),
    ("SIP/2.0 100", "node", "proxy"),
    ("INVITE", "node", "proxy"),
    ("SIP/2.0 100", "proxy", "node"),
    ("INVITE", "proxy", "phones"),
    ("SIP/2.0 180", "phones", "proxy"),
]
_ANSWERING: list[Case] = [
    ("SIP/2.0 200", "phones", "proxy"),
    ("SIP/2.0 200", "proxy", "node"),
    ("ACK", "node", "proxy"),
    ("ACK", "proxy", "phones"),
    ("SIP/2.0 200", "node", "proxy"),
    ("SIP/2.0 200", "proxy", "panel"),
    ("ACK", "panel", "proxy"),
    ("ACK", "proxy", "node"),
    ("CANCEL", "proxy", "phones"),
    ("SIP/2.0 487", "phones", "proxy"),
    ("ACK", "proxy", "phones"),
]
_PANEL_ENDS: list[Case] = [
    ("BYE", "panel", "proxy"),
    ("BYE", "proxy", "node"),
    ("SIP/2.0 200", "node", "proxy"),
    ("SIP/2.0 200", "proxy", "panel"),
    ("BYE", "node", "proxy"),
    ("BYE", "proxy", "phones"),
    ("SIP/2.0 200", "phones", "proxy"),
    ("SIP/2.0 200", "proxy", "node"),
]
_PHONE_ENDS: list[Case] = [
    ("BYE", "phones", "proxy"),
    ("BYE", "proxy", "node"),
    ("SIP/2.0 200", "node", "proxy"),
    ("SIP/2.0 200", "proxy", "phones"),
    ("BYE", "node", "proxy"),
    ("BYE", "proxy", "panel"),
    ("SIP/2.0 200", "panel", "proxy"),
    ("SIP/2.0 200", "proxy", "node"),
]
_GIVING_UP: list[Case] = [
    ("CANCEL", "panel", "proxy"),
    ("SIP/2.0 200", "proxy", "panel"),
    ("CANCEL", "proxy", "node"),
    ("SIP/2.0 200", "node", "proxy"),
    ("SIP/2.0 487", "node", "proxy"),
    ("ACK", "proxy", "node"),
    ("SIP/2.0 487", "proxy", "panel"),
    ("ACK", "panel", "proxy"),
    ("CANCEL", "node", "proxy"),
    ("SIP/2.0 200", "proxy", "node"),
    ("SIP/2.0 487", "proxy", "node"),
    ("ACK", "node", "proxy"),
    ("CANCEL", "proxy", "phones"),
    ("SIP/2.0 200", "phones", "proxy"),
    ("SIP/2.0 487", "phones", "proxy"),
    ("ACK", "proxy", "phones"),
]
_REFUSING: list[Case] = [
    ("SIP/2.0 486", "phones", "proxy"),
    ("ACK", "proxy", "phones"),
    ("SIP/2.0 486", "proxy", "node"),
    ("ACK", "node", "proxy"),
]


def _befalling(scene: Scene, fault: Fault, case: Case) -> AbstractAsyncContextManager[None]:
    apartment, at, _ = family(scene.town)
    return befalling(scene, fault, sent(scene, case, at, apartment.residents))


async def _ring(scene: Scene) -> tuple[OutgoingCall, list[IncomingCall]]:
    apartment, _, _ = family(scene.town)
    return await the_family_rings(scene, await scene.home(apartment), _RING_WITHIN_S)


async def _answer(call: OutgoingCall, rings: list[IncomingCall]) -> None:
    watch = Stopwatch()
    rings[0].answer()
    await asyncio.gather(call.answered(), rings[0].established())
    assert watch.took_s < _RING_WITHIN_S
    await asyncio.gather(*(ring.wait_cancelled() for ring in rings[1:]))
    assert all(ring.answered_elsewhere for ring in rings[1:])


async def _open_and_end(scene: Scene, call: OutgoingCall, rings: list[IncomingCall], by: str) -> None:
    _, at, _ = family(scene.town)
    await rings[0].rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    watch = Stopwatch()
    ends, hears = (call, rings[0]) if by == "caller" else (rings[0], call)
    assert await ends.bye(_END_WITHIN_S) == 200
    await hears.wait_request("BYE", _END_WITHIN_S)
    assert watch.took_s < _RING_WITHIN_S
    await _recorded(scene, call, "answered", by, ["answered", "cancelled", "cancelled"])


async def _recorded(scene: Scene, call: OutgoingCall, result: str, by: str, outcomes: list[str]) -> None:
    record = await scene.office.call_record(call.call_id, branches=len(outcomes))
    assert (record["result"], sorted(branch["outcome"] for branch in record["branches"])) == (result, outcomes)
    ended = [line for line in record["story"] if line["event"] == "ended"]
    assert [line["hung_up_by"] for line in ended] == [by]


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _RINGING, ids=name_of)
async def test_while_it_begins_to_ring(scene: Scene, fault: Fault, case: Case) -> None:
    async with _befalling(scene, fault, case):
        call, rings = await _ring(scene)
    await _answer(call, rings)
    await _open_and_end(scene, call, rings, "caller")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _ANSWERING, ids=name_of)
async def test_while_it_is_answered(scene: Scene, fault: Fault, case: Case) -> None:
    call, rings = await _ring(scene)
    async with _befalling(scene, fault, case):
        await _answer(call, rings)
    await _open_and_end(scene, call, rings, "callee")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _PANEL_ENDS, ids=name_of)
async def test_while_the_visitor_hangs_up(scene: Scene, fault: Fault, case: Case) -> None:
    call, rings = await _ring(scene)
    await _answer(call, rings)
    async with _befalling(scene, fault, case):
        await _open_and_end(scene, call, rings, "caller")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _PHONE_ENDS, ids=name_of)
async def test_while_the_resident_hangs_up(scene: Scene, fault: Fault, case: Case) -> None:
    call, rings = await _ring(scene)
    await _answer(call, rings)
    async with _befalling(scene, fault, case):
        await _open_and_end(scene, call, rings, "callee")


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _GIVING_UP, ids=name_of)
async def test_while_the_visitor_gives_up(scene: Scene, fault: Fault, case: Case) -> None:
    call, rings = await _ring(scene)
    await call.ringing()
    async with _befalling(scene, fault, case):
        watch = Stopwatch()
        assert (await call.cancel()).status == 487
        await asyncio.gather(*(ring.wait_cancelled() for ring in rings))
        assert watch.took_s < _RING_WITHIN_S
        await _recorded(scene, call, "caller_hung_up", "caller", ["cancelled"] * 3)


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize("case", _REFUSING, ids=name_of)
async def test_while_all_refuse(scene: Scene, fault: Fault, case: Case) -> None:
    call, rings = await _ring(scene)
    async with _befalling(scene, fault, case):
        for ring in rings:
            ring.reject(486)
        await call.rtp.wait_for_sound(3)
    await call.cancel()
    record = await scene.office.call_record(call.call_id, branches=len(rings))
    assert {branch["outcome"] for branch in record["branches"]} == {"busy"}
