"""Quality probes: the platform calls the handset of an apartment through its panel, and gives way to visitors."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from random import randint
from typing import TYPE_CHECKING, Any

from lab.peers import sdp
from lab.peers.g711 import encode_ulaw, tone
from tests.sip.emergency_scene import CITY_LINE, DISPATCHER, call_112, caller_of, centre_known, rested
from tests.sip.households import as_callee, family

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Awaitable, Callable

    from lab.peers.calls import IncomingCall
    from lab.peers.scripted import ScriptedPeer
    from lab.peers.town import Apartment, Panel
    from tests.sip.scene import Scene

DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
ALWAYS = [{"day": day, "from": "00:00", "until": "24:00"} for day in DAYS]


@contextlib.asynccontextmanager
async def campaign(scene: Scene, apartment: Apartment, **more: Any) -> AsyncIterator[int]:
    """A campaign over one apartment that runs while the story lasts; yields its id."""
    page = await scene.office.get(f"/v1/apartments?number={apartment.number}")
    (found,) = [a for a in page["items"] if apartment.dial.items() <= a["dial"].items()]
    company = await scene.office.get(f"/v1/houses/{found['house_id']}")
    body = {
        "company_id": company["company_id"], "name": "story", "hours": ALWAYS, "zone": "UTC", "tries": 1,
        "panel_pause_s": 1, "selection": {"apartment_ids": [found["id"]]}, **more,
    }  # fmt: skip
    made = await scene.office.send("POST", "/v1/probe-campaigns", body)
    path = f"/v1/probe-campaigns/{made['id']}"
    await scene.office.send("POST", f"{path}/start")
    try:
        yield made["id"]
    finally:
        if (await scene.office.get(path))["state"] == "running":
            await scene.office.send("POST", f"{path}/stop")


async def ended(scene: Scene, campaign_id: int, timeout_s: float = 15.0) -> Any:
    """Wait until the campaign's only call has ended and was judged."""
    deadline = time.monotonic() + timeout_s
    while True:
        calls = (await scene.office.get(f"/v1/probe-calls?campaign_id={campaign_id}"))["items"]
        unjudged = calls and calls[0]["outcome"] in {"answered", "no_answer"} and not calls[0]["verdict"]
        if calls and calls[0]["state"] == "ended" and not unjudged:
            return calls[0]
        assert time.monotonic() < deadline, calls
        await asyncio.sleep(0.1)  # a table has nothing to wait on


async def speak(call: IncomingCall, seconds: float) -> None:
    """Say something: sounds with pauses between them, as people speak."""
    call.rtp.hush()
    due = began = time.monotonic()
    sound = tone(425)
    while due - began < seconds and not call.ended:
        at_ms = round((due - began) * 1000)
        syllable = at_ms % 1100 < 500
        hiss = bytes(encode_ulaw(randint(-40, 40)) for _ in range(160))
        call.rtp.send_packet(sdp.PCMU, sound[at_ms * 8 % 4000 :][:160] if syllable else hiss)
        call.rtp._timestamp += 160
        due += 0.02
        await asyncio.sleep(max(0.0, due - time.monotonic()))


async def probed_panel(scene: Scene) -> tuple[Apartment, Panel, str]:
    """An apartment, its panel and the number that reaches it there."""
    apartment, panel, number = family(scene.town)
    return apartment, panel, number


async def answered_probe(panel: ScriptedPeer, at: Panel) -> IncomingCall:
    """The probe that the panel has taken."""
    probe = await panel.incoming(at.credentials.username, timeout_s=12)
    probe.ring()
    probe.answer()
    await probe.established()
    return probe


async def test_a_handset_is_called_through_its_panel_and_graded(scene: Scene) -> None:
    apartment, at, number = await probed_panel(scene)
    panel = await scene.resident(as_callee(at))
    async with campaign(scene, apartment, kind=1) as campaign_id:
        call = await answered_probe(panel, at)
        assert call.invite.get("X-Entryphone-Target") == f"handset;apartment={number}"
        await call.rtp.wait_for_sound(5)
        await speak(call, 2)
        pressed_s = time.monotonic()
        await call.rtp.press("3")
        await call.wait_request("BYE", 6)
        assert time.monotonic() - pressed_s < 4.5, "thanks, and nothing more is asked"
        found = await ended(scene, campaign_id)
    assert (found["outcome"], found["grade"], found["verdict"]) == ("answered", 3, "quiet"), found
    assert found["reasons"] == ["the resident hears too little (3)"]


async def test_a_resident_is_asked_in_his_language_and_says_a_sentence(scene: Scene) -> None:
    apartment, at, _ = await probed_panel(scene)
    panel = await scene.resident(as_callee(at))
    async with campaign(scene, apartment, kind=2, language="zh-CN") as campaign_id:
        call = await answered_probe(panel, at)
        began_s = await call.rtp.wait_for_sound(5)
        await call.rtp.quiet(1.5, timeout_s=20)
        # The announcement lasts 14.6 s in Chinese, 10.2 s in English.
        assert 13.5 < time.monotonic() - 1.5 - began_s < 17.5
        await call.rtp.press("1")
        heard = call.rtp.audible_packets
        await call.rtp.wait_for_sound(5, packets=heard + 50)
        await call.rtp.quiet(1.0, timeout_s=8)
        await speak(call, 6)
        await call.wait_request("BYE", 8)
        found = await ended(scene, campaign_id)
    assert (found["outcome"], found["grade"], found["verdict"]) == ("answered", 1, "good"), found
    assert found["measures"]["packets"] > 50
    assert -35 < found["measures"]["active_level_dbov"] < -5
    assert (await scene.office.get(f"/v1/probe-campaigns/{campaign_id}"))["progress"]["verdicts"] == {"good": 1}


async def test_a_visitor_takes_the_panel_within_a_second(scene: Scene) -> None:
    apartment, at, number = await probed_panel(scene)
    panel = await scene.resident(as_callee(at))
    async with campaign(scene, apartment) as campaign_id:
        probe = await answered_probe(panel, at)
        home = await scene.home(apartment)
        pressed_s = time.monotonic()
        visit = await panel.call(at.credentials, number)
        await probe.wait_request("BYE", 3)
        assert time.monotonic() - pressed_s < 1.0
        await home.all_ring()
        await visit.cancel()
        await dropped_and_waiting(scene, campaign_id)


async def test_112_takes_the_panel_within_a_second(scene: Scene) -> None:
    apartment, at, _ = await probed_panel(scene)
    panel = await scene.resident(as_callee(at))
    centre = await scene.peer(CITY_LINE)
    await centre_known(scene)
    await rested(scene)
    async with campaign(scene, apartment) as campaign_id:
        probe = await answered_probe(panel, at)
        pressed_s = time.monotonic()
        emergency = await panel.call(at.credentials, "112")
        await probe.wait_request("BYE", 3)
        assert time.monotonic() - pressed_s < 1.0
        ring = await centre.incoming("112", 8, pressed_s)
        ring.ring()
        ring.answer()
        await emergency.answered()
        await ring.established()
        await asyncio.gather(ring.rtp.wait_for_sound(3), emergency.rtp.wait_for_sound(3))
        await ring.bye()
        await emergency.wait_request("BYE", 3)
        await dropped_and_waiting(scene, campaign_id)


async def test_no_probe_calls_a_panel_that_somebody_looks_through(scene: Scene) -> None:
    apartment, at, _ = await probed_panel(scene)
    resident = apartment.residents[0]
    panel, phone = await scene.resident(as_callee(at)), await scene.resident(resident)
    look = await phone.call(resident.credentials, at.credentials.username)
    ring = await panel.incoming(at.credentials.username, 5)
    ring.answer()
    await look.answered()
    await ring.established()
    async with campaign(scene, apartment):
        await nobody_probes(panel, at, look.bye)


async def test_no_probe_calls_a_panel_that_a_dispatcher_calls_back(scene: Scene) -> None:
    apartment, at, _ = await probed_panel(scene)
    call, taken = await call_112(scene, at)
    await taken.bye()
    await call.wait_request("BYE", 3)
    number = caller_of(taken)
    panel = await scene.resident(as_callee(at))
    dispatcher = await scene.peer(CITY_LINE)
    since_s = time.monotonic()
    back = await dispatcher.call(DISPATCHER, number)
    await back.answered()
    await back.rtp.wait_for_sound(5)  # the address
    await back.rtp.press("1")
    ring = await panel.incoming(at.credentials.username, 5, since_s)
    ring.answer()
    await ring.established()
    async with campaign(scene, apartment):
        await nobody_probes(panel, at, back.bye)


async def nobody_probes(panel: ScriptedPeer, at: Panel, hang_up: Callable[[], Awaitable[object]]) -> None:
    """For some seconds no probe comes; one comes as soon as the call is over."""
    begun_s = time.monotonic()
    with contextlib.suppress(TimeoutError):
        await panel.incoming(at.credentials.username, timeout_s=6, since_s=begun_s)
        raise AssertionError("a panel in a call was called")
    await hang_up()
    probe = await panel.incoming(at.credentials.username, timeout_s=12, since_s=begun_s)
    assert probe.invite.get("X-Entryphone-Target")
    probe.reject(486)


async def dropped_and_waiting(scene: Scene, campaign_id: int) -> None:
    """The probe says nothing about the handset, and its apartment is back in the queue."""
    found = await ended(scene, campaign_id)
    assert (found["outcome"], found["verdict"]) == ("dropped", None), found
    progress = (await scene.office.get(f"/v1/probe-campaigns/{campaign_id}"))["progress"]
    assert progress["waiting"] == 1, "it is put back in the queue"


async def test_no_probe_calls_a_panel_with_a_visitor(scene: Scene) -> None:
    apartment, at, number = await probed_panel(scene)
    panel = await scene.resident(as_callee(at))
    home = await scene.home(apartment)
    visit = await panel.call(at.credentials, number)
    rings = await home.all_ring()
    rings[0].answer()
    await visit.answered()
    async with campaign(scene, apartment):
        await nobody_probes(panel, at, visit.bye)


async def test_a_panel_that_never_answers_is_no_answer(scene: Scene) -> None:
    apartment, at, _ = await probed_panel(scene)
    panel = await scene.resident(as_callee(at))
    async with campaign(scene, apartment, ring_timeout_s=5) as campaign_id:
        call = await panel.incoming(at.credentials.username, timeout_s=12)
        call.ring()
        found = await ended(scene, campaign_id)
    assert (found["outcome"], found["verdict"]) == ("no_answer", "no_answer")
    assert datetime.fromtimestamp(found["ended_at_ms"] / 1000, UTC)
