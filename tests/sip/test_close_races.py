"""Replies of several phones within the same millisecond: every phone learns that another one has answered."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from typing import TYPE_CHECKING

import pytest

from tests.sip.carriers import FIRST, dialled
from tests.sip.households import beside_a_desk, family
from tests.sip.ordinary import they_talk

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.peers.calls import IncomingCall
    from lab.peers.message import SipMessage
    from tests.sip.scene import Scene

_TALKS = int(os.environ.get("TALKS", "8"))
# Enough to meet the race several times (it was one call in fifteen); CALLS=400 for a long look.
_CALLS = int(os.environ.get("CALLS", "24"))


def _order(rings: list[IncomingCall], round_: int) -> list[Callable[[], None]]:
    """What the phones send, one right after another: one answers, the others ring before, between and after it."""
    answering = rings[round_ % len(rings)]
    others = [ring.ring for ring in rings if ring is not answering]
    orders = list(itertools.permutations([answering.answer, *others]))
    return list(orders[round_ // len(rings) % len(orders)])


async def test_a_phone_that_rings_while_another_answers_is_cancelled(scene: Scene) -> None:
    """Two workers of Kamailio have the answer of one branch and the first ringing of another in hand at once."""
    apartment, at, number = family(scene.town)
    for resident in apartment.residents:
        await scene.peer(resident.address, streams=_CALLS)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    left_ringing = []
    for round_ in range(_CALLS):
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        rings = await asyncio.gather(*(phone.incoming(since_s=began_s) for _, phone in home.phones))
        for say in _order(rings, round_):
            say()
        await call.answered()
        for ring in rings:
            if ring is not rings[round_ % len(rings)]:
                try:
                    await ring.wait_cancelled(5.0)
                except TimeoutError:
                    left_ringing.append((round_, ring.socket.address, [say.__name__ for say in _order(rings, round_)]))
        await call.bye()
        for _, phone in home.phones:
            phone.socket.received.clear()  # looked through at every request
    assert not left_ringing


async def test_of_two_who_answer_at_once_one_talks_and_the_other_is_hung_up(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    for round_ in range(4):
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        rings = await home.all_ring(since_s=began_s)
        first, second = rings[round_ % 3], rings[(round_ + 1) % 3]
        first.answer()
        second.answer()
        await call.answered()
        await asyncio.gather(first.established(), second.established())
        ends = {asyncio.create_task(ring.wait_request("BYE", 10)): ring for ring in (first, second)}
        done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        (left,) = (ends[task] for task in done)  # two workers of Kamailio had an answer each: either may be the first
        talks = first if left is second else second
        await talks.rtp.wait_for_sound(3)
        assert talks.is_established
        assert await call.bye() == 200
        await asyncio.wait(ends)
        assert all(task.exception() is None for task in ends)
        record = await scene.office.call_record(call.call_id)
        outcomes = sorted(branch["outcome"] for branch in record["branches"])
        assert (record["result"], outcomes) == ("answered", ["answered", "cancelled", "cancelled"])
        assert record["answered_by"] == home.phones[rings.index(talks)][0].credentials.username


@pytest.mark.parametrize("who", ["caller", "callee"])
@pytest.mark.parametrize("called", ["handset", "phone", "desk"])
async def test_a_talk_that_is_over_as_soon_as_it_begins_was_one(scene: Scene, who: str, called: str) -> None:
    """Asterisk joins the two in the moment in which one of them hangs up."""
    if called == "desk":
        _, at, _ = beside_a_desk(scene.town)[0]
        number, answering = "0", scene.town.desks[0]
    elif called == "handset":
        apartment, at, number = family(scene.town)
        answering = apartment.residents[0]
    else:
        _, at, number = scene.town.apartment("phone only")
        answering = None
    callee = await scene.peer(FIRST if answering is None else answering.address, streams=_TALKS)
    if answering is not None:
        await scene.resident(answering)
    visitor = await scene.peer(at.address, streams=_TALKS)
    told = []
    for _ in range(_TALKS):
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        ring = await callee.incoming(since_s=began_s)
        ring.answer()
        if who == "caller":
            await call.answered()
            await asyncio.gather(call.bye(), ring.wait_request("BYE", 5))
        else:
            await ring.established()
            await asyncio.gather(ring.bye(), call.answered(), call.wait_request("BYE", 5))
        record = await scene.office.call_record(call.call_id)
        told += [(end["result"], end["hung_up_by"]) for end in record["story"] if end["event"] == "ended"]
    assert told == [("answered", who)] * _TALKS


async def test_an_answer_that_is_repeated_is_acknowledged_again(scene: Scene) -> None:
    """The ACK was lost on its way to the phone."""
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    for _ in range(3):
        acknowledged = await _again(ring)
        assert acknowledged.get("To").endswith(ring.local.rpartition("=")[2])
    assert await call.bye() == 200
    await ring.wait_request("BYE", 3)


async def test_a_carriers_answer_that_is_repeated_is_acknowledged_again(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    carrier = await scene.peer(FIRST)
    call = await (await scene.visitor(at)).call(at.credentials, number)
    ring = await dialled(carrier, apartment.mobiles[0].number)
    await they_talk(call, ring)
    for _ in range(3):
        assert (await _again(ring)).cseq == ring.invite.cseq
    assert await call.bye() == 200
    await ring.wait_request("BYE", 3)


async def _again(ring: IncomingCall) -> SipMessage:
    """The ACK to an answer that is said once more."""

    def acks() -> list[SipMessage]:
        received = [got.message for got in ring.socket.received if got.message.get("Call-ID") == ring.call_id]
        return [message for message in received if message.method == "ACK"]

    before = len(acks())
    ring.answer()
    await ring.watch.until(lambda: len(acks()) > before, 3, lambda: "no further ACK came")
    return acks()[-1]
