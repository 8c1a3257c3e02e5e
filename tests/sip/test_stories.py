"""The story that the office reads afterwards: every event in order, who hung up, and why a phone did not ring."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING, Any

import pytest

from lab.peers.office import OfficeError
from tests.sip.emergency_scene import until
from tests.sip.households import beside_a_desk, family
from tests.sip.ordinary import a_look, they_talk
from tests.sip.why import why, why_by_command

if TYPE_CHECKING:
    from tests.sip.scene import Scene


async def _story(scene: Scene, call_id: str) -> list[dict[str, Any]]:
    story: list[dict[str, Any]] = (await scene.office.call_record(call_id))["story"]
    return story


def _ends(story: list[dict[str, Any]]) -> list[tuple[str, str, int]]:
    return [(line["result"], line["hung_up_by"], line["cause"]) for line in story if line["event"] == "ended"]


async def test_a_call_is_told_from_the_number_to_the_end(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    talks, declines, absent = (resident.credentials.username for resident in apartment.residents)
    answering, declining = [await scene.resident(resident) for resident in apartment.residents[:2]]
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    one, two = await answering.incoming(), await declining.incoming()
    for ring in (one, two):
        ring.ring()
    await call.ringing()
    two.reject(603)
    one.answer()
    await call.answered()
    await one.established()
    await one.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await one.bye()
    await call.wait_request("BYE", 3)

    await scene.office.access_records(call.call_id)
    record = await scene.office.call_record(call.call_id)
    story = record["story"]
    moments = [line["at_ms"] for line in story]
    assert moments == sorted(moments)
    assert (story[0]["event"], story[0]["panel"], story[0]["dialled"]) == ("dialled", at.credentials.username, number)
    assert story[-1]["event"] == "ended"
    assert _ends(story) == [("answered", "callee", 16)]
    told = {who: [line["outcome"] for line in story if line.get("account") == who and line["event"] == "branch"]
            for who in (talks, declines, absent)}  # fmt: skip
    assert told == {
        talks: ["invited", "ringing", "answered"],
        declines: ["invited", "ringing", "declined"],
        absent: ["offline"],
    }
    (door,) = [line for line in story if line["event"] == "door"]
    assert (door["account"], door["key"], door["method"], door["result"]) == (talks, "#", "dtmf", "sent")
    assert record["plan_source"] in {"redis", "crm"}

    rang, sentence = await why(scene, call.call_id, declines)
    assert rang
    assert sentence.startswith(f"{declines} did ring, ")
    assert sentence.endswith("it declined.")
    unreached = (
        f"{absent} was to ring, but no device of it was registered, and none has a push token that could wake it."
    )
    assert await why(scene, call.call_id, absent) == (False, unreached)
    assert await why_by_command(scene, call.call_id, absent) == unreached


async def test_the_visitor_hangs_up(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    await call.bye()
    await ring.wait_request("BYE", 3)
    assert _ends(await _story(scene, call.call_id)) == [("answered", "caller", 16)]


async def test_the_visitor_leaves_while_it_rings(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await home.all_ring()
    await call.ringing()
    await call.cancel()
    (end,) = _ends(await _story(scene, call.call_id))
    assert end[:2] == ("caller_hung_up", "caller")


async def test_nobody_hangs_up_on_a_prompt(scene: Scene) -> None:
    _, at, _ = family(scene.town)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, "9871")
    await call.final(15)
    (end,) = _ends(await _story(scene, call.call_id))
    assert end[:2] == ("unknown_number", "platform")


@pytest.mark.parametrize("who", ["caller", "callee"])
async def test_who_hangs_up_at_a_desk(scene: Scene, who: str) -> None:
    """The end of these calls FastAGI tells."""
    _, at, _ = beside_a_desk(scene.town)[0]
    lobby, visitor = await scene.resident(scene.town.desks[0]), await scene.visitor(at)
    call = await visitor.call(at.credentials, "0")
    ring = await lobby.incoming()
    ring.answer()
    await call.answered()
    await ring.established()
    await (call if who == "caller" else ring).bye()
    await (ring if who == "caller" else call).wait_request("BYE", 3)
    (end,) = _ends(await _story(scene, call.call_id))
    assert end[:2] == ("answered", who)


async def test_the_panel_hangs_up_on_whoever_looks(scene: Scene) -> None:
    apartment, at, _ = family(scene.town)
    call, ring = await a_look(scene, apartment.residents[0], at)
    await ring.bye()
    await call.wait_request("BYE", 3)
    (end,) = _ends(await _story(scene, call.call_id))
    assert end[:2] == ("answered", "callee")


async def test_the_record_of_a_call_waits_for_the_crm_and_is_one(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    first, _, _ = await scene.talk(apartment, at, number)  # so that the plan is known
    await first.bye()
    began_s = time.monotonic()
    await scene.kill("crm", "crm-call-records")
    phone, visitor = await scene.resident(apartment.residents[0]), await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await phone.incoming(since_s=began_s)
    await they_talk(call, ring)
    await call.bye()
    await ring.wait_request("BYE", 3)
    await scene.revive()
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["answered_by"]) == ("answered", apartment.residents[0].credentials.username)
    assert record["story"][0]["event"] == "dialled"
    assert len(_ends(record["story"])) == 1
    listed = (await scene.office.get(f"/v1/calls?apartment_id={record['apartment_id']}&limit=100"))["items"]
    assert [row["call_id"] for row in listed].count(call.call_id) == 1


async def test_what_happened_in_the_moment_before_kamailio_is_stopped_is_told(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    call = await (await scene.visitor(at)).call(at.credentials, number)
    ring = await phone.incoming()
    ships = await _story_process(scene)
    os.kill(ships, signal.SIGSTOP)  # what it has shipped ends here
    try:
        ring.ring()
        await call.ringing()
        every = len(scene.stack.pids("kamailio"))
        stops = asyncio.create_task(scene.stop("kamailio"))
        deadline = time.monotonic() + 5
        while len(scene.stack.pids("kamailio")) == every:
            assert time.monotonic() < deadline, "no process of Kamailio has ended"
            await asyncio.sleep(0.01)
    finally:
        os.kill(ships, signal.SIGCONT)
    await stops
    await scene.revive()
    await until(lambda: _has_rung(scene, call.call_id), bool, 5)


async def _has_rung(scene: Scene, call_id: str) -> bool:
    """Tell whether the record, which never ends, says that a phone has rung."""
    try:
        return any(branch["ringing_at_ms"] for branch in (await scene.office.get(f"/v1/calls/{call_id}"))["branches"])
    except OfficeError:
        return False  # there is none yet


async def _story_process(scene: Scene) -> int:
    """Pid of the process of Kamailio that ships the story."""
    told = (await scene.rpc("core.psx"))["result"]
    (pid,) = (row["PID"] for row in told if str(row["DSC"]).endswith("timer=story"))
    return int(pid)
