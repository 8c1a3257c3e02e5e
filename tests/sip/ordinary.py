"""An ordinary call, played after something extraordinary: nothing else may have been disturbed."""

from __future__ import annotations

import asyncio
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.sip.households import as_callee, family
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.rtp import RtpStream
    from lab.peers.town import Panel, Resident
    from tests.sip.scene import Home, Scene

ANSWER_LIMIT_S = 1.0


async def the_family_rings(scene: Scene, home: Home, within_s: float) -> tuple[OutgoingCall, list[IncomingCall]]:
    """A visitor calls the family, whose phones are these, and all of them ring in time."""
    _, at, number = family(scene.town)
    visitor = await scene.visitor(at)
    watch = Stopwatch()
    call = await visitor.call(at.credentials, number)
    rings = await home.all_ring(since_s=watch.began_s)
    assert watch.took_s < within_s
    return call, rings


async def the_family_is_rung(scene: Scene) -> tuple[OutgoingCall, list[IncomingCall], Home]:
    """A visitor's call rings every phone of the family, and he hears so: his call, theirs, and the phones."""
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    rings = await home.all_ring()
    await call.ringing()
    return call, rings, home


def node_of(scene: Scene, ring: IncomingCall) -> str:
    """The name of the node through which a call came."""
    nodes = scene.stack.settings.every_asterisk_node
    return next(name for name, address in nodes.items() if f" {address}\r\n" in ring.invite.body.decode())


async def an_answered_call(scene: Scene) -> tuple[OutgoingCall, IncomingCall, Panel]:
    """The family rings within a second, one answers; the call goes on."""
    apartment, at, _ = family(scene.town)
    home = await scene.home(apartment)
    with answered_within_a_second():
        call, rings = await the_family_rings(scene, home, ANSWER_LIMIT_S)
        await call.ringing()
    rings[0].answer()
    await call.answered()
    await rings[0].established()
    return call, rings[0], at


async def a_look(scene: Scene, resident: Resident, at: Panel) -> tuple[OutgoingCall, IncomingCall]:
    """A resident looks through a panel: the call that he has placed, and the panel's side of it."""
    panel, phone = await scene.resident(as_callee(at)), await scene.resident(resident)
    call = await phone.call(resident.credentials, at.credentials.username)
    ring = await panel.incoming()
    ring.answer()
    await call.answered()
    await ring.established()
    return call, ring


async def they_talk(call: OutgoingCall, ring: IncomingCall) -> None:
    """The called one rings and answers, and both sides know."""
    ring.ring()
    ring.answer()
    await call.answered()
    await ring.established()


async def the_key_opens(call: OutgoingCall, ring: IncomingCall, at: Panel) -> None:
    """Whoever has answered presses the key, and the panel hears its door code."""
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)


async def flows(send: Callable[[], None], *arriving: RtpStream) -> None:
    """Packets are sent, fifty a second, until five more have arrived at each of these streams."""
    wanted = [(stream, stream.packets + 5) for stream in arriving]
    deadline_s = time.monotonic() + 5
    while any(stream.packets < count for stream, count in wanted):
        assert time.monotonic() < deadline_s, [(stream.packets, count) for stream, count in wanted]
        send()
        await asyncio.sleep(0.02)


async def a_good_call(scene: Scene) -> None:
    """As above, and then the key opens, and the visitor hangs up."""
    call, ring, at = await an_answered_call(scene)
    await the_key_opens(call, ring, at)
    assert await call.bye() == 200
    await ring.wait_request("BYE", 3)


@contextmanager
def answered_within_a_second() -> Iterator[None]:
    """What is asked inside the block is answered in time."""
    watch = Stopwatch()
    yield
    assert watch.took_s < ANSWER_LIMIT_S
