"""112 when lines to the dispatch centre are silent, slow or refuse: the next way is tried, the panel hears of it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.sip.carriers import FIRST, SECOND
from tests.sip.emergency_scene import (
    CITY_LINE,
    SECOND_LINE,
    asserted_in,
    call_112,
    caller_of,
    emergency_record,
    language_known,
    line_that_only_tries,
    panel_at,
    silent_line,
    tell,
    timed_112,
)
from tests.sip.ordinary import they_talk
from tests.sip.prompts import heard_beside, prompt_plays
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from lab.peers.scripted import ScriptedPeer
    from tests.sip.scene import Scene

pytestmark = pytest.mark.usefixtures("patient_leases")


async def test_a_silent_line_is_passed_over_within_two_seconds(scene: Scene) -> None:
    await silent_line(scene, CITY_LINE)
    watch = Stopwatch()
    call, ring = await call_112(scene, panel_at(scene), SECOND_LINE)
    took_s = watch.took_s
    tell(f"first line silent: {took_s:.1f} s to the centre")
    assert took_s < 2.5
    assert caller_of(ring) in scene.emergency["pool"]
    assert asserted_in(ring) == ""  # this line looks into From only
    await call.bye()


async def test_a_line_that_answers_too_late_is_hung_up_and_the_next_ones_are_tried(scene: Scene) -> None:
    """The second line, which is being asked by then, refuses: its answer had been taken for the end of the search."""
    late, second, third = [await scene.peer(line) for line in (CITY_LINE, SECOND_LINE, FIRST)]
    visitor = await scene.visitor(panel_at(scene))
    since_s = time.monotonic()
    call = await visitor.call(panel_at(scene).credentials, "112")
    silent = await late.incoming("112", 3, since_s)
    refusing = await second.incoming("112", 3, since_s)
    silent.answer()
    await silent.established()
    await silent.wait_request("BYE", 3)
    refusing.reject(503)
    ring = await third.incoming("", 3, since_s)
    await they_talk(call, ring)
    await asyncio.gather(ring.rtp.wait_for_sound(3), call.rtp.wait_for_sound(3))
    assert await call.bye() == 200
    await ring.wait_request("BYE", 3)
    record = await emergency_record(scene, call.call_id, "ended", "answered")
    assert [step["step"] for step in record["steps"]].count("answered") == 1


async def test_a_line_that_takes_the_call_and_does_not_ring_is_passed_over(scene: Scene) -> None:
    await line_that_only_tries(scene, CITY_LINE)
    call, ring, took_s = await timed_112(scene, panel_at(scene), SECOND_LINE)
    assert ring.received.at_s - call.started_s > 5.5, "a line has six seconds to ring"
    assert took_s < 8
    await call.bye()
    record = await emergency_record(scene, call.call_id, "ended", "way_failed")
    assert next(s["detail"] for s in record["steps"] if s["step"] == "way_failed").endswith("does not ring")


async def test_a_line_that_rings_for_long_is_left_to_ring(scene: Scene) -> None:
    centre, visitor = await scene.peer(CITY_LINE), await scene.visitor(panel_at(scene))
    since_s = time.monotonic()
    call = await visitor.call(panel_at(scene).credentials, "112")
    ring = await centre.incoming("112", 8, since_s)
    ring.ring()
    second = await scene.peer(SECOND_LINE)
    await asyncio.sleep(8)  # longer than a line may take to ring
    assert second.ringing == []
    ring.answer()
    await call.answered()
    await ring.established()
    await call.bye()


async def test_the_public_number_through_any_trunk_is_the_last_way(scene: Scene) -> None:
    for line in (CITY_LINE, SECOND_LINE):
        await silent_line(scene, line)
    began_s = time.monotonic()
    call, ring = await call_112(scene, panel_at(scene), FIRST, number="+74951120112", timeout_s=12)
    tell(f"two lines silent: {time.monotonic() - began_s:.1f} s to the centre's public number")
    assert ring.invite.uri.startswith("sip:+74951120112@127.0.3.1")
    await call.bye()
    record = await emergency_record(scene, call.call_id, "ended", "way_failed", "answered")
    assert record["route"] == "carrier-a +74951120112"
    failed = [s["detail"] for s in record["steps"] if s["step"] == "way_failed"]
    assert failed[0].endswith("silent")


@pytest.mark.parametrize("status", [486, 500, 503, 404])
async def test_a_line_that_refuses_is_followed_by_the_next(scene: Scene, status: int) -> None:
    first, second = await scene.peer(CITY_LINE), await scene.peer(SECOND_LINE)
    visitor = await scene.visitor(panel_at(scene))
    since_s = time.monotonic()
    call = await visitor.call(panel_at(scene).credentials, "112")
    refused = await first.incoming("112", 5, since_s)
    refused.reject(status)
    (await second.incoming("112", 5, since_s)).answer()
    await call.answered()
    await call.bye()


async def test_the_visitor_hears_ringing_while_a_line_says_183_and_nothing_else(scene: Scene) -> None:
    centre, at = await scene.peer(CITY_LINE), panel_at(scene)
    visitor = await scene.visitor(at)
    since_s = time.monotonic()
    call = await visitor.call(at.credentials, "112")
    ring = await centre.incoming("112", 8, since_s)
    ring.respond(ring.received, 183)
    await call.wait_status(180, 3)
    await call.cancel()


async def test_that_no_line_takes_the_call_is_told_in_the_companys_language(scene: Scene) -> None:
    async with scene.company_with(language="ru"):
        at = panel_at(scene)
        await language_known(scene, at, "ru")
        lines = [await scene.peer(address) for address in (CITY_LINE, SECOND_LINE, FIRST, SECOND)]
        since_s = time.monotonic()

        async def refuse(line: ScriptedPeer) -> None:
            after_s = since_s
            while True:
                ring = await line.incoming("", 30, after_s)
                ring.reject(503)
                after_s = ring.received.at_s + 1e-6

        visitor = await scene.visitor(at)
        refusing = [asyncio.create_task(refuse(line)) for line in lines]
        call = await visitor.call(at.credentials, "112")
        await call.wait_status(183, 15)
        await prompt_plays(scene, "ru/unavailable")
        await call.final(15)
        for task in refusing:
            task.cancel()
        assert await heard_beside("ru/unavailable", call.rtp) < 12
