"""The town's two carriers on the stage of a story, and the phone legs that arrive there."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.scripted import ScriptedPeer
    from tests.sip.scene import Scene

FIRST, SECOND = "127.0.3.1", "127.0.3.2"


async def dialled(carrier: ScriptedPeer, number: str, timeout_s: float = 5.0, since_s: float = 0.0) -> IncomingCall:
    call = await carrier.incoming(number, timeout_s, since_s)
    assert not [name for name, _ in call.invite.headers if name.lower().startswith("x-entryphone")]
    return call


async def a_phone_is_dialled(scene: Scene, line: str = FIRST) -> tuple[OutgoingCall, IncomingCall]:
    """A visitor calls the household that has a phone alone: his call, and the leg at the carrier of this address."""
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    carrier = await scene.peer(line)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    return call, await dialled(carrier, mobile.number)


async def either(first: ScriptedPeer, second: ScriptedPeer, number: str, timeout_s: float = 5.0) -> IncomingCall:
    """The leg to a number, through whichever carrier is used."""
    tasks = {asyncio.create_task(dialled(peer, number, timeout_s)) for peer in (first, second)}
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    return done.pop().result()
