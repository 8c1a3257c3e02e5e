"""Who talks is not always who may open: the door stays shut, and the resident hears why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lab.peers.digest import Credentials
from tests.sip.households import debtor, family, kind_neighbour, the_neighbour

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from tests.sip.scene import Scene


async def test_a_debtor_talks_but_does_not_open(scene: Scene) -> None:
    apartment, at, number = debtor(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    await _is_refused(scene, call, ring)


async def _is_refused(scene: Scene, call: OutgoingCall, ring: IncomingCall) -> None:
    """`#` is answered by a voice in the resident's ear, no command to the panel, and a record of the refusal."""
    await ring.rtp.wait_for_sound(3)
    call.rtp.hush()  # so that whatever the resident hears from now on is the platform's
    await ring.rtp.quiet(0.3)
    heard_before = ring.rtp.audible_packets

    await ring.rtp.press("#")
    await ring.rtp.wait_for_sound(3, packets=heard_before + 20)

    await ring.bye()
    record = await scene.office.call_record(call.call_id)
    assert call.rtp.keys == []
    assert [door["result"] for door in record["access_records"]] == ["refused"]
    assert record["access_records"][0]["reason"]


async def test_a_neighbour_talks_but_does_not_open_and_hears_the_refusal(scene: Scene) -> None:
    apartment, at, number = kind_neighbour(scene.town)
    own = await scene.resident(apartment.residents[0])
    neighbour = await scene.resident(the_neighbour(scene.town))
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    rings = await asyncio.gather(own.incoming(), neighbour.incoming())
    rings[1].ring()
    rings[1].answer()
    await call.answered()
    await rings[1].established()

    await _is_refused(scene, call, rings[1])


async def test_nobody_registers_the_account_of_another_apartment(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    owner, thief = apartment.residents[0].credentials, the_neighbour(scene.town)
    peer = await scene.resident(thief)

    forged = await peer.register(Credentials(owner.username, thief.credentials.password))

    assert forged.status in (401, 403)
