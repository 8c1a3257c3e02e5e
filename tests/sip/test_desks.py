"""The concierge: called from the panel's button and from home; it opens, calls, and passes visitors on."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

import pytest

from tests.sip.carriers import FIRST
from tests.sip.households import BUTTON, as_callee, beside_a_desk, family, from_the_gate
from tests.sip.ordinary import they_talk
from tests.sip.prompts import heard_beside, prompt_plays
from tests.sip.records import Record, record_with
from tests.sip.sleepers import push_services, sleeping_device

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.town import Panel
    from tests.sip.scene import Scene


async def _press(call: IncomingCall, keys: str) -> None:
    for key in keys:
        await call.rtp.press(key)
        await asyncio.sleep(0.1)  # a finger needs a moment from key to key


async def _visitor_at_the_desk(scene: Scene, button: str = BUTTON) -> tuple[OutgoingCall, IncomingCall, Panel]:
    """A visitor has pressed the button and talks with the first desk."""
    _, at, _ = beside_a_desk(scene.town)[0]
    lobby = await scene.resident(scene.town.desks[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, button)
    ring = await lobby.incoming()
    await they_talk(call, ring)
    return call, ring, at


async def test_the_button_rings_the_first_desk_and_it_opens(scene: Scene) -> None:
    call, ring, at = await _visitor_at_the_desk(scene)
    assert at.name in ring.invite.get("From")
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["answered_by"]) == ("answered", scene.town.desks[0].credentials.username)
    (opening,) = await scene.office.access_records(call.call_id)
    assert (opening["result"], opening["account"]) == ("sent", scene.town.desks[0].credentials.username)


@pytest.mark.parametrize("button", [BUTTON, "concierge"])
async def test_the_visitors_own_keys_do_not_reach_the_desk(scene: Scene, button: str) -> None:
    call, ring, at = await _visitor_at_the_desk(scene, button)
    await ring.rtp.wait_for_sound(3)  # Asterisk has learnt where the panel sends from
    await call.rtp.press("#")
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    assert ring.rtp.keys == []


async def test_the_second_desk_rings_when_the_first_declines(scene: Scene) -> None:
    _, at, _ = beside_a_desk(scene.town)[0]
    lobby, guard = [await scene.resident(desk) for desk in scene.town.desks]
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, "concierge")
    first = await lobby.incoming()
    assert guard.ringing == []
    first.ring()
    first.reject(603)
    second = await guard.incoming()
    await they_talk(call, second)
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert record["answered_by"] == scene.town.desks[1].credentials.username
    assert [branch["outcome"] for branch in sorted(record["branches"], key=lambda b: int(b["stage"]))] == [
        "declined",
        "answered",
    ]


async def test_a_desk_whose_app_sleeps_is_woken_and_told_where_the_visitor_stands(scene: Scene) -> None:
    services = await push_services(scene)
    _, at, _ = beside_a_desk(scene.town)[0]
    lobby = scene.town.desks[0]
    token = await sleeping_device(scene, lobby, "fcm")
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, BUTTON)
    push = await services.wait_for(token)
    assert (push.data["panel"], push.data["house"], push.data["call_id"]) == (at.name, "Sadovaya 7", call.call_id)
    ring = await (await scene.resident(lobby)).incoming()
    await they_talk(call, ring)
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    assert (await scene.office.call_record(call.call_id))["answered_by"] == lobby.credentials.username


async def test_no_desk_at_its_place_is_told_to_the_visitor(scene: Scene) -> None:
    _, at, _ = beside_a_desk(scene.town)[0]
    (duty,) = scene.town.duty_phones
    carrier = await scene.peer(FIRST)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, BUTTON)
    (await carrier.incoming(duty.number)).reject(480)
    await call.wait_status(183, 3)
    await call.rtp.wait_for_sound(3)
    assert (await call.final(15)).status == 480
    assert (await scene.office.call_record(call.call_id))["result"] == "no_answer"


async def _told_of_plans(scene: Scene, call_id: str, *stages: int) -> Record:
    """The record of a visitor who was passed on, once it tells of both branches and of these stages' plans."""

    def told(record: Record) -> bool:
        plans = {line["stage"] for line in record["story"] if line["event"] == "plan"}
        return plans >= {*stages} and len(record["branches"]) > 1

    return await record_with(scene, call_id, told)


async def test_a_desk_passes_the_visitor_on_to_an_apartment(scene: Scene) -> None:
    apartment, _, number = beside_a_desk(scene.town)[1]
    home = await scene.home(apartment)
    call, desk, at = await _visitor_at_the_desk(scene)

    await _press(desk, f"0{number}#")

    (ring,) = await home.all_ring()
    await desk.wait_request("BYE", 5)
    assert at.name in ring.invite.get("From")
    ring.answer()
    await ring.established()
    heard = ring.rtp.audible_packets
    await ring.rtp.wait_for_sound(3, packets=heard + 10)  # the visitor, who was never hung up
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    assert not call.ended
    await call.bye()
    await ring.wait_request("BYE", 5)
    record = await _told_of_plans(scene, call.call_id, 0, 100)
    assert {(branch["stage"], branch["account"], branch["outcome"]) for branch in record["branches"]} == {
        (0, scene.town.desks[0].credentials.username, "answered"),
        (100, apartment.residents[0].credentials.username, "answered"),
    }
    plans = {line["stage"]: line for line in record["story"] if line["event"] == "plan"}
    assert (plans[100]["dialled"], record["dialled"]) == (number, BUTTON)
    assert scene.town.desks[0].credentials.username in plans[0]["stages"][0]["accounts"]
    named = {account for stage in plans[100]["stages"] for account in stage["accounts"]}
    assert {resident.credentials.username for resident in apartment.residents} <= named
    (opening,) = await scene.office.access_records(call.call_id)
    resident = await scene.office.get(f"/v1/accounts/{apartment.residents[0].credentials.username}")
    assert (opening["result"], opening["apartment_id"]) == ("sent", resident["apartment_id"])
    assert record["apartment_id"] is None  # the button is nobody's
    assert await _is_listed(scene, call.call_id, resident["apartment_id"])


async def test_a_desk_passes_on_a_visitor_at_a_gate_whose_separator_ends_the_number_of_a_desk(scene: Scene) -> None:
    """The desk presses `*` instead."""
    apartment, gate, number = from_the_gate(scene.town)[1]
    home = await scene.home(apartment)
    lobby = await scene.resident(scene.town.desks[0])
    async with scene.with_values(await scene.panel_path(gate), separator="#"):
        call = await (await scene.visitor(gate)).call(gate.credentials, BUTTON)
        desk = await lobby.incoming()
        await they_talk(call, desk)
        await _press(desk, f"0{number[:2]}*{number[2:]}#")
        await home.all_ring()
        await desk.wait_request("BYE", 5)
        await call.bye()
    record = await _told_of_plans(scene, call.call_id, 100)
    (passed_to,) = [line["dialled"] for line in record["story"] if line["event"] == "plan" and line["stage"] == 100]
    assert passed_to == f"{number[:2]}#{number[2:]}"


async def test_a_visitor_passed_on_to_nobody_hears_so(scene: Scene) -> None:
    _, _, number = beside_a_desk(scene.town)[1]  # nobody there is registered
    call, desk, _ = await _visitor_at_the_desk(scene)
    await _press(desk, f"0{number}#")
    await desk.wait_request("BYE", 5)
    await call.wait_request("BYE", 15)
    assert (await scene.office.call_record(call.call_id))["result"] == "no_answer"


async def test_a_desk_that_dials_a_wrong_number_keeps_the_visitor(scene: Scene) -> None:
    call, desk, at = await _visitor_at_the_desk(scene)
    await _press(desk, "099#")
    with_prompt = desk.rtp.packets
    await desk.rtp.wait_for_packets(with_prompt + 100, 5)
    assert not call.ended
    assert not desk.ended
    call.rtp.hush()
    await desk.rtp.quiet(0.6)  # the prompt is over
    await desk.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 5)
    await call.bye()


async def test_a_desk_hears_in_its_companys_language_that_a_visitor_cannot_be_passed_on(scene: Scene) -> None:
    async with scene.company_with(language="ru"):
        call, desk, _ = await _visitor_at_the_desk(scene)
        await desk.rtp.wait_for_sound(3)
        call.rtp.hush()
        await desk.rtp.quiet(0.3)
        await _press(desk, "099")
        await desk.rtp.quiet(0.5)  # the tone that asks for a number is over
        heard = desk.rtp.packets
        await desk.rtp.press("#")
        await prompt_plays(scene, "ru/not-passed-on")
        await desk.rtp.wait_for_packets(heard + 50, 5)
        await desk.rtp.quiet(0.6)
        await call.bye()
        assert await heard_beside("ru/not-passed-on", desk.rtp, heard) < 12


async def test_a_resident_presses_the_desks_key_and_nothing_happens(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    await call.rtp.wait_for_sound(3)  # Asterisk has learnt where the phone sends from
    await ring.rtp.press("0")
    heard = ring.rtp.audible_packets
    await ring.rtp.wait_for_sound(3, packets=heard + 25)  # the talk goes on
    assert call.rtp.keys == []
    assert not ring.ended
    await call.bye()


async def test_a_resident_calls_the_desk(scene: Scene) -> None:
    resident = beside_a_desk(scene.town)[0][0].residents[0]
    phone = await scene.resident(resident)
    lobby = await scene.resident(scene.town.desks[0])
    call = await phone.call(resident.credentials, BUTTON)
    ring = await lobby.incoming()
    assert '"Sadovaya 7, 1"' in ring.invite.get("From")
    await they_talk(call, ring)
    await call.rtp.wait_for_sound(3)
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert (record["panel"], record["dialled"], record["result"]) == (resident.credentials.username, BUTTON, "answered")
    assert record["company_id"] is not None


async def _is_listed(scene: Scene, call_id: str, apartment_id: int) -> bool:
    """Whether the calls of an apartment have this one."""
    calls = (await scene.office.get(f"/v1/calls?apartment_id={apartment_id}"))["items"]
    return call_id in {call["call_id"] for call in calls}


async def test_a_desk_calls_an_apartment(scene: Scene) -> None:
    apartment, _, number = beside_a_desk(scene.town)[1]
    desk = scene.town.desks[0]
    home = await scene.home(apartment)
    lobby = await scene.resident(desk)
    call = await lobby.call(desk.credentials, number)
    (ring,) = await home.all_ring()
    assert '"Lobby"' in ring.invite.get("From")
    ring.answer()
    await call.answered()
    await ring.established()
    call.rtp.hush()
    await ring.rtp.press("#")  # no door is behind this call
    heard = ring.rtp.audible_packets
    await ring.rtp.wait_for_sound(3, packets=heard + 20)
    await call.bye()
    (refused,) = await scene.office.access_records(call.call_id)
    assert refused["result"] == "refused"
    resident = await scene.office.get(f"/v1/accounts/{apartment.residents[0].credentials.username}")
    assert await _is_listed(scene, call.call_id, resident["apartment_id"])


async def test_a_desk_calls_a_panel_and_opens_there(scene: Scene) -> None:
    _, at, _ = beside_a_desk(scene.town)[0]
    desk = scene.town.desks[0]
    panel = await scene.resident(as_callee(at))
    lobby = await scene.resident(desk)
    call = await lobby.call(desk.credentials, at.credentials.username)
    ring = await panel.incoming()
    ring.answer()
    await call.answered()
    await ring.established()
    await call.rtp.press("#")
    await ring.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    (opening,) = await scene.office.access_records(call.call_id)
    assert (opening["result"], opening["account"]) == ("sent", desk.credentials.username)


async def test_when_no_desk_answers_the_phone_on_duty_rings_and_opens(scene: Scene) -> None:
    _, at, _ = beside_a_desk(scene.town)[0]
    (duty,) = scene.town.duty_phones
    lobby = await scene.resident(scene.town.desks[0])
    carrier = await scene.peer(FIRST)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, BUTTON)
    (await lobby.incoming()).reject(486)  # and nobody is in the guard room
    ring = await carrier.incoming(duty.number)
    await they_talk(call, ring)
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    record = await scene.office.call_record(call.call_id, branches=3)
    assert (record["answered_by"], record["result"]) == (duty.account, "answered")
    assert [opening["result"] for opening in await scene.office.access_records(call.call_id)] == ["sent"]
    assert {(branch["stage"], branch["account"], branch["outcome"]) for branch in record["branches"]} == {
        (0, scene.town.desks[0].credentials.username, "busy"),
        (1, scene.town.desks[1].credentials.username, "offline"),
        (2, duty.account, "answered"),
    }
