"""Servers that hang: they take connections and say nothing, as on a host that stands still. Calls still ring."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from lab.probes import kamailio_rpc
from tests.sip.emergency_scene import (
    CITY_LINE,
    COMPONENTS,
    DISPATCHER,
    call_112,
    caller_of,
    emergency_record,
    panel_at,
    registered,
    rested,
    tell,
    until,
)
from tests.sip.households import family

if TYPE_CHECKING:
    from tests.sip.scene import Scene


@pytest.mark.parametrize("frozen", [*((name,) for name in COMPONENTS), ("crm", "redis")], ids="+".join)
async def test_112_reaches_the_centre(scene: Scene, frozen: tuple[str, ...]) -> None:
    await rested(scene)
    await scene.freeze(*frozen)
    began_s = time.monotonic()
    call, ring = await call_112(scene, panel_at(scene), timeout_s=12)
    took_s = ring.received.at_s - began_s
    tell(f"112 with {'+'.join(frozen)} frozen: {took_s:.2f} s to the centre")
    assert took_s < 4
    await call.bye()
    await scene.thaw(*frozen)
    assert (await emergency_record(scene, call.call_id, "answered"))["panel"] == panel_at(scene).credentials.username


async def test_a_call_back_rings_the_panel_that_called_although_fastagi_says_nothing(scene: Scene) -> None:
    await rested(scene)
    at = panel_at(scene)
    panel = await registered(scene, at)
    call, ring = await call_112(scene, at)
    await ring.bye()
    await call.wait_request("BYE", 3)
    await emergency_record(scene, call.call_id)
    await scene.freeze("agi")
    since_s = time.monotonic()
    back = await (await scene.peer(CITY_LINE)).call(DISPATCHER, caller_of(ring))
    await back.answered()
    rung = await panel.incoming(at.credentials.username, 5, since_s)
    tell(f"a call back with FastAGI frozen: {rung.received.at_s - since_s:.2f} s to the panel")
    rung.answer()
    await rung.established()
    await asyncio.gather(rung.rtp.wait_for_sound(3), back.rtp.wait_for_sound(3))
    await back.bye()


@pytest.mark.parametrize("frozen", [*((name,) for name in COMPONENTS if name != "agi"), ("crm", "redis")], ids="+".join)
async def test_an_apartment_rings(scene: Scene, frozen: tuple[str, ...]) -> None:
    apartment, at, number = family(scene.town)
    call, ring, home = await scene.talk(apartment, at, number)
    await call.bye()
    await ring.wait_request("BYE", 3)
    await scene.freeze(*frozen)
    visitor = await scene.visitor(at)
    for _ in range(2):  # nodes take turns
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        rings = await home.all_ring(8, began_s)
        took_s = max(ring.received.at_s for ring in rings) - began_s
        tell(f"a visitor with {'+'.join(frozen)} frozen: {took_s:.2f} s until all ring")
        assert took_s < 4
        rings[0].answer()
        await call.answered()
        await rings[0].established()
        await call.bye()
        await rings[0].wait_request("BYE", 3)


async def _forgotten(scene: Scene, *call_ids: str) -> None:
    """Until Kamailio's transactions of these INVITEs are over: before, tm itself cancels what comes late."""
    rpc = scene.stack.settings.run / "kamailio" / "rpc.sock"

    async def listed() -> str:
        return str(await asyncio.to_thread(kamailio_rpc, rpc, "tm.list"))

    await until(listed, lambda told: not any(call_id in told for call_id in call_ids), 15)


async def test_a_node_that_goes_on_rings_nobody_for_a_visitor_who_is_elsewhere(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    await scene.freeze("ast1")
    calls = []
    for _ in range(2):  # nodes take turns: one of them is left
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        rings = await home.all_ring(8, began_s)
        rings[0].answer()
        await call.answered()
        await rings[0].established()
        calls.append(call)
    await _forgotten(scene, *(call.call_id for call in calls))
    await scene.unfreeze("ast1")
    await scene.log_line("kamailio", "gone on without this node", timeout_s=5)
    assert [len(peer.ringing) for _, peer in home.phones] == [2, 2, 2]
    for call in calls:
        await call.bye()
        assert (await scene.office.call_record(call.call_id))["result"] == "answered"


async def test_a_node_that_goes_on_rings_no_dispatch_centre(scene: Scene) -> None:
    await rested(scene)
    await scene.freeze("ast-emergency")
    call, _ = await call_112(scene, panel_at(scene), timeout_s=12)
    centre = await scene.peer(CITY_LINE)
    await _forgotten(scene, call.call_id)
    await scene.unfreeze("ast-emergency")
    await scene.log_line("kamailio", "gone on without this node", timeout_s=5)
    assert len(centre.ringing) == 1
    await call.bye()
    assert (await emergency_record(scene, call.call_id))["result"] == "answered"


@pytest.mark.parametrize("frozen", ["crm", "redis", "crm-call-records"])
async def test_a_key_opens_with_a_permission_that_is_fresh(scene: Scene, frozen: str) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    await scene.freeze(frozen)
    began_s = time.monotonic()
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 4)
    tell(f"the key with {frozen} frozen: {time.monotonic() - began_s:.2f} s to the door's code")
    await call.bye()
    await scene.thaw(frozen)
    assert [row["result"] for row in await scene.office.access_records(call.call_id, 1)] == ["sent"]


async def test_a_key_that_nobody_judges_opens_nothing_and_the_visitor_can_leave(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    await scene.freeze("agi")
    await ring.rtp.press("#")
    with pytest.raises(TimeoutError):
        await call.rtp.wait_for_key(at.door_code[0], 3)
    assert await call.bye() == 200
    await scene.thaw("agi")
    assert (await scene.office.call_record(call.call_id))["result"] == "answered"
    assert call.rtp.keys == []
