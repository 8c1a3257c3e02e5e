"""A visitor presses the number: the family's phones ring, one answers, a key opens the door."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers.message import told_elsewhere
from tests.sip.households import family
from tests.sip.ordinary import the_family_rings
from tests.sip.promises import kept_within
from tests.sip.records import record_with_keys

if TYPE_CHECKING:
    from tests.sip.scene import Scene


async def test_three_phones_ring_one_answers_and_hash_opens_the_door(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    panel, phones = await asyncio.gather(scene.panel(at), scene.phones(apartment))

    call_id = await panel.phone.dial(number)
    ringing = await asyncio.gather(*(phone.wait_for("CALL_INCOMING") for phone in phones))
    await panel.phone.wait_for("CALL_RINGING", "CALL_PROGRESS")

    answering, *others = phones
    await answering.accept()
    await panel.phone.wait_for("CALL_ESTABLISHED")
    for other, incoming in zip(others, ringing[1:], strict=True):
        assert told_elsewhere(await other.told_on_cancel(incoming.call_id))

    await panel.phone.wait_for("CALL_RTPESTAB")
    assert not panel.door.openings
    await answering.press("#")
    assert (await panel.door.wait_opened()).cause == "dtmf"

    await answering.hangup()
    await panel.phone.wait_for("CALL_CLOSED")

    record = await record_with_keys(scene, call_id)
    answered_by = answering.config.account
    assert (record["panel"], record["dialled"]) == (at.credentials.username, number)
    assert (record["result"], record["answered_by"]) == ("answered", answered_by)
    assert record["talk_ms"] > 0
    outcomes = {branch["account"]: branch["outcome"] for branch in record["branches"]}
    assert outcomes == {answered_by: "answered"} | {other.config.account: "cancelled" for other in others}
    assert [(door["account"], door["key"]) for door in record["access_records"]] == [(answered_by, "#")]
    assert record["access_records"][0]["result"] in ("sent", "opened")


async def test_star_opens_too(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    panel, phone = await asyncio.gather(scene.panel(at), scene.phone(apartment.residents[0]))
    await panel.phone.dial(number)
    await phone.wait_for("CALL_INCOMING")
    await phone.accept()
    await panel.phone.wait_for("CALL_RTPESTAB")

    await phone.press("*")

    assert (await panel.door.wait_opened()).cause == "dtmf"


async def test_a_key_sent_as_sip_info_opens_too(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    panel, phone = await asyncio.gather(scene.panel(at), scene.phone(apartment.residents[0], dtmf="info"))
    await panel.phone.dial(number)
    await phone.wait_for("CALL_INCOMING")
    await phone.accept()
    await panel.phone.wait_for("CALL_RTPESTAB")

    await phone.press("#")

    assert (await panel.door.wait_opened()).cause == "dtmf"
    await phone.wait_traced(lambda got: got.message.method == "INFO", "INFO")


async def test_the_relay_opens_over_http_where_the_panel_has_one(scene: Scene) -> None:
    apartment, at, number = family(scene.town, method="http")
    login = scene.town.relay_login(at)
    panel, phone = await asyncio.gather(scene.panel(at, login), scene.phone(apartment.residents[0]))
    await panel.phone.dial(number)
    await phone.wait_for("CALL_INCOMING")
    await phone.accept()
    await panel.phone.wait_for("CALL_RTPESTAB")

    await phone.press("#")

    assert (await panel.door.wait_opened()).cause == "http"
    assert not [event for event in panel.phone.events if event.type == "CALL_DTMF_START"]


async def test_the_door_follows_the_key_within_150_ms(scene: Scene) -> None:
    apartment, at, _ = family(scene.town)
    home = await scene.home(apartment)

    async def took_s() -> float:
        call, rings = await the_family_rings(scene, home, 5)
        rings[0].answer()
        await call.answered()
        await rings[0].established()
        let_go_s = await rings[0].rtp.press("#")
        key = await call.rtp.wait_for_key(at.door_code[0], timeout_s=3)
        await call.bye()
        await rings[0].wait_request("BYE", 3)
        return key.began_s - let_go_s

    await kept_within(0.15, took_s)


async def test_a_key_pressed_by_the_visitor_opens_nothing(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)

    await call.rtp.press("#")
    await ring.rtp.wait_for_sound(3, packets=ring.rtp.audible_packets + 25)  # half a second of what came after it

    assert (call.rtp.keys, ring.rtp.keys) == ([], []), "it goes to nobody: a line's echo would send it back as his"
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert record["access_records"] == []


async def test_the_visitor_hears_the_resident_and_the_resident_the_visitor(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)

    await asyncio.gather(call.rtp.wait_for_sound(3), ring.rtp.wait_for_sound(3))

    assert await ring.bye() == 200
    await call.wait_request("BYE", 3)


@pytest.mark.parametrize("who", [0, 1, 2])
async def test_whoever_answers_the_others_are_told(scene: Scene, who: int) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    rings = await home.all_ring()

    rings[who].answer()
    await call.answered()

    for index, ring in enumerate(rings):
        if index != who:
            await ring.wait_cancelled()
            assert ring.answered_elsewhere, ring.reason
    await call.bye()


async def test_ringing_begins_within_a_second(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    home = await scene.home(apartment)

    async def took_s() -> float:
        began_s = time.monotonic()
        call, _ = await the_family_rings(scene, home, 5)
        await call.ringing()
        took_s = time.monotonic() - began_s
        await call.cancel()
        return took_s

    await kept_within(1.0, took_s)
