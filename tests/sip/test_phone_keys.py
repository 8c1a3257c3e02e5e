"""A phone that has to press a key first: whoever does is connected, an answering machine is not."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from tests.sip.carriers import FIRST, SECOND, either

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.town import Panel
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


async def _confirmed(scene: Scene, key: str) -> tuple[OutgoingCall, IncomingCall, Panel]:
    """A resident has answered a phone and pressed this key to be connected."""
    apartment, at, number = scene.town.apartment("presses a key first")
    carrier, other = await scene.peer(FIRST), await scene.peer(SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    leg = await either(carrier, other, apartment.mobiles[0].number)
    leg.ring()
    leg.answer()
    await leg.established()
    await leg.rtp.wait_for_sound(3)
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
        record = await scene.office.call_record(call.call_id)
        assert [opening["result"] for opening in record["access_records"]] == ["sent"]
    finally:
        await scene.office.send("PATCH", f"/v1/panels/{panel['id']}", {"doors": usual})
        await scene.felt()
