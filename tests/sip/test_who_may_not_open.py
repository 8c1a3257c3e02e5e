"""Who talks is not always who may open: the door stays shut, and the resident hears why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.sip.households import debtor, family

if TYPE_CHECKING:
    from tests.sip.scene import Scene


async def test_a_debtor_talks_but_does_not_open(scene: Scene) -> None:
    apartment, at, number = debtor(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    await ring.rtp.wait_for_sound(3)
    call.rtp.hush()  # so that whatever the resident hears from now on is the platform's
    await asyncio.sleep(0.3)
    heard_before = ring.rtp.audible_packets

    await ring.rtp.press("#")
    await ring.rtp.wait_for_sound(3, packets=heard_before + 20)

    await ring.bye()
    record = await scene.office.call_record(call.call_id)
    assert call.rtp.keys == []
    assert [door["result"] for door in record["access_records"]] == ["refused"]
    assert record["access_records"][0]["reason"]


async def test_a_phone_of_another_apartment_that_took_the_call_does_not_open(scene: Scene) -> None:
    """A neighbour's phone answers (its account forwards to nobody, it forged the contact): no permission, no door."""
    apartment, at, number = family(scene.town)
    neighbour = next(
        other.residents[0] for other in scene.town.apartments if other != apartment and len(other.residents) > 0
    )
    thief = await scene.resident(neighbour)
    owner = apartment.residents[0]
    # A neighbour who tries to register the owner's account with its own password is not let in.
    forged = await thief.register(type(owner.credentials)(owner.credentials.username, neighbour.credentials.password))
    assert forged.status in (401, 403)

    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await home.all_ring()
    assert thief.ringing == []
    await call.cancel()
