"""Servers are restarted one after the other while people call: what a visitor, a resident and 112 notice of it."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from lab.probes import probe_sip
from tests.at_rest import await_nodes
from tests.sip.bad_network import Datagram, befalling
from tests.sip.emergency_scene import (
    CITY_LINE,
    call_112,
    emergency_record,
    held_by,
    panel_at,
    the_centre_is_rung,
    until,
)
from tests.sip.households import family
from tests.sip.ordinary import node_of, the_family_is_rung, the_key_opens, they_talk
from tests.sip.promises import once_hit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.peers.calls import IncomingCall, OutgoingCall
    from tests.sip.scene import Scene


async def test_a_node_that_is_stopped_while_phones_ring_hands_the_call_on(scene: Scene) -> None:
    _, at, _ = family(scene.town)
    call, rings, home = await the_family_is_rung(scene)
    left = node_of(scene, rings[0])

    stopping = asyncio.create_task(scene.stop(left))

    again = await home.phones[0][1].incoming(timeout_s=5, since_s=rings[0].received.at_s + 1e-6)
    await asyncio.gather(*(ring.wait_cancelled(3) for ring in rings))
    assert node_of(scene, again) != left
    await they_talk(call, again)
    await the_key_opens(call, again, at)
    await stopping
    assert await call.bye() == 200


async def test_112_goes_on_through_another_node_when_its_own_is_stopped_while_the_centre_rings(scene: Scene) -> None:
    """Its own is another than usual on a machine where that one did not answer Kamailio in time."""
    call, first, centre = await the_centre_is_rung(scene, panel_at(scene))

    stopping = asyncio.create_task(scene.stop(node_of(scene, first)))

    again = await centre.incoming("112", 5, first.received.at_s + 1e-6)
    await first.wait_cancelled(3)
    await they_talk(call, again)
    await stopping
    await call.bye()


@pytest.mark.parametrize("status", [486, 603])
async def test_a_refusal_is_no_stopped_node(scene: Scene, status: int) -> None:
    """Everybody declines: nobody is rung a second time."""
    call, rings, home = await the_family_is_rung(scene)
    for ring in rings:
        ring.reject(status)
    final = await call.final(20)
    assert final.status >= 400
    assert [len(peer.ringing) for _, peer in home.phones] == [1] * len(rings)
    assert scene.log_lines("kamailio", call.call_id, "call goes on") == []


async def test_a_talk_that_came_after_a_stopped_node_is_on_record_and_keeps_its_panel(scene: Scene) -> None:
    """The node tells an end as it goes; what counts is who had the call last."""
    _, at, _ = family(scene.town)
    call, rings, home = await the_family_is_rung(scene)
    stopping = asyncio.create_task(scene.stop(node_of(scene, rings[0])))
    again = await home.phones[0][1].incoming(timeout_s=5, since_s=rings[0].received.at_s + 1e-6)
    await they_talk(call, again)
    await stopping

    async def ends() -> list[dict[str, Any]]:
        record = await scene.office.get(f"/v1/calls/{call.call_id}")
        return [line for line in record["story"] if line["event"] in ("moved", "ended")]

    await until(ends, lambda told: {line["event"] for line in told} == {"moved", "ended"})
    record = await scene.office.get(f"/v1/calls/{call.call_id}")
    assert (record["result"], record["ended_at_ms"]) == (None, None), "they talk"
    assert await held_by(scene, at) == f"visitor {call.call_id}"
    await call.bye()
    await until(ends, lambda told: [line["event"] for line in told].count("ended") == 2)
    record = await scene.office.get(f"/v1/calls/{call.call_id}")
    assert (record["result"], record["cause"]) == ("answered", 16)
    await until(lambda: held_by(scene, at), lambda holder: holder is None)


async def test_112_that_came_after_a_stopped_node_is_on_record_as_it_went(scene: Scene) -> None:
    at = panel_at(scene)
    call, first, centre = await the_centre_is_rung(scene, at)
    stopping = asyncio.create_task(scene.stop(node_of(scene, first)))
    again = await centre.incoming("112", 5, first.received.at_s + 1e-6)
    await they_talk(call, again)
    await stopping
    record = await emergency_record(scene, call.call_id, "moved", "ended", "answered")
    assert (record["result"], record["ended_at_ms"]) == ("answered", None)
    assert await held_by(scene, at) == f"visitor {call.call_id}"
    await call.bye()
    record = await emergency_record(scene, call.call_id, "hung_up")
    answered = next(told["at_ms"] for told in record["steps"] if told["step"] == "answered")
    assert (record["result"], record["ended_at_ms"] > answered) == ("answered", True)


@pytest.mark.parametrize("number", ["family", "112"])
async def test_a_node_that_crashes_and_is_back_at_once_leaves_nobody_ringing(scene: Scene, number: str) -> None:
    """Whoever starts it again is quicker than two probes of Kamailio."""
    if number == "112":
        call, ring, centre = await the_centre_is_rung(scene, panel_at(scene))
        rings = [ring]
    else:
        call, rings, home = await the_family_is_rung(scene)
        centre = home.phones[0][1]
    crashed = node_of(scene, rings[0])

    await scene.restart(crashed)

    await scene.log_line("kamailio", "has started", timeout_s=10)
    again = await centre.incoming(timeout_s=5, since_s=rings[0].received.at_s + 1e-6)
    await asyncio.gather(*(ring.wait_cancelled(3) for ring in rings))
    assert node_of(scene, again) != crashed
    await they_talk(call, again)
    await call.bye()


async def test_a_node_that_says_twice_that_it_has_started_has_started_once(scene: Scene) -> None:
    """It did not hear the answer; by the second time it may carry calls again, which go on."""
    settings = scene.stack.settings
    answer = Datagram("SIP/2.0 480 Note", [settings.sip_address], list(settings.asterisk_nodes.values()))
    async with befalling(scene, "lost", answer):
        await scene.restart("ast2")
    await has_no_calls(scene, "ast2")  # it has said so again, and has heard the answer
    await scene.log_line("kamailio", "has started")


async def test_a_node_that_takes_no_more_calls_keeps_those_that_ring_and_others_take_the_new_ones(
    scene: Scene,
) -> None:
    """`core stop gracefully`: it answers probes with 503 until its calls are over."""
    _, at, _ = family(scene.town)
    call, rings, home = await the_family_is_rung(scene)
    going = node_of(scene, rings[0])
    stopping = asyncio.create_task(asyncio.to_thread(scene.console, going, "core stop gracefully"))
    try:
        settings = scene.stack.settings
        there = (settings.every_asterisk_node[going], settings.asterisk_port, settings.sip_address, settings.domain)
        await until(lambda: asyncio.to_thread(probe_sip, *there), lambda problem: problem is not None)
        apartment, door, number = scene.town.apartment("handset only")
        neighbours = await scene.home(apartment)
        visitor = await scene.visitor(door)
        for _ in range(3):  # one of two goes to it first
            since_s = time.monotonic()
            other = await visitor.call(door.credentials, number)
            others = await neighbours.all_ring(since_s=since_s)
            assert node_of(scene, others[0]) != going
            await other.cancel()
        with pytest.raises(TimeoutError):  # more than two of Kamailio's probes
            await rings[0].wait_cancelled(6)
        assert [len(peer.ringing) for _, peer in home.phones] == [1] * len(rings)
        await they_talk(call, rings[0])
        await the_key_opens(call, rings[0], at)
        await call.bye()
        await stopping
        await until(lambda: asyncio.to_thread(scene.stack.pids, going), lambda pids: not pids)
    finally:
        await scene.kill(going)


async def reloaded(scene: Scene) -> None:
    """Have Kamailio read its list of nodes, which it does once in five seconds."""
    await until(lambda: scene.rpc("dispatcher.reload"), lambda told: "result" in told)


@contextlib.asynccontextmanager
async def taken_out(scene: Scene, node: str) -> AsyncIterator[None]:
    """Inside the block the node is believed and gets no new call (docs/operations.md: flags 4, and a reload)."""
    path = scene.stack.settings.etc / "dispatcher.list"
    usual = path.read_text(encoding="utf-8")
    line = f"sip:{scene.stack.settings.every_asterisk_node[node]}:5060"
    path.write_text(usual.replace(f"{line} 0 ", f"{line} 4 "), encoding="utf-8")
    try:
        await reloaded(scene)
        yield
    finally:
        path.write_text(usual, encoding="utf-8")
        await reloaded(scene)
        await asyncio.to_thread(await_nodes, scene.stack.settings)


async def has_no_calls(scene: Scene, node: str) -> None:
    """Wait until a node carries nothing any more."""
    counted = "core show channels count"
    await until(
        lambda: asyncio.to_thread(scene.console, node, counted), lambda told: "0 active channels" in told.splitlines()
    )


async def test_nodes_are_restarted_one_after_the_other_and_no_call_hears_of_it(scene: Scene) -> None:
    """As docs/operations.md has it: while one rings, one talks, and new ones come."""
    _, at, _ = family(scene.town)
    apartment, door, number = scene.town.apartment("handset only")
    for address in (door.address, at.address, apartment.residents[0].address):
        await scene.peer(address, streams=16)
    rung, rings, _ = await the_family_is_rung(scene)
    node = node_of(scene, rings[0])
    neighbours = await scene.home(apartment)
    visitor = await scene.visitor(door)

    async def a_call() -> tuple[OutgoingCall, IncomingCall]:
        since_s = time.monotonic()
        call = await visitor.call(door.credentials, number)
        return call, (await neighbours.all_ring(since_s=since_s))[0]

    async def a_talk() -> tuple[OutgoingCall, IncomingCall]:
        call, ring = await a_call()
        if node_of(scene, ring) == node:
            await they_talk(call, ring)
        else:
            await call.cancel()
        return call, ring

    talk, _ = await once_hit(a_talk, lambda found: node_of(scene, found[1]) == node)  # nodes take turns
    async with taken_out(scene, node):
        await talk.bye()
        for _ in range(3):
            new, its_ring = await a_call()
            assert node_of(scene, its_ring) != node
            await new.cancel()
        await they_talk(rung, rings[0])
        await the_key_opens(rung, rings[0], at)
        assert await rung.bye() == 200
        await has_no_calls(scene, node)
        await asyncio.to_thread(scene.stack.restart, node)

    async def its_turn() -> bool:
        new, its_ring = await a_call()
        await new.cancel()
        return node_of(scene, its_ring) == node

    await once_hit(its_turn, bool)


async def test_the_node_of_112_is_restarted_last_and_112_goes_out_meanwhile(scene: Scene) -> None:
    await scene.peer(CITY_LINE, streams=10)
    talk, _ = await call_112(scene, panel_at(scene))
    async with taken_out(scene, "ast-emergency"):
        other, ring = await call_112(scene, panel_at(scene, 1))
        assert node_of(scene, ring) != "ast-emergency"
        await other.bye()
        await talk.bye()
        await has_no_calls(scene, "ast-emergency")
        await asyncio.to_thread(scene.stack.restart, "ast-emergency")

    async def goes_there_again() -> bool:
        last, ring = await call_112(scene, panel_at(scene))
        await last.bye()
        return node_of(scene, ring) == "ast-emergency"

    await once_hit(goes_there_again, bool)
