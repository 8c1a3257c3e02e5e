"""The dispatcher calls back: the panel that holds the number, the address first, and what if nobody holds it."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from kemi_routes import talks
from tests.at_rest import await_nodes
from tests.sip.carriers import FIRST
from tests.sip.emergency_scene import (
    CITY_LINE,
    DISPATCHER,
    SECOND_LINE,
    SHARED,
    call_112,
    call_back,
    caller_of,
    desk,
    emergency_record,
    held_by,
    nobody_holds_a_number,
    panel_at,
    registered,
    tell,
    until,
)
from tests.sip.households import family
from tests.sip.ordinary import the_family_rings
from tests.sip.promises import in_most_tries, once_hit
from tests.sip.prompts import heard_beside, prompt_plays

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall, OutgoingCall
    from tests.sip.scene import Scene

pytestmark = pytest.mark.usefixtures("patient_leases")


# What a dispatcher hears before desks are rung takes longer.
_ANNOUNCEMENT_S = 2.0


async def _called_from(scene: Scene, index: int = 0) -> str:
    """The number that a panel called 112 with."""
    call, ring = await call_112(scene, panel_at(scene, index))
    await ring.bye()
    await call.wait_request("BYE", 3)
    await emergency_record(scene, call.call_id)
    return caller_of(ring)


async def _talks(back: OutgoingCall, ring: IncomingCall) -> None:
    """The panel answers, both hear each other, the dispatcher hangs up."""
    ring.answer()
    await ring.established()
    await asyncio.gather(ring.rtp.wait_for_sound(3), back.rtp.wait_for_sound(3))
    await back.bye()


async def test_the_panel_that_holds_the_number_rings_and_the_dispatcher_hears_where_it_is(scene: Scene) -> None:
    at = panel_at(scene)
    number = await _called_from(scene)
    panel = await registered(scene, at)
    back, ring = await call_back(scene, panel, at.credentials.username, number)
    assert f"112 {number}" in ring.invite.get("From"), "the panel shows who calls"
    await _talks(back, ring)
    record = await emergency_record(scene, back.call_id, "ended", "called_back")
    assert (record["direction"], record["panel"], record["result"]) == ("back", at.credentials.username, "answered")


@pytest.mark.parametrize(("maker", "asked"), [("Beward", "Auto"), (None, "")])
async def test_a_panel_whose_maker_allows_it_is_asked_to_answer_by_itself(
    scene: Scene, maker: str | None, asked: str
) -> None:
    at = panel_at(scene)
    async with scene.with_values(await scene.panel_path(at), maker=maker):
        number = await _called_from(scene)
        panel = await registered(scene, at)
        back, ring = await call_back(scene, panel, at.credentials.username, number)
        assert ring.invite.get("Answer-Mode") == asked
        assert ("alert-autoanswer" in ring.invite.get("Alert-Info")) is bool(asked)
        await _talks(back, ring)


async def test_after_the_lease_moved_on_the_new_holder_is_called(scene: Scene) -> None:
    await nobody_holds_a_number(scene)
    number = await _called_from(scene, 0)
    await nobody_holds_a_number(scene)
    others = [await _called_from(scene, index) for index in (1, 2, 3)]
    holder = panel_at(scene, 1 + others.index(number))
    panel = await registered(scene, holder)
    await _talks(*await call_back(scene, panel, holder.credentials.username, number))


async def test_a_call_back_to_the_shared_number_reaches_who_called_last(scene: Scene) -> None:
    await nobody_holds_a_number(scene)
    numbers = [await _called_from(scene, index) for index in range(4)]
    assert numbers[3] == SHARED
    at = panel_at(scene, 3)
    panel = await registered(scene, at)
    await _talks(*await call_back(scene, panel, at.credentials.username, SHARED))
    await nobody_holds_a_number(scene)


async def test_a_number_that_nobody_holds_goes_to_the_duty_desk_with_an_announcement(scene: Scene) -> None:
    await nobody_holds_a_number(scene)
    phone = await desk(scene)
    dispatcher = await scene.peer(CITY_LINE)
    since_s = time.monotonic()
    back = await dispatcher.call(DISPATCHER, scene.emergency["pool"][0])
    await back.answered()
    await back.rtp.wait_for_sound(5)
    ring = await phone.incoming("duty-desk", 15, since_s)
    ring.answer()
    await ring.established()
    await back.bye()


async def test_a_number_that_nobody_holds_rings_every_duty_desk_after_the_announcement(scene: Scene) -> None:
    await nobody_holds_a_number(scene)
    accounts = ("first-desk", "second-desk")
    phones = [await desk(scene, account, f"127.0.2.9{place}") for place, account in enumerate(accounts)]
    dispatcher = await scene.peer(CITY_LINE)
    since_s = time.monotonic()
    back = await dispatcher.call(DISPATCHER, scene.emergency["pool"][0])
    await back.answered()
    await back.rtp.wait_for_sound(5)
    rings = await asyncio.gather(
        *(phone.incoming(account, 15, since_s) for phone, account in zip(phones, accounts, strict=True))
    )
    assert rings[0].received.at_s - since_s > _ANNOUNCEMENT_S
    rings[0].ring()
    rings[1].answer()
    await rings[1].established()
    await rings[0].wait_cancelled()
    await back.bye()


async def test_a_dispatcher_is_told_in_the_companys_language_that_the_panel_cannot_be_reached(scene: Scene) -> None:
    async with scene.company_with(language="ru"):
        number = await _called_from(scene)
        dispatcher = await scene.peer(CITY_LINE)

        async def beside() -> int:
            """How many packets he hears beside the prompt: none of the address, which he has cut short."""
            back = await dispatcher.call(DISPATCHER, number)
            await back.answered()
            await back.rtp.wait_for_sound(5)
            await back.rtp.press("1")  # enough of the address
            heard = back.rtp.packets
            await prompt_plays(scene, "ru/unavailable")
            await back.wait_request("BYE", 15)
            return await heard_beside("ru/unavailable", back.rtp, heard)

        await in_most_tries(beside, lambda packets: packets < 12)


async def test_only_known_trunks_and_only_the_citys_numbers_call_back(scene: Scene) -> None:
    number = await _called_from(scene)
    stranger = await scene.peer("127.0.9.2")
    call = await stranger.call(DISPATCHER, number)
    assert (await call.final(5)).status in (401, 403, 407)
    carrier = await scene.peer(FIRST)
    unknown = await carrier.call(DISPATCHER, "+74950000001")
    assert (await unknown.final(5)).status == 404


def _end_of(record: dict[str, Any]) -> tuple[str, str]:
    """Who hung up, and why."""
    (ended,) = (event for event in record["story"] if event["event"] == "ended")
    return ended["hung_up_by"], ended["reason"]


def _is_there(scene: Scene, node: str, index: int) -> bool:
    """Whether the node has its channel of this number (lists of channels are empty: decision 8)."""
    return "is not a known channel" not in scene.console(node, f"core show channel PJSIP/kamailio-{index:08x}")


_FIFTEENTH = 0xE


async def _next_caller_is_the_sixteenth(scene: Scene) -> str:
    """Let the name of the next caller's channel end in `f`, and that of who is called in `0`; return the node."""
    _, at, _ = family(scene.town)
    visitor = await scene.visitor(at)
    node, *others = scene.stack.settings.asterisk_nodes
    await scene.restart(node)
    await asyncio.to_thread(await_nodes, scene.stack.settings)  # one that counts as down is left out
    await scene.kill(*others)
    for _ in range(_FIFTEENTH + 1):  # of an unknown number a call has one channel; the node's own first words have some
        call = await visitor.call(at.credentials, "9899")
        await call.wait_status(183, 10)
        found = _is_there(scene, node, _FIFTEENTH)
        await call.cancel()
        if found:
            return node
    raise AssertionError(f"{node} has had no channel of that name")


@pytest.mark.parametrize("sixteenth", [False, True])
async def test_a_panel_that_talks_gives_way_after_a_tone(scene: Scene, *, sixteenth: bool) -> None:
    """Whichever of the channels of the talk the node finds first: it looks through them by their last digits."""
    apartment, at, dialled = family(scene.town)
    index = scene.town.panels.index(at)
    number = await _called_from(scene, index)
    panel = await registered(scene, at)
    home = await scene.home(apartment)
    node = await _next_caller_is_the_sixteenth(scene) if sixteenth else ""
    since_s = time.monotonic()
    call = await panel.call(at.credentials, dialled)
    rings = await home.all_ring(since_s=since_s)
    rings[0].answer()
    await call.answered()
    await rings[0].established()
    if sixteenth:
        assert [_is_there(scene, node, _FIFTEENTH + more) for more in (1, 2)] == [True, True]

    back, busy = await call_back(scene, panel, at.credentials.username, number)
    rings[0].rtp.hush()
    await call.rtp.quiet(0.4)
    heard = call.rtp.audible_packets
    busy.reject(486)  # one call at a time
    await call.rtp.wait_for_sound(10, packets=heard + 5)  # before the end: whose call is over is sent no sound
    await call.wait_request("BYE", 10)
    await rings[0].wait_request("BYE", 5)
    ring = await panel.incoming(at.credentials.username, 10, busy.received.at_s + 1e-6)
    await _talks(back, ring)
    record = await scene.office.call_record(call.call_id)
    assert record["result"] == "answered", record
    assert _end_of(record) == ("platform", talks.GAVE_WAY)


async def test_a_panel_that_rings_somebody_gives_way(scene: Scene) -> None:
    """Nobody has answered yet, and nobody will: a talk with the centre comes before any visitor's."""
    _, at, number = family(scene.town)
    held = await _called_from(scene, scene.town.panels.index(at))
    panel = await registered(scene, at)
    call, rings = await the_family_rings(scene, await scene.home(family(scene.town)[0]), 3)
    for ring in rings:
        ring.ring()
    await call.ringing()

    back, busy = await call_back(scene, panel, at.credentials.username, held)
    busy.reject(486)  # one call at a time
    refused = await call.final(10)
    assert refused.status >= 300, refused.start_line
    await asyncio.gather(*(ring.wait_cancelled(3) for ring in rings))
    ring = await panel.incoming(at.credentials.username, 10, busy.received.at_s + 1e-6)
    await _talks(back, ring)

    record = await scene.office.call_record(call.call_id)
    assert (record["dialled"], record["result"]) == (number, "no_answer"), record
    assert _end_of(record) == ("platform", talks.GAVE_WAY)


async def test_a_resident_who_looks_through_the_panel_gives_way(scene: Scene) -> None:
    apartment, at, _ = family(scene.town)
    resident, account = apartment.residents[0], at.credentials.username
    number = await _called_from(scene, scene.town.panels.index(at))
    panel = await registered(scene, at)
    phone = await scene.resident(resident)
    look = await phone.call(resident.credentials, account)
    seen = await panel.incoming(account)
    seen.answer()
    await look.answered()
    await seen.established()

    back, busy = await call_back(scene, panel, account, number)
    busy.reject(486)  # one call at a time
    await look.wait_request("BYE", 15)
    await seen.wait_request("BYE", 5)
    await _talks(back, await panel.incoming(account, 10, busy.received.at_s + 1e-6))
    record = await scene.office.call_record(look.call_id)
    assert record["result"] == "answered", record


async def test_a_dispatcher_who_hangs_up_at_once_reaches_the_panel_a_second_later(scene: Scene) -> None:
    """His first call ends before anything of its end is recorded: the lease of the number is the same."""
    at = panel_at(scene)
    panel = await registered(scene, at)
    dispatcher = await scene.peer(CITY_LINE)

    async def after_s() -> float:
        """How long after the end of the call to 112 he has called."""
        call, ring = await call_112(scene, at)
        number = caller_of(ring)
        began_s = time.monotonic()
        await ring.bye()
        await call.wait_request("BYE", 3)
        first = await dispatcher.call(DISPATCHER, number)
        took_s = time.monotonic() - began_s
        await first.answered()
        await first.bye()
        back, ring = await call_back(scene, panel, at.credentials.username, number)
        await _talks(back, ring)
        record = await emergency_record(scene, back.call_id, "ended", "called_back")
        assert (record["panel"], record["number"]) == (at.credentials.username, number)
        return took_s

    await once_hit(after_s, lambda took_s: took_s < 1.0)


async def test_a_call_back_does_not_cut_the_panels_own_call_to_112(scene: Scene) -> None:
    at = panel_at(scene)
    number = await _called_from(scene)
    panel = await registered(scene, at)
    call, centre = await call_112(scene, at)
    assert caller_of(centre) == number, "while it holds a number it uses the same"
    back, busy = await call_back(scene, panel, at.credentials.username, number, SECOND_LINE)
    busy.reject(486)
    again = await panel.incoming(at.credentials.username, 15, busy.received.at_s + 1e-6)
    assert call.is_established
    assert centre.is_established
    await call.bye()
    again.answer()
    await again.established()
    await back.bye()


@pytest.mark.parametrize("dead", [["crm"], ["crm", "redis"], ["agi"], ["crm", "redis", "agi"]], ids="+".join)
async def test_a_call_back_needs_neither_crm_nor_redis_nor_fastagi(scene: Scene, dead: list[str]) -> None:
    at = panel_at(scene)
    number = await _called_from(scene)
    panel = await registered(scene, at)
    await scene.kill(*dead)
    dispatcher = await scene.peer(CITY_LINE)
    since_s = time.monotonic()
    back = await dispatcher.call(DISPATCHER, number)
    await back.answered()
    if "agi" not in dead:
        await back.rtp.press("1")
    ring = await panel.incoming(at.credentials.username, 12, since_s)
    ring.answer()
    await ring.established()
    tell(f"call back with {'+'.join(dead)} dead: {ring.received.at_s - since_s:.1f} s to the panel")
    await back.bye()
    await ring.wait_request("BYE", 5)
    await scene.revive()
    if "agi" not in dead:  # which alone tells the end of a call back
        await until(lambda: held_by(scene, at), lambda holder: holder is None)
