"""The second company of the town as it is: prompts in Russian, recorded talks, messages, neighbours of one house."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

from tests.sip.carriers import FIRST, SECOND
from tests.sip.households import (
    blocked_in_russian,
    family,
    indoor_unit_first,
    one_by_one,
    refusal_is_an_answer,
    takes_messages,
)
from tests.sip.prompts import prompt_plays
from tests.sip.records import outcomes
from tests.sip.test_messages import is_message_recorded, loud_part, sound_of

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.town import Apartment, Panel
    from tests.sip.scene import Scene

_UNIT_STAGE_S = 6


async def _visit(scene: Scene, place: tuple[Apartment, Panel, str]) -> OutgoingCall:
    """A visitor calls, and is told that talks are recorded before anybody rings."""
    _, at, number = place
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await prompt_plays(scene, "ru/call-recorded")
    return call


async def _answer(scene: Scene, call: OutgoingCall, ring: IncomingCall) -> None:
    """Whoever answers is told, too, and then they talk."""
    ring.ring()
    ring.answer()
    await ring.established()
    await prompt_plays(scene, "ru/call-recorded")
    assert 200 not in call.statuses, "connected before he was told"
    await call.answered()


async def test_a_message_is_taken_in_russian(scene: Scene) -> None:
    place = takes_messages(scene.town)
    call = await _visit(scene, place)
    await call.answered(timeout_s=8)
    call.rtp.hush()
    await prompt_plays(scene, "ru/message-invited")
    await is_message_recorded(scene, call.call_id)
    call.rtp.talk()
    await asyncio.sleep(2)  # what he has to say
    await call.rtp.press("#")
    await prompt_plays(scene, "ru/message-kept")
    await call.wait_request("BYE", 6)
    found = await sound_of(scene, call.call_id)
    assert (found["kind"], found["dialled"]) == ("message", place[2])
    assert loud_part(found["audio"]) > 0.3
    assert (await scene.office.call_record(call.call_id))["result"] == "no_answer"


async def test_a_blocked_household_is_explained_in_russian(scene: Scene) -> None:
    apartment, at, number = blocked_in_russian(scene.town)
    home, visitor = await scene.home(apartment), await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await prompt_plays(scene, "ru/blocked")
    assert 400 <= (await call.final(10)).status < 700
    assert all(peer.ringing == [] for _, peer in home.phones)
    assert (await scene.office.call_record(call.call_id))["result"] == "blocked"


async def test_the_indoor_unit_then_the_apps_then_the_phone(scene: Scene) -> None:
    place = indoor_unit_first(scene.town)
    unit, *apps = place[0].residents
    (_, hall), *others = (await scene.home(place[0])).phones
    carrier = await scene.peer(FIRST)
    call = await _visit(scene, place)
    first = await hall.incoming()
    first.ring()
    await call.ringing()
    assert all(peer.ringing == [] for _, peer in others)

    rings = await asyncio.gather(*(peer.incoming(who.credentials.username, _UNIT_STAGE_S + 5) for who, peer in others))

    waited_s = rings[0].received.at_s - first.received.at_s
    assert _UNIT_STAGE_S - 1 < waited_s < _UNIT_STAGE_S + 3
    await first.wait_cancelled()
    assert carrier.ringing == []
    for ring in rings:
        ring.ring()
        ring.reject(603)
    (mobile,) = place[0].mobiles
    phone = await carrier.incoming(mobile.number, timeout_s=3)  # at once: all have refused
    phone.ring()
    await call.cancel()
    await phone.wait_cancelled()
    assert await outcomes(scene, call.call_id, 4) == {
        unit.credentials.username: (0, "cancelled"),
        apps[0].credentials.username: (1, "declined"),
        apps[1].credentials.username: (1, "declined"),
        mobile.account: (2, "cancelled"),
    }


async def test_a_talk_is_recorded_and_both_are_told_in_russian(scene: Scene) -> None:
    place = indoor_unit_first(scene.town)
    unit = await scene.resident(place[0].residents[0])
    call = await _visit(scene, place)
    assert unit.ringing == []
    ring = await unit.incoming()
    await _answer(scene, call, ring)
    ring.rtp.hush()  # two tones of one pitch may cancel one another
    await call.rtp.quiet(0.3)
    await asyncio.sleep(2)  # they talk
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(place[1].door_code[0], 3)
    await call.bye()
    found = await sound_of(scene, call.call_id)
    assert (found["kind"], found["panel"]) == ("recording", place[1].credentials.username)
    assert found["duration_ms"] > 1_000
    assert loud_part(found["audio"]) > 0.3
    (opening,) = await scene.office.access_records(call.call_id)
    assert (opening["result"], opening["account"]) == ("sent", place[0].residents[0].credentials.username)


async def test_residents_ring_one_by_one_in_their_own_order(scene: Scene) -> None:
    place = one_by_one(scene.town)
    (boris, his), (anna, hers) = (await scene.home(place[0])).phones
    call = await _visit(scene, place)
    first = await hers.incoming()
    first.ring()
    await call.ringing()
    assert his.ringing == []
    first.reject(603)
    second = await his.incoming()
    await _answer(scene, call, second)
    # A talk of no length leaves no recording.
    await second.rtp.wait_for_sound(5, packets=second.rtp.audible_packets + 50)
    await call.bye()
    assert await outcomes(scene, call.call_id, 2) == {
        anna.credentials.username: (0, "declined"),
        boris.credentials.username: (1, "answered"),
    }
    await sound_of(scene, call.call_id)


async def test_a_refusal_ends_the_call_where_the_plan_says_so(scene: Scene) -> None:
    """Neither is the phone rung that stands next in the plan, nor a message asked for."""
    place = refusal_is_an_answer(scene.town)
    app = await scene.resident(place[0].residents[0])
    carriers = [await scene.peer(address) for address in (FIRST, SECOND)]
    call = await _visit(scene, place)
    ring = await app.incoming()
    ring.ring()
    began_s = time.monotonic()
    ring.reject(603)
    await prompt_plays(scene, "ru/nobody-home")
    assert 400 <= (await call.final(10)).status < 700
    assert time.monotonic() - began_s < 8
    assert [carrier.ringing for carrier in carriers] == [[], []]
    assert await outcomes(scene, call.call_id, 1) == {place[0].residents[0].credentials.username: (0, "declined")}


async def test_neighbours_call_one_another_within_the_house(scene: Scene) -> None:
    caller = indoor_unit_first(scene.town)[0].residents[0]
    unit = await scene.resident(caller)
    next_door, _, number = refusal_is_an_answer(scene.town)
    app = await scene.resident(next_door.residents[0])
    call = await unit.call(caller.credentials, number)
    ring = await app.incoming()
    assert '"Polevaya 3, 31"' in ring.invite.get("From")
    ring.answer()
    await call.answered()
    await ring.established()
    await call.bye()
    await ring.wait_request("BYE", 5)
    assert (await scene.office.call_record(call.call_id))["result"] == "answered"


async def test_the_other_companys_house_is_not_reached(scene: Scene) -> None:
    """Neither by its apartments' own numbers nor by those that a visitor dials at its gate."""
    caller = indoor_unit_first(scene.town)[0].residents[0]
    unit = await scene.resident(caller)
    across, _, _ = family(scene.town)
    home = await scene.home(across)
    for number in set(across.dial.values()):
        call = await unit.call(caller.credentials, number)
        await prompt_plays(scene, "ru/unknown-number")
        assert (await call.final(10)).status == 404
    assert all(peer.ringing == [] for _, peer in home.phones)
