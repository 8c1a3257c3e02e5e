"""112 when servers die, in turn and in pairs: it still reaches the centre. The seconds it took are printed."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import TYPE_CHECKING

import pytest

from lab.probes import redis_command
from lab.services import CALL_EVENTS
from tests.sip.emergency_scene import (
    COMPONENTS,
    SHARED,
    call_112,
    caller_of,
    emergency_record,
    held_by,
    number_row,
    panel_at,
    tell,
    the_centre_is_rung,
    until,
)
from tests.sip.ordinary import node_of, they_talk
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from tests.sip.scene import Scene

PAIRS = list(itertools.combinations(COMPONENTS, 2))
BESIDE = (
    "ast-probe", "crm-emergency", "crm-jobs", "crm-outbox", "crm-pushes", "crm-voice", "crm-webhooks", "scheduler",
    "sounds",
)  # fmt: skip
"""What has none; in turn alone."""


async def _leased_for(scene: Scene, call_id: str) -> list[str]:
    """The numbers that the history of leases has for a call."""
    leases = (await scene.office.get("/v1/number-leases?limit=100"))["items"]
    return [lease["number"] for lease in leases if lease["call_id"] == call_id]


async def _reaches(scene: Scene, dead: tuple[str, ...], most_s: float) -> str:
    """A panel calls with servers dead; return the number that the centre saw."""
    at = panel_at(scene)
    await scene.kill(*dead)
    watch = Stopwatch()
    call, ring = await call_112(scene, at, timeout_s=12)
    took_s = ring.received.at_s - watch.began_s
    tell(f"112 with {'+'.join(dead)} dead: {took_s:.2f} s to the centre, as {caller_of(ring)}")
    assert min(took_s, watch.took_s) < most_s
    await ring.rtp.wait_for_sound(3)
    await call.bye()
    await scene.revive()
    record = await emergency_record(scene, call.call_id, "answered")
    assert record["number"] == caller_of(ring)
    await until(lambda: _leased_for(scene, call.call_id), lambda numbers: numbers == [caller_of(ring)])
    return caller_of(ring)


async def _shipped(scene: Scene, call_id: str) -> str:
    """What Kamailio has told Redis of a call."""
    settings = scene.stack.settings
    script = "return cjson.encode(redis.call('XRANGE', KEYS[1], '-', '+'))"
    told = await asyncio.to_thread(
        redis_command, settings.redis_host, settings.redis_port, "EVAL", script, "1", CALL_EVENTS
    )
    text = str(told).replace("\\", "")
    return text if call_id in text else ""


@pytest.mark.parametrize("dead", [(name,) for name in (*COMPONENTS, *BESIDE)], ids="+".join)
async def test_112_arrives_with_one_dead(scene: Scene, dead: tuple[str, ...]) -> None:
    await _reaches(scene, dead, 3.0)


@pytest.mark.parametrize("dead", PAIRS, ids="+".join)
async def test_112_arrives_with_two_dead(scene: Scene, dead: tuple[str, ...]) -> None:
    await _reaches(scene, dead, 5.0)


async def test_the_centre_is_not_rung_for_nobody_when_a_node_dies(scene: Scene) -> None:
    """The call goes on through another node; what the dead one has begun ends."""
    call, first, centre = await the_centre_is_rung(scene, panel_at(scene))

    await scene.kill(node_of(scene, first))

    await first.wait_cancelled(10)
    again = await centre.incoming("112", 10, first.received.at_s + 1e-6)
    await they_talk(call, again)
    await call.bye()
    await scene.revive()
    record = await emergency_record(scene, call.call_id, "answered")
    assert record["number"] == caller_of(again)


async def test_the_end_of_a_call_is_known_although_fastagi_died_during_it(scene: Scene) -> None:
    at = panel_at(scene)
    call, ring = await call_112(scene, at)
    await until(lambda: held_by(scene, at), lambda holder: holder == f"visitor {call.call_id}")
    await scene.kill("agi")
    await ring.bye()
    await call.wait_request("BYE", 3)
    record = await emergency_record(scene, call.call_id, "hung_up")
    assert (record["result"], "ended" in [step["step"] for step in record["steps"]]) == ("answered", False)
    kept = await until(lambda: number_row(scene, caller_of(ring)), lambda row: row["status"] == "kept")
    assert kept["held_until_ms"] - record["ended_at_ms"] == 86_400_000
    await until(lambda: held_by(scene, at), lambda holder: holder is None)
    await scene.revive()


async def test_112_arrives_with_all_but_kamailio_and_one_asterisk_dead_also_after_a_restart(scene: Scene) -> None:
    """The database, too: Kamailio starts anew and finds it empty-handed."""
    at = panel_at(scene)
    # A file of SQLite is moved while nobody has it open: whoever has an empty one of its name open deletes its log.
    await scene.kill(*(name for name in (*COMPONENTS, *BESIDE) if name != "ast1"), "kamailio")
    library = scene.stack.settings.lib
    away = library / "away"
    away.mkdir()
    for file in library.glob("crm.db*"):
        file.rename(away / file.name)
    try:
        await asyncio.to_thread(scene.stack.start, "kamailio")
        began_s = time.monotonic()
        call, ring = await call_112(scene, at, timeout_s=12)
        tell(f"112 with all but Kamailio (just restarted) and ast1 dead: {ring.received.at_s - began_s:.2f} s")
        assert caller_of(ring) == SHARED
        await ring.rtp.wait_for_sound(3)
        await call.bye()
        await asyncio.to_thread(scene.stack.start, "redis")
        await until(lambda: _shipped(scene, call.call_id), lambda events: '"step":"hung_up"' in events)
    finally:
        await scene.kill("kamailio")
        for file in library.glob("crm.db*"):
            file.unlink()
        for file in away.iterdir():
            file.rename(library / file.name)
        away.rmdir()
        await scene.revive()
    record = await emergency_record(scene, call.call_id, "answered")
    assert (record["number"], record["panel"]) == (SHARED, at.credentials.username)
