"""Servers that hang: they take connections and say nothing, as on a host that stands still. Calls still ring."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers.door import Door
from lab.peers.relay import HttpRelay
from tests.sip.emergency_scene import (
    CITY_LINE,
    COMPONENTS,
    DISPATCHER,
    call_112,
    caller_of,
    emergency_record,
    panel_at,
    registered,
    tell,
    timed_112,
    until,
)
from tests.sip.households import family
from tests.sip.ordinary import node_of
from tests.sip.promises import once_hit
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from lab.peers.town import Panel
    from tests.sip.scene import Home, Scene


@pytest.mark.parametrize("frozen", [*((name,) for name in COMPONENTS), ("crm", "redis")], ids="+".join)
async def test_112_reaches_the_centre(scene: Scene, frozen: tuple[str, ...]) -> None:
    await scene.freeze(*frozen)
    call, _, took_s = await timed_112(scene, panel_at(scene))
    tell(f"112 with {'+'.join(frozen)} frozen: {took_s:.2f} s to the centre")
    assert took_s < 4
    await call.bye()
    await scene.thaw(*frozen)
    assert (await emergency_record(scene, call.call_id, "answered"))["panel"] == panel_at(scene).credentials.username


async def test_a_call_back_rings_the_panel_that_called_although_fastagi_says_nothing(scene: Scene) -> None:
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
        watch = Stopwatch()
        call = await visitor.call(at.credentials, number)
        rings = await home.all_ring(8, watch.began_s)
        took_s = watch.took_s
        tell(f"a visitor with {'+'.join(frozen)} frozen: {took_s:.2f} s until all ring")
        assert took_s < 4
        rings[0].answer()
        await call.answered()
        await rings[0].established()
        await call.bye()
        await rings[0].wait_request("BYE", 3)


async def _forgotten(scene: Scene, *call_ids: str) -> None:
    """Until Kamailio's transactions of these INVITEs are over: before, tm itself cancels what comes late."""
    await until(lambda: scene.rpc("tm.list"), lambda told: not any(call_id in str(told) for call_id in call_ids), 15)


async def _state_of(scene: Scene, node: str) -> str:
    """The flags of a node in Kamailio's dispatcher: `A` up, `T` tried again, `I` down."""
    listed = await scene.rpc("dispatcher.list")
    targets = [t["DEST"] for entry in listed["result"]["RECORDS"] for t in entry["SET"]["TARGETS"]]
    return next(str(dest["FLAGS"]) for dest in targets if f":{node}:" in dest["URI"])


async def _next_is_for(scene: Scene, node: str, at: Panel, number: str, home: Home) -> None:
    """Nodes take turns: the next call of a visitor is this node's."""
    visitor = await scene.visitor(at)
    for _ in range(2):
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        rings = await home.all_ring(5, began_s)
        await call.ringing()
        await call.cancel()
        if node_of(scene, rings[0]) != node:
            return


async def _goes_on_without_its_call(scene: Scene, node: str, call_id: str) -> None:
    """Let a node go on that was given a call which is elsewhere now: it is told so of each leg of its own."""
    await _forgotten(scene, call_id)
    told = len(_told_to_be_left(scene))
    await scene.unfreeze(node)

    async def more() -> bool:
        return len(_told_to_be_left(scene)) > told

    await until(more, bool, 5)


def _told_to_be_left(scene: Scene) -> list[str]:
    return scene.log_lines("kamailio", "gone on without this node")


async def test_a_node_that_goes_on_rings_nobody_for_a_visitor_who_is_elsewhere(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    for resident in apartment.residents:
        await scene.peer(resident.address, streams=16)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    slow = scene.stack.settings.asterisk_nodes["ast1"]

    async def is_given_to_it() -> bool:
        """Whether the call was in time for the node; if so, it rings nobody when it goes on."""
        await until(lambda: _state_of(scene, slow), lambda flags: flags.startswith("A"))
        await _next_is_for(scene, "ast1", at, number, home)
        await scene.freeze("ast1")
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        rings = await home.all_ring(8, began_s)
        rings[0].answer()
        await call.answered()
        await rings[0].established()
        given = bool(scene.log_lines("kamailio", f"node {slow}:5060 silent, call goes on", call.call_id))
        if given:
            await _goes_on_without_its_call(scene, "ast1", call.call_id)
        else:
            await scene.unfreeze("ast1")
        assert [ring for _, peer in home.phones for ring in peer.ringing if ring.received.at_s >= began_s] == rings
        await call.bye()
        assert (await scene.office.call_record(call.call_id))["result"] == "answered"
        return given

    await once_hit(is_given_to_it, bool)


async def test_a_node_that_takes_its_call_after_it_was_taken_for_dead_is_alone_to_ring(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    for resident in apartment.residents:
        await scene.peer(resident.address, streams=16)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    slow = scene.stack.settings.asterisk_nodes["ast1"]

    async def is_given_to_it() -> bool:
        """Whether the call was in time for the slow node; if so, nobody else rings."""
        await _next_is_for(scene, "ast1", at, number, home)
        lost = len(scene.log_lines("kamailio", f"node {slow}:5060 lost"))
        await scene.freeze("ast1")
        # Missed once; a second later it is taken for dead, and a call waits for two.
        await until(lambda: _state_of(scene, slow), lambda flags: not flags.startswith("A"), 4)
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)

        async def goes_on() -> bool:
            is_lost = len(scene.log_lines("kamailio", f"node {slow}:5060 lost")) > lost
            return is_lost or any(ring.received.at_s > began_s for _, peer in home.phones for ring in peer.ringing)

        await until(goes_on, bool)
        await scene.unfreeze("ast1")
        rings = await home.all_ring(5, began_s)
        given = len(scene.log_lines("kamailio", f"node {slow}:5060 lost")) > lost
        for ring in rings:
            assert not given or node_of(scene, ring) == "ast1"
            ring.reject(480)
        assert (await call.final(10)).status == 480
        rung = [len([ring for ring in peer.ringing if ring.received.at_s > began_s]) for _, peer in home.phones]
        assert rung == [1] * 3
        await until(lambda: _state_of(scene, slow), lambda flags: flags.startswith("A"))
        return given

    await once_hit(is_given_to_it, bool)


async def test_a_node_that_goes_on_rings_no_dispatch_centre(scene: Scene) -> None:
    at = panel_at(scene)
    await scene.visitor(at)
    centre = await scene.peer(CITY_LINE)
    _, slow = scene.stack.settings.emergency_node

    async def is_given_to_it() -> bool:
        """Whether the call was in time for the node; if so, it rings nobody when it goes on."""
        await until(lambda: _state_of(scene, slow), lambda flags: flags.startswith("A"))
        await scene.freeze("ast-emergency")
        # Two probes unanswered, and calls go elsewhere at once: nothing of this one would wait for the node.
        call, ring = await call_112(scene, at, timeout_s=12)
        given = bool(scene.log_lines("kamailio", f"node {slow}:5060 silent, call goes on", call.call_id))
        if given:
            await _goes_on_without_its_call(scene, "ast-emergency", call.call_id)
        else:
            await scene.unfreeze("ast-emergency")
        assert [other for other in centre.ringing if other.received.at_s >= ring.received.at_s] == [ring]
        await call.bye()
        assert (await emergency_record(scene, call.call_id))["result"] == "answered"
        return given

    await once_hit(is_given_to_it, bool)


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


async def test_an_api_that_goes_on_opens_no_door_for_a_resident_who_pressed_long_ago(scene: Scene) -> None:
    apartment, at, number = family(scene.town, method="http")
    relay = await HttpRelay.start(Door(at.door_code), at.address, *scene.town.relay_login(at))
    scene.when_over(relay.stop)
    call, ring, _ = await scene.talk(apartment, at, number)
    await scene.freeze("crm")
    await ring.rtp.press("#")
    await asyncio.sleep(4)  # only time makes a wish old
    await scene.thaw("crm")
    await call.bye()
    assert [row["result"] for row in await scene.office.access_records(call.call_id)] == ["failed"]
    assert relay.door.openings == []


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
