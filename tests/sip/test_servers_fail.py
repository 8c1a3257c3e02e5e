"""Calls fail open, doors fail closed: what a visitor and a resident notice when servers die."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

import pytest

from tests.sip.emergency_scene import until
from tests.sip.households import family
from tests.sip.ordinary import node_of, the_family_is_rung

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from tests.sip.scene import Home, Scene


async def _a_first_call(scene: Scene) -> Home:
    """One call while everything works, so that the ring plan is known; returns the home, its phones registered."""
    apartment, at, number = family(scene.town)
    call, ring, home = await scene.talk(apartment, at, number)
    await call.bye()
    await ring.wait_request("BYE", 3)
    return home


async def _talk_again(scene: Scene, home: Home) -> tuple[OutgoingCall, IncomingCall]:
    _, at, number = family(scene.town)
    since_s = time.monotonic()
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    rings = await home.all_ring(since_s=since_s)
    rings[0].answer()
    await call.answered()
    await rings[0].established()
    return call, rings[0]


@pytest.mark.parametrize(
    "dead",
    [pytest.param(["crm"], id="crm"), pytest.param(["redis"], id="redis"), pytest.param(["crm", "redis"], id="both")],
)
async def test_apartments_still_ring(scene: Scene, dead: list[str]) -> None:
    home = await _a_first_call(scene)

    await scene.kill(*dead)

    call, _ = await _talk_again(scene, home)
    await call.bye()


async def test_without_the_crm_an_unknown_plan_still_gets_an_answer(scene: Scene) -> None:
    """Nobody ever called this number: no plan is known, so the visitor hears so; there is no silence."""
    _, at, _ = family(scene.town)
    await scene.kill("crm", "redis")
    visitor = await scene.visitor(at)

    call = await visitor.call(at.credentials, "9899")

    await call.wait_status(183, 3)
    await call.rtp.wait_for_sound(3)
    assert (await call.final(15)).status >= 400


async def test_a_fresh_permission_opens_without_the_crm(scene: Scene) -> None:
    _, at, _ = family(scene.town)
    home = await _a_first_call(scene)
    await scene.kill("crm")
    call, ring = await _talk_again(scene, home)

    await ring.rtp.press("#")

    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()


async def test_an_expired_permission_opens_nothing_without_the_crm_and_the_resident_hears_so(scene: Scene) -> None:
    """A permission is fresh for one second here; its last voucher is the plan's issue or the outbox's heartbeat."""
    _, at, _ = family(scene.town)
    fresh_s = 1
    async with scene.agi_settings(permission_fresh_s=fresh_s):
        home = await _a_first_call(scene)
        await scene.kill("crm", "crm-outbox")
        died_s = time.monotonic()
        call, ring = await _talk_again(scene, home)
        await ring.rtp.wait_for_sound(3)
        call.rtp.hush()
        await ring.rtp.quiet(0.3)
        await asyncio.sleep(max(0.0, died_s + fresh_s - time.monotonic()))  # only time makes a permission old
        heard_before = ring.rtp.audible_packets

        await ring.rtp.press("#")

        await ring.rtp.wait_for_sound(5, packets=heard_before + 20)
        await scene.log_line("agi", call.call_id, "stays shut")
        assert call.rtp.keys == []

        await scene.revive()  # and with the CRM back the same key in the same call opens
        await ring.rtp.quiet(0.3, timeout_s=10)
        since_s = time.monotonic()
        while not call.rtp.keys:
            assert time.monotonic() - since_s < 10
            await ring.rtp.press("#")
            with contextlib.suppress(TimeoutError):  # FastAGI leaves a server alone for a second after a failure
                await call.rtp.wait_for_key(at.door_code[0], 1)
        await call.bye()
        doors = await until(
            lambda: scene.office.access_records(call.call_id, 2), lambda told: told[-1]["result"] == "sent"
        )
        assert doors[0]["result"] == "failed"


async def test_an_asterisk_node_dies_while_it_rings_and_the_next_call_goes_through_the_other(scene: Scene) -> None:
    _, at, number = family(scene.town)
    call, rings, home = await the_family_is_rung(scene)

    died_s = time.monotonic()
    await scene.kill(node_of(scene, rings[0]))

    # The call goes on through the other node within seconds; the phones stay silent to it, so it ends unanswered.
    final = await call.final(25)
    assert final.status >= 400
    assert time.monotonic() - died_s < 20
    since_s = time.monotonic()  # what rang for the first call counts no more
    second = await (await scene.visitor(at)).call(at.credentials, number)
    await home.all_ring(since_s=since_s)
    await second.cancel()


async def test_a_visitor_who_is_refused_as_no_node_is_up_is_seen_by_the_company(scene: Scene) -> None:
    _, at, number = family(scene.town)
    visitor = await scene.visitor(at)
    await scene.kill(*scene.stack.settings.asterisk_nodes)

    async def refused() -> dict[str, Any]:
        call = await visitor.call(at.credentials, number)
        assert (await call.final(10)).status == 503
        record: dict[str, Any] = await scene.office.call_record(call.call_id)
        return record

    record = await until(refused, lambda found: found["reason"] == "no Asterisk node is up")
    told = (record["result"], record["cause"], record["panel"], record["dialled"])
    assert told == ("refused", 503, at.credentials.username, number)
    assert record["company_id"] is not None
