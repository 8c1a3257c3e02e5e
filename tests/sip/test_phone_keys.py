"""A phone that has to press a key first: whoever does is connected, an answering machine is not."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.sip.carriers import FIRST, SECOND, either
from tests.sip.records import record_so_far, record_with_keys

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.town import Apartment, Panel
    from tests.sip.scene import Scene


async def test_an_answering_machine_presses_no_key_and_the_app_rings_on(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("presses a key first")
    home = await scene.home(apartment)
    carrier, other = await scene.peer(FIRST), await scene.peer(SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    (app,) = await home.all_ring()
    numbers = [mobile.number for mobile in apartment.mobiles]
    machine_leg, person_leg = await asyncio.gather(*(either(carrier, other, number) for number in numbers))
    for leg in (machine_leg, person_leg):
        leg.ring()
    machine_leg.answer()
    await machine_leg.established()
    await machine_leg.rtp.wait_for_sound(3)
    await machine_leg.wait_request("BYE", 25)  # nobody pressed a key
    assert 200 not in call.statuses
    assert app.cancelled is None

    person_leg.answer()
    await person_leg.established()
    await person_leg.rtp.wait_for_sound(3)
    await person_leg.rtp.press("1")
    await call.answered()
    await app.wait_cancelled()
    assert app.answered_elsewhere, app.reason
    await person_leg.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    legs = {leg["account"]: leg["connected"] for leg in await scene.office.phone_legs(call.call_id, 2)}
    assert legs == {apartment.mobiles[0].account: False, apartment.mobiles[1].account: True}
    record = await scene.office.call_record(call.call_id)
    assert record["answered_by"] == apartment.mobiles[1].account


async def _asked(scene: Scene) -> tuple[OutgoingCall, IncomingCall, Apartment]:
    """A resident has answered a phone and is asked to press a key."""
    apartment, at, number = scene.town.apartment("presses a key first")
    carrier, other = await scene.peer(FIRST), await scene.peer(SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    leg = await either(carrier, other, apartment.mobiles[0].number)
    leg.ring()
    leg.answer()
    await leg.established()
    await leg.rtp.wait_for_sound(3)
    return call, leg, apartment


async def test_a_phone_that_is_asked_for_a_key_is_free_when_the_visitor_leaves(scene: Scene) -> None:
    call, leg, _ = await _asked(scene)
    await call.cancel()
    await leg.wait_request("BYE", 5)
    (told,) = await scene.office.phone_legs(call.call_id, 1)
    assert told["connected"] is False
    assert (await scene.office.call_record(call.call_id))["answered_by"] is None


@pytest.mark.parametrize("after", ["the sentence has begun", "no time at all"])
async def test_who_picks_up_a_phone_and_hangs_up_without_a_key_leaves_the_others_ringing(
    scene: Scene, after: str
) -> None:
    apartment, at, number = scene.town.apartment("presses a key first")
    home = await scene.home(apartment)
    carrier, other = await scene.peer(FIRST), await scene.peer(SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    (app,) = await home.all_ring()
    numbers = [mobile.number for mobile in apartment.mobiles]
    hasty, waiting = await asyncio.gather(*(either(carrier, other, number) for number in numbers))
    waiting.ring()
    hasty.answer()
    await hasty.established()
    if after == "the sentence has begun":
        await hasty.rtp.wait_for_sound(3)
    assert await hasty.bye() == 200
    so_far = await record_so_far(scene, call.call_id, lambda record: bool(record["phone_legs"]))
    (told,) = so_far["phone_legs"]
    assert (told["account"], told["connected"], told["billed_s"]) == (apartment.mobiles[0].account, False, 60)
    assert 200 not in call.statuses
    assert (app.cancelled, waiting.cancelled) == (None, None)
    app.answer()
    await call.answered()
    await waiting.wait_cancelled()
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["answered_by"]) == ("answered", apartment.residents[0].credentials.username)


async def test_a_phone_that_is_asked_for_a_key_is_free_when_the_app_answers(scene: Scene) -> None:
    apartment = scene.town.apartment("presses a key first")[0]
    home = await scene.home(apartment)
    call, leg, _ = await _asked(scene)
    (app,) = await home.all_ring()
    app.answer()
    await call.answered()
    await leg.wait_request("BYE", 5)
    await call.bye()
    (told,) = await scene.office.phone_legs(call.call_id, 1)
    assert told["connected"] is False
    record = await scene.office.call_record(call.call_id)
    assert record["answered_by"] == apartment.residents[0].credentials.username


async def test_who_picks_up_a_phone_in_the_last_moment_of_its_stage_has_time_for_the_key(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("no plan of her own")
    home = await scene.home(apartment)
    stages = [{"ring_timeout_s": 8, "confirm": True, "targets": [{"kind": "all"}, {"kind": "phone"}]}]
    async with scene.plan_with(at, number, stages):
        carrier, other = await scene.peer(FIRST), await scene.peer(SECOND)
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        (app,) = await home.all_ring()
        app.ring()
        first = await either(carrier, other, apartment.mobiles[0].number)
        first.ring()
        await asyncio.sleep(4)  # the stage is over before the sentence is
        first.answer()
        await first.established()
        await app.wait_cancelled(10)
        assert 7.5 <= time.monotonic() - call.started_s < 12, "who is asked for no key rings no longer"
        await first.rtp.press("1")
        await call.answered()
        await first.rtp.press("#")
        await call.rtp.wait_for_key(at.door_code[0], 3)
        await call.bye()
        assert (await scene.office.call_record(call.call_id))["answered_by"] == apartment.mobiles[0].account


async def test_the_visitor_hears_ringing_while_the_only_phone_is_asked_for_a_key(scene: Scene) -> None:
    """Its carrier's own ringing tone would end at the pick-up, and silence follow."""
    apartment, at, number = scene.town.apartment("no plan of her own")
    stages = [{"ring_timeout_s": 20, "confirm": True, "targets": [{"kind": "phone"}]}]
    async with scene.plan_with(at, number, stages):
        carrier, other = await scene.peer(FIRST), await scene.peer(SECOND)
        call = await (await scene.visitor(at)).call(at.credentials, number)
        leg = await either(carrier, other, apartment.mobiles[0].number)
        leg.show_early_media()
        await call.wait_status(180, 3)
        leg.answer()
        await leg.established()
        await leg.rtp.wait_for_sound(3)
        assert 183 not in call.statuses, "sound of the carrier's, which is over now"
        await leg.rtp.press("1")
        await call.answered()
        await call.rtp.wait_for_sound(3)
        await call.bye()


async def _confirmed(scene: Scene, key: str) -> tuple[OutgoingCall, IncomingCall, Panel]:
    """A resident has answered a phone and pressed this key to be connected."""
    call, leg, _ = await _asked(scene)
    at = scene.town.apartment("presses a key first")[1]
    assert 200 not in call.statuses
    await leg.rtp.press(key)
    return call, leg, at


async def test_any_key_connects_a_phone_also_the_one_that_opens(scene: Scene) -> None:
    call, leg, _ = await _confirmed(scene, "#")
    await call.answered()
    await leg.rtp.wait_for_sound(3)
    assert call.rtp.keys == []
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["access_records"]) == ("answered", [])


async def test_a_door_code_with_the_keys_own_signs_passes_the_local_channel_of_a_phone(scene: Scene) -> None:
    account = scene.town.apartment("presses a key first")[1].credentials.username
    panels = (await scene.office.get("/v1/panels?limit=200"))["items"]
    panel = next(row for row in panels if row["account"] == account)
    usual = [{name: door[name] for name in ("output", "name", "method", "dtmf")} for door in panel["doors"]]
    await scene.office.send("PATCH", f"/v1/panels/{panel['id']}", {"doors": [usual[0] | {"dtmf": "*7#"}]})
    try:
        await scene.felt()
        call, leg, _ = await _confirmed(scene, "1")
        await call.answered()
        await leg.rtp.press("#")
        await call.rtp.wait_for_key("#", 3)
        await call.rtp.wait_for_sound(5, packets=call.rtp.audible_packets + 25)  # half a second later
        assert "".join(press.key for press in call.rtp.keys) == "*7#"
        await call.bye()
        record = await record_with_keys(scene, call.call_id)
        assert [opening["result"] for opening in record["access_records"]] == ["sent"]
    finally:
        await scene.office.send("PATCH", f"/v1/panels/{panel['id']}", {"doors": usual})
        await scene.felt()
