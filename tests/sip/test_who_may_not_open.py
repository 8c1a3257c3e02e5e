"""Who talks is not always who may open: the door stays shut, and the resident hears why."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from lab.peers import g711, sdp
from lab.peers.digest import Credentials
from tests.sip.carriers import a_phone_is_dialled
from tests.sip.emergency_scene import call_112, call_back, caller_of, nobody_holds_a_number, panel_at, registered
from tests.sip.households import beside_a_desk, debtor, family, kind_neighbour, the_neighbour
from tests.sip.ordinary import a_look, they_talk
from tests.sip.refusals import the_key_is_refused

if TYPE_CHECKING:
    from collections.abc import Iterable

    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.town import Panel
    from tests.sip.scene import Scene

# What no leg has a meaning for; a panel's own door code is among them.
_OTHER_KEYS = "0123456789ABCD"


async def test_a_debtor_talks_but_does_not_open(scene: Scene) -> None:
    apartment, at, number = debtor(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    await the_key_is_refused(scene, call, ring)


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

    await the_key_is_refused(scene, call, rings[1])


async def test_nobody_registers_the_account_of_another_apartment(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    owner, thief = apartment.residents[0].credentials, the_neighbour(scene.town)
    peer = await scene.resident(thief)

    forged = await peer.register(Credentials(owner.username, thief.credentials.password))

    assert forged.status in (401, 403)


async def _press_each(
    keys: Iterable[str], talker: IncomingCall | OutgoingCall, panel: IncomingCall | OutgoingCall
) -> None:
    """Each key, as RFC 4733 events and by SIP INFO: the panel hears none, and both go on hearing one another."""
    await panel.rtp.wait_for_sound(3)  # Asterisk has learnt where the talker sends from
    for key in keys:
        await talker.rtp.press(key, duration_ms=60)
        assert await talker.info(key, duration_ms=60) == 200
    for side in (talker, panel):
        # Asterisk takes key after key, and no sound of the talker meanwhile.
        await side.rtp.wait_for_sound(10, packets=side.rtp.audible_packets + 25)
    assert panel.rtp.keys == []


async def _only_the_key_opens(
    talker: IncomingCall | OutgoingCall, panel: IncomingCall | OutgoingCall, at: Panel, keys: str
) -> None:
    """`#` sends the door code once; no other key reaches the panel."""
    await _press_each(at.door_code + keys, talker, panel)
    await talker.rtp.press("#")
    await panel.rtp.wait_for_key(at.door_code[-1], 3)
    await panel.rtp.wait_for_sound(5, packets=panel.rtp.audible_packets + 25)  # half a second later
    assert [press.key for press in panel.rtp.keys] == list(at.door_code)


async def test_a_debtor_does_not_open_with_the_panels_own_code(scene: Scene) -> None:
    apartment, at, number = debtor(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    await _press_each(at.door_code, ring, call)
    await the_key_is_refused(scene, call, ring)


async def test_no_other_key_of_a_resident_reaches_the_panel(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    await _only_the_key_opens(ring, call, at, _OTHER_KEYS)
    await call.bye()
    assert [door["result"] for door in await scene.office.access_records(call.call_id)] == ["sent"]


async def test_no_other_key_of_a_phone_reaches_the_panel(scene: Scene) -> None:
    _, at, _ = scene.town.apartment("phone only")
    call, ring = await a_phone_is_dialled(scene)
    await they_talk(call, ring)
    await _only_the_key_opens(ring, call, at, "05")
    await call.bye()


async def test_no_other_key_of_a_desk_reaches_the_panel(scene: Scene) -> None:
    _, at, _ = beside_a_desk(scene.town)[0]
    lobby = await scene.resident(scene.town.desks[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, "concierge")
    ring = await lobby.incoming()
    ring.answer()
    await call.answered()
    await ring.established()
    await _only_the_key_opens(ring, call, at, "5")
    await call.bye()


async def test_no_other_key_of_who_looks_reaches_the_panel(scene: Scene) -> None:
    apartment, at, _ = family(scene.town)
    call, ring = await a_look(scene, apartment.residents[0], at)
    await _only_the_key_opens(call, ring, at, "05")
    await call.bye()


async def test_no_key_of_the_dispatch_centre_reaches_the_panel(scene: Scene) -> None:
    """Neither when it is called, nor when it calls back."""
    await nobody_holds_a_number(scene)
    at = panel_at(scene)
    call, centre = await call_112(scene, at)
    await _press_each(at.door_code + "5#*", centre, call)
    await call.bye()

    panel = await registered(scene, at)
    back, ring = await call_back(scene, panel, at.credentials.username, caller_of(centre))
    ring.answer()
    await ring.established()
    await _press_each(at.door_code + "05#*", back, ring)
    await back.bye()


async def _talks_over_a_line_with_an_echo(
    scene: Scene, loss_db: float = 14
) -> tuple[OutgoingCall, IncomingCall, Panel]:
    """A visitor talks to a phone whose keys are tones, on a line that returns what it hears, fainter by `loss_db`."""
    _, at, _ = scene.town.apartment("phone only")
    call, ring = await a_phone_is_dialled(scene)
    ring.payload_types = (sdp.PCMU,)  # no telephone-event
    await they_talk(call, ring)
    await ring.rtp.wait_for_sound(3)
    call.rtp.hush()
    ring.rtp.hush()
    ring.rtp.echo(loss_db)
    return call, ring, at


async def test_the_visitors_own_key_does_not_open_by_the_echo_of_a_phone_line(scene: Scene) -> None:
    call, ring, _ = await _talks_over_a_line_with_an_echo(scene)
    call.rtp.talk(g711.silence(1000))  # the end of a key is heard in what follows it
    await ring.rtp.wait_for_packets(ring.rtp.packets + 25, 3)
    await call.rtp.press("#", 300)
    await ring.rtp.wait_for_packets(ring.rtp.packets + 75, 5)
    assert call.rtp.keys == []
    await call.bye()
    assert await scene.office.access_records(call.call_id, 0) == []


@pytest.mark.parametrize("loss_db", [0, 14])
async def test_a_key_that_the_visitor_plays_does_not_open_by_an_echo_however_often(
    scene: Scene, loss_db: float
) -> None:
    """Sung into the panel's microphone, again and again, for longer than a phone is asked for the key once more."""
    call, ring, _ = await _talks_over_a_line_with_an_echo(scene, loss_db)
    call.rtp.talk((g711.key_tones("#", 200) + g711.silence(100)) * 4)
    # The sentence by which a phone is asked for the key has 140 packets and more; he is not heard meanwhile.
    await ring.rtp.wait_for_sound(20, packets=ring.rtp.audible_packets + 330)
    assert call.rtp.keys == []
    await call.bye()
    assert await scene.office.access_records(call.call_id, 0) == []
