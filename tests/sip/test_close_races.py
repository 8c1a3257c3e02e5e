"""Replies of several phones within the same millisecond: every phone learns that another one has answered."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from typing import TYPE_CHECKING

from tests.sip.households import family

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.peers.calls import IncomingCall
    from tests.sip.scene import Scene

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
