"""Addresses to which this host has no route: sending fails at once, and the call goes where it can."""

from __future__ import annotations

import asyncio
import subprocess
import time
from typing import TYPE_CHECKING

from tests.sip.carriers import FIRST, SECOND, dialled
from tests.sip.emergency_scene import CITY_LINE, SECOND_LINE, call_112, emergency_record, panel_at, rested
from tests.sip.households import family
from tests.sip.ordinary import the_family_rings, they_talk
from tests.sip.promises import kept_within
from tests.sip.sleepers import push_services, sleeping_device

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from tests.sip.scene import Home, Scene

_WITHIN_S = 1.5


async def _no_route_to(scene: Scene, *addresses: str) -> None:
    """Until the story is over, whatever is sent to these fails (EHOSTUNREACH), as to a host that is off."""

    async def route(change: str, address: str) -> None:
        command = ["ip", "route", change, "unreachable", address, "table", "local"]
        await asyncio.to_thread(subprocess.run, command, check=True)

    for address in addresses:
        await route("add", address)

        async def back(address: str = address) -> None:
            await route("del", address)

        scene.when_over(back)


async def test_112_goes_by_the_next_line(scene: Scene) -> None:
    await _no_route_to(scene, CITY_LINE)

    async def took_s() -> float:
        await rested(scene)
        took_s, call = await _until_the_centre_rings(scene, SECOND_LINE)
        record = await emergency_record(scene, call.call_id, "ended", "trunk_failed")
        failed = [step["detail"] for step in record["steps"] if step["step"] == "trunk_failed"]
        assert failed == ["city-line cannot be reached"]
        return took_s

    await kept_within(_WITHIN_S, took_s)


async def _until_the_centre_rings(scene: Scene, line: str) -> tuple[float, OutgoingCall]:
    """A call to 112, which is over then, and how many seconds it took to this line of the centre."""
    began_s = time.monotonic()
    call, ring = await call_112(scene, panel_at(scene), line)
    await call.bye()
    return ring.received.at_s - began_s, call


async def test_112_without_any_line_ends_with_a_word_and_a_record(scene: Scene) -> None:
    await _no_route_to(scene, CITY_LINE, SECOND_LINE, FIRST, SECOND)
    at = panel_at(scene)
    call = await (await scene.visitor(at)).call(at.credentials, "112")
    await call.rtp.wait_for_sound(5)
    assert (await call.final(20)).status >= 400
    assert (await emergency_record(scene, call.call_id))["result"] == "failed"


async def test_112_goes_through_another_node(scene: Scene) -> None:
    await _no_route_to(scene, scene.stack.settings.emergency_node[1])

    async def took_s() -> float:
        return (await _until_the_centre_rings(scene, CITY_LINE))[0]

    await kept_within(_WITHIN_S, took_s)


async def _until_all_ring(scene: Scene, home: Home) -> tuple[float, OutgoingCall, list[IncomingCall]]:
    """A visitor's call to the family, and how many seconds it took until the last phone rang."""
    began_s = time.monotonic()
    call, rings = await the_family_rings(scene, home, 8)
    return max(ring.received.at_s for ring in rings) - began_s, call, rings


async def _roomy(scene: Scene) -> Home:
    """The family's phones, each of which may be called more than four times."""
    apartment, _, _ = family(scene.town)
    for resident in apartment.residents:
        await scene.peer(resident.address, streams=8)
    return await scene.home(apartment)


async def test_a_visitors_call_goes_through_the_other_node(scene: Scene) -> None:
    home = await _roomy(scene)
    await _no_route_to(scene, scene.stack.settings.asterisk_nodes["ast1"])

    async def took_s() -> float:
        longest_s = 0.0
        for _ in range(2):  # nodes take turns
            took_s, call, rings = await _until_all_ring(scene, home)
            longest_s = max(longest_s, took_s)
            rings[0].answer()
            await call.answered()
            await rings[0].established()
            await call.bye()
            await rings[0].wait_request("BYE", 3)
        return longest_s

    await kept_within(_WITHIN_S, took_s)


async def test_a_visitor_who_leaves_is_understood_by_the_other_node(scene: Scene) -> None:
    home = await _roomy(scene)
    await _no_route_to(scene, scene.stack.settings.asterisk_nodes["ast1"])

    async def took_s() -> float:
        longest_s = 0.0
        for _ in range(2):
            took_s, call, rings = await _until_all_ring(scene, home)
            longest_s = max(longest_s, took_s)
            await call.ringing()
            await call.cancel()
            await asyncio.gather(*(ring.wait_cancelled(3) for ring in rings))
            assert (await call.final(3)).status == 487
        return longest_s

    await kept_within(_WITHIN_S, took_s)


async def test_without_any_node_the_visitor_is_refused_at_once(scene: Scene) -> None:
    _, at, number = family(scene.town)
    settings = scene.stack.settings
    await _no_route_to(scene, *settings.asterisk_nodes.values(), settings.emergency_node[1])
    visitor = await scene.visitor(at)

    async def took_s() -> float:
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        final = await call.final(8)
        assert (final.status, final.get("Retry-After")) == (503, "2")
        return time.monotonic() - began_s

    await kept_within(_WITHIN_S, took_s)


async def test_one_phone_without_a_route_does_not_keep_the_others_from_ringing(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    await _no_route_to(scene, apartment.residents[0].address)
    since_s = time.monotonic()
    call = await (await scene.visitor(at)).call(at.credentials, number)
    rings = [await phone.incoming(since_s=since_s) for _, phone in home.phones[1:]]
    rings[0].answer()
    await call.answered()
    await rings[0].established()
    await call.bye()


async def test_an_app_still_wakes_when_no_other_can_be_reached(scene: Scene) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("three apps")
    off, sleeps, _ = apartment.residents
    token = await sleeping_device(scene, sleeps, "fcm")
    await scene.resident(off)
    await _no_route_to(scene, off.address)
    call = await (await scene.visitor(at)).call(at.credentials, number)
    await services.wait_for(token)
    ring = await (await scene.resident(sleeps)).incoming()
    await they_talk(call, ring)
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    outcomes = {(branch["account"], branch["outcome"]) for branch in record["branches"]}
    assert (off.credentials.username, "failed") in outcomes
    assert record["answered_by"] == sleeps.credentials.username


async def test_a_household_that_cannot_be_reached_at_all_is_nobody_at_home(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    await scene.home(apartment)
    await _no_route_to(scene, *(resident.address for resident in apartment.residents))
    call = await (await scene.visitor(at)).call(at.credentials, number)
    await call.rtp.wait_for_sound(5)
    assert (await call.final(20)).status >= 400
    record = await scene.office.call_record(call.call_id, branches=len(apartment.residents))
    assert {branch["outcome"] for branch in record["branches"]} == {"failed"}


async def test_a_phone_is_dialled_through_the_next_carrier(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    await _no_route_to(scene, FIRST)
    second, visitor = await scene.peer(SECOND), await scene.visitor(at)

    async def took_s() -> float:
        await rested(scene)
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        ring = await dialled(second, apartment.mobiles[0].number, since_s=began_s)
        ring.ring()
        await call.ringing()
        await call.cancel()
        await ring.wait_cancelled(3)
        return ring.received.at_s - began_s

    await kept_within(_WITHIN_S, took_s)
