"""Residents call: the panel, to look who is there; their neighbours, where the company allows it."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from lab.peers import sdp
from lab.peers.rtp import open_stream
from tests.sip.carriers import FIRST, SECOND
from tests.sip.households import as_callee, beside_a_desk, debtor, family
from tests.sip.ordinary import a_look, flows
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from tests.sip.scene import Scene

_FRAME = bytes(range(40))


async def test_a_resident_looks_who_is_there_and_opens(scene: Scene) -> None:
    apartment, at, _ = family(scene.town)
    resident = apartment.residents[0]
    panel = await scene.resident(as_callee(at))
    phone = await scene.resident(resident)
    camera, screen = await open_stream(at.address), await open_stream(resident.address)
    try:
        call = await phone.call(resident.credentials, at.credentials.username, video_port=screen.port)
        ring = await panel.incoming()
        offered = sdp.video(ring.invite.body)
        assert offered is not None
        ring.video_port = camera.port
        ring.answer()
        await call.answered()
        await ring.established()
        camera.aim(offered)
        await flows(lambda: camera.send_packet(sdp.H264, _FRAME), screen)
        await call.rtp.wait_for_sound(3)

        await call.rtp.press("#")
        await ring.rtp.wait_for_key(at.door_code[0], 3)
        await call.bye()
        await ring.wait_request("BYE", 5)
    finally:
        camera.close()
        screen.close()
    record = await scene.office.call_record(call.call_id)
    assert (record["panel"], record["dialled"]) == (resident.credentials.username, at.credentials.username)
    (opening,) = await scene.office.access_records(call.call_id)
    assert (opening["result"], opening["account"]) == ("sent", resident.credentials.username)


async def test_keys_of_the_panel_open_nothing_while_somebody_looks(scene: Scene) -> None:
    apartment, at, _ = family(scene.town)
    call, ring = await a_look(scene, apartment.residents[0], at)
    await call.rtp.wait_for_sound(3)  # Asterisk has learnt where the panel sends from
    await ring.rtp.press("#")
    await call.rtp.press("#")
    await ring.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    assert call.rtp.keys == []
    (opening,) = await scene.office.access_records(call.call_id)
    assert opening["account"] == apartment.residents[0].credentials.username


async def test_the_keypad_is_free_again_after_the_limit(scene: Scene) -> None:
    apartment, at, _ = family(scene.town)
    resident = apartment.residents[0]
    async with scene.company_with(look_limit_s=5):
        panel, phone = await scene.resident(as_callee(at)), await scene.resident(resident)
        call = await phone.call(resident.credentials, at.credentials.username)
        ring = await panel.incoming()
        watch = Stopwatch()
        ring.answer()
        await call.answered()
        await ring.established()
        overs = await asyncio.gather(ring.wait_request("BYE", 10), call.wait_request("BYE", 10))
        assert watch.took_s < 7.5
        assert all(over.at_s - watch.began_s > 4 for over in overs)
    assert (await scene.office.call_record(call.call_id))["result"] == "answered"


async def test_a_panel_in_a_call_is_busy(scene: Scene) -> None:
    apartment, at, _ = family(scene.town)
    resident = apartment.residents[0]
    panel, phone = await scene.resident(as_callee(at)), await scene.resident(resident)
    call = await phone.call(resident.credentials, at.credentials.username)
    (await panel.incoming()).reject(486)
    assert (await call.final(15)).status == 486
    assert (await scene.office.call_record(call.call_id))["result"] == "busy"


async def test_a_debtor_looks_but_does_not_open(scene: Scene) -> None:
    apartment, at, _ = debtor(scene.town)
    call, ring = await a_look(scene, apartment.residents[0], at)
    ring.rtp.hush()
    await call.rtp.quiet(0.3)
    heard = call.rtp.audible_packets
    await call.rtp.press("#")
    await call.rtp.wait_for_sound(3, packets=heard + 20)  # the reason
    await call.bye()
    (refused,) = await scene.office.access_records(call.call_id)
    assert refused["result"] == "refused"


async def test_a_panel_of_another_house_is_none_of_his(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    _, elsewhere, _ = beside_a_desk(scene.town)[0]
    resident = apartment.residents[0]
    panel, phone = await scene.resident(as_callee(elsewhere)), await scene.resident(resident)
    call = await phone.call(resident.credentials, elsewhere.credentials.username)
    assert (await call.final(15)).status == 404
    assert panel.ringing == []


async def test_a_neighbour_of_the_house_and_of_the_estate_ring(scene: Scene) -> None:
    (apartment, _, _), (next_door, _, number), _ = beside_a_desk(scene.town)
    across, _, _ = family(scene.town)
    gate = next(panel for panel in scene.town.panels if "gate" in panel.name.lower())
    resident = apartment.residents[0]
    phone = await scene.resident(resident)
    for home, dialled in ((next_door, number), (across, across.dial[gate.credentials.username])):
        phones = await scene.home(home)
        call = await phone.call(resident.credentials, dialled)
        rings = await phones.all_ring()
        assert '"Sadovaya 7, 1"' in rings[0].invite.get("From")
        rings[0].answer()
        await call.answered()
        await rings[0].established()
        await call.bye()
        await rings[0].wait_request("BYE", 5)
        assert (await scene.office.call_record(call.call_id))["result"] == "answered"


async def test_a_neighbour_is_never_put_through_to_a_phone(scene: Scene) -> None:
    caller = beside_a_desk(scene.town)[0][0].residents[0]
    carriers = [await scene.peer(address) for address in (FIRST, SECOND)]
    phone = await scene.resident(caller)
    called, _, number = scene.town.apartment("the app, then his phone")
    app = await scene.resident(called.residents[0])
    call = await phone.call(caller.credentials, number)
    ring = await app.incoming()
    ring.ring()
    ring.reject(603)  # a visitor's call would go on to the phone now
    assert (await call.final(15)).status >= 400
    _, _, phone_only = scene.town.apartment("phone only")
    alone = await phone.call(caller.credentials, phone_only)
    assert (await alone.final(15)).status == 480
    assert [carrier.ringing for carrier in carriers] == [[], []]
    record = await scene.office.call_record(call.call_id, branches=1)
    assert [branch["account"] for branch in record["branches"]] == [called.residents[0].credentials.username]
    assert (await scene.office.call_record(alone.call_id))["branches"] == []


async def test_neighbours_are_not_reached_where_the_company_does_not_allow_it(scene: Scene) -> None:
    (apartment, _, _), (next_door, _, number), _ = beside_a_desk(scene.town)
    resident = apartment.residents[0]
    phone, phones = await scene.resident(resident), await scene.home(next_door)
    async with scene.company_with(neighbour_calls="none"):
        call = await phone.call(resident.credentials, number)
        assert (await call.final(15)).status == 403
    assert all(peer.ringing == [] for _, peer in phones.phones)
    assert (await scene.office.call_record(call.call_id))["result"] == "forbidden"
