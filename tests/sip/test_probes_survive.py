"""Redis, the scheduler or Asterisk dies in the middle of a probe: one call for one try, and every panel is freed."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any

from lab.peers.door import Door
from lab.peers.relay import HttpRelay
from tests.sip.emergency_scene import held_by, until
from tests.sip.households import as_callee
from tests.sip.promises import in_most_tries, kept_within
from tests.sip.test_probes import Probed, campaign, dropped, probed

if TYPE_CHECKING:
    from tests.sip.scene import Scene


async def elsewhere(scene: Scene, it: Probed) -> Probed:
    """Another apartment, behind the panel of another entrance (a gate's number for it is longer)."""
    for apartment in scene.town.apartments:
        for account, number in apartment.dial.items():
            at = scene.town.panel(account)
            if account != it.at.credentials.username and number == str(apartment.number):
                panel = await scene.resident(as_callee(at))
                said = await HttpRelay.start(Door(at.door_code), at.address, *scene.town.relay_login(at))
                scene.when_over(said.stop)
                return Probed(apartment, at, number, panel, said)
    raise AssertionError("the town has one panel only")


async def progress(scene: Scene, campaign_id: int) -> Any:
    """How far the campaign is."""
    return (await scene.office.get(f"/v1/probe-campaigns/{campaign_id}"))["progress"]


async def dropped_and_free(scene: Scene, it: Probed, campaign_id: int, timeout_s: float = 30.0) -> None:
    """The one call was no try, its apartment waits, its panel belongs to nobody."""
    await dropped(scene, campaign_id, timeout_s)

    async def told() -> Any:
        return await progress(scene, campaign_id)

    await until(told, lambda found: (found["waiting"], found["calling"]) == (1, 0), timeout_s)
    await until(lambda: held_by(scene, it.at), lambda held: held is None)


async def test_redis_dies_in_the_middle_of_a_probe(scene: Scene) -> None:
    it = await probed(scene)
    async with campaign(scene, it.apartment) as campaign_id:
        probe = await it.answered()
        other = await elsewhere(scene, it)
        await scene.kill("redis")
        await probe.wait_request("BYE", 5)
        died_s = time.monotonic()
        async with campaign(scene, other.apartment):
            with contextlib.suppress(TimeoutError):
                await other.rung(6, died_s)
                raise AssertionError("a panel that is not known to be free was called")
            await scene.revive()
            (await other.rung(20, died_s)).reject(486)
        await dropped_and_free(scene, it, campaign_id)
        assert len([ring for ring in it.panel.ringing if ring.received.at_s > died_s]) == 0


async def test_the_scheduler_dies_in_the_middle_of_a_probe(scene: Scene) -> None:
    it = await probed(scene)
    async with campaign(scene, it.apartment) as campaign_id:
        probe = await it.answered()
        await scene.restart("scheduler")
        await asyncio.gather(probe.wait_request("BYE", 30), dropped_and_free(scene, it, campaign_id))
        assert len(it.panel.ringing) == 1


async def test_asterisk_dies_in_the_middle_of_a_probe(scene: Scene) -> None:
    it = await probed(scene)
    async with campaign(scene, it.apartment) as campaign_id:
        await it.answered()
        # As the scheduler has seen the node before.
        await asyncio.sleep(3)
        await scene.restart("ast-probe")
        await dropped_and_free(scene, it, campaign_id)
        assert len(it.panel.ringing) == 1


async def test_while_no_scheduler_acts_a_visitor_takes_the_panel_within_a_second(scene: Scene) -> None:
    it = await probed(scene)
    home = await scene.home(it.apartment)

    async def took_s() -> float:
        since_s = time.monotonic()
        async with campaign(scene, it.apartment) as campaign_id:
            probe = await it.answered(since_s)
            await probe.rtp.wait_for_sound(5)
            await scene.kill("scheduler")
            pressed_s = time.monotonic()
            visit = await it.panel.call(it.at.credentials, it.number)
            over = await probe.wait_request("BYE", 5)
            await home.all_ring(since_s=pressed_s)
            await visit.cancel()
            await dropped(scene, campaign_id)  # the call path tells it by itself
            await scene.revive()
            await dropped_and_free(scene, it, campaign_id)
        return over.at_s - pressed_s

    await in_most_tries(took_s, lambda took_s: 0.2 < took_s < 1.0)  # the resident hears one word


async def test_while_no_scheduler_acts_a_probe_that_rings_gives_way_too(scene: Scene) -> None:
    it = await probed(scene)
    home = await scene.home(it.apartment)

    async def took_s() -> float:
        since_s = time.monotonic()
        async with campaign(scene, it.apartment) as campaign_id:
            probe = await it.rung(since_s=since_s)
            probe.ring()
            await scene.kill("scheduler")
            pressed_s = time.monotonic()
            visit = await it.panel.call(it.at.credentials, it.number)
            await probe.wait_cancelled(5)
            await home.all_ring(since_s=pressed_s)
            await visit.cancel()
            await dropped(scene, campaign_id)  # the call path tells it by itself
            await scene.revive()
            await dropped_and_free(scene, it, campaign_id)
        assert probe.cancelled is not None
        return probe.cancelled.at_s - pressed_s

    await kept_within(1.0, took_s)
