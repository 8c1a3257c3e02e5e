"""Stages: home gateway first, one resident after another, quiet hours, limits, and what the visitor hears meanwhile."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.sip.carriers import FIRST
from tests.sip.households import family, one_after_another, quiet_at_night, quiet_hours, with_a_gateway, without_a_plan
from tests.sip.ordinary import they_talk
from tests.sip.records import outcomes, record_with

if TYPE_CHECKING:
    from tests.sip.scene import Scene

_GATEWAY_STAGE_S = 8
_AT_ONCE_S = 3.0
"""No stage rings so short a time that it could have been waited for."""


# --- home gateway -----------------------------------------------------------------------------------------------


async def test_a_gateway_that_answers_for_its_units_ends_the_ringing(scene: Scene) -> None:
    apartment, at, number = with_a_gateway(scene.town)
    (unit, gateway), (_, app) = (await scene.home(apartment)).phones
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await gateway.incoming()
    await they_talk(call, ring)
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    assert app.ringing == []
    assert await outcomes(scene, call.call_id, 1) == {unit.credentials.username: (0, "answered")}


@pytest.mark.parametrize("status", [486, 603, 480])
async def test_a_gateway_that_refuses_gives_way_at_once(scene: Scene, status: int) -> None:
    apartment, at, number = with_a_gateway(scene.town)
    (_, gateway), (own, app) = (await scene.home(apartment)).phones
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    first = await gateway.incoming()
    first.ring()
    began_s = time.monotonic()
    first.reject(status)
    second = await app.incoming()
    assert second.received.at_s - began_s < _AT_ONCE_S
    await they_talk(call, second)
    await call.bye()
    assert (await outcomes(scene, call.call_id, 2))[own.credentials.username] == (1, "answered")


async def test_a_gateway_that_is_offline_is_passed_over_at_once(scene: Scene) -> None:
    apartment, at, number = with_a_gateway(scene.town)
    gateway, own = apartment.residents
    app = await scene.resident(own)
    visitor = await scene.visitor(at)
    began_s = time.monotonic()
    call = await visitor.call(at.credentials, number)
    ring = await app.incoming()
    ring.ring()
    assert ring.received.at_s - began_s < _AT_ONCE_S
    await call.cancel()
    assert (await outcomes(scene, call.call_id, 2))[gateway.credentials.username] == (0, "offline")


async def test_a_gateway_whose_units_do_not_answer_gives_way_after_its_time(scene: Scene) -> None:
    apartment, at, number = with_a_gateway(scene.town)
    (_, gateway), (_, app) = (await scene.home(apartment)).phones
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    first = await gateway.incoming()
    first.ring()
    second = await app.incoming(timeout_s=_GATEWAY_STAGE_S + 5)
    assert _GATEWAY_STAGE_S - 1 < second.received.at_s - first.received.at_s < _GATEWAY_STAGE_S + 3
    await first.wait_cancelled()
    second.ring()
    await call.cancel()


# --- order and quiet hours --------------------------------------------------------------------------------------


async def test_residents_ring_one_after_another(scene: Scene) -> None:
    apartment, at, number = one_after_another(scene.town)
    (_, vera), (_, ivan) = (await scene.home(apartment)).phones
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    first = await vera.incoming()
    first.ring()
    await call.ringing()
    assert ivan.ringing == []
    first.reject(603)
    second = await ivan.incoming()
    await they_talk(call, second)
    await call.bye()
    assert await outcomes(scene, call.call_id, 2) == {
        apartment.residents[0].credentials.username: (0, "declined"),
        apartment.residents[1].credentials.username: (1, "answered"),
    }


async def test_an_account_in_its_quiet_hours_keeps_still_and_the_others_ring(scene: Scene) -> None:
    apartment, at, number = quiet_at_night(scene.town)
    home = await scene.home(apartment)
    (sleeper, still), *others = home.phones
    kept = await scene.office.get(f"/v1/accounts/{sleeper.credentials.username}")
    assert (kept["quiet_from"], kept["quiet_until"]) == ("22:00", "07:00")
    async with scene.with_values(f"/v1/accounts/{sleeper.credentials.username}", **quiet_hours(-1, 1)):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        for _, peer in others:
            (await peer.incoming()).ring()
        await call.cancel()
        assert still.ringing == []
    async with scene.with_values(f"/v1/accounts/{sleeper.credentials.username}", **quiet_hours(2, 3)):
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        await home.all_ring(since_s=began_s)
        await call.cancel()


async def test_without_a_plan_the_phone_rings_after_the_app_at_once_when_that_refuses(scene: Scene) -> None:
    apartment, at, number = without_a_plan(scene.town)
    (mobile,) = apartment.mobiles
    told = await scene.office.get(f"/v1/ring-plans/{at.credentials.username}/{number}")
    stages = [(stage["ring_timeout_s"], [target["kind"] for target in stage["targets"]]) for stage in told["stages"]]
    assert stages == [(30, ["app"]), (30, ["phone"])]
    (_, app), *_ = (await scene.home(apartment)).phones
    carrier = await scene.peer(FIRST)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    first = await app.incoming()
    first.ring()
    await call.ringing()
    assert carrier.ringing == []
    first.reject(603)
    refused_s = time.monotonic()
    second = await carrier.incoming(mobile.number)
    assert second.received.at_s - refused_s < _AT_ONCE_S
    await they_talk(call, second)
    await call.bye()
    assert await outcomes(scene, call.call_id, 2) == {
        apartment.residents[0].credentials.username: (0, "declined"),
        mobile.account: (1, "answered"),
    }
    record = await record_with(
        scene, call.call_id, lambda told: any(line["event"] == "stage" for line in told["story"])
    )
    story = record["story"]
    assert [(line["stage"], line["result"]) for line in story if line["event"] == "stage"] == [(0, "declined")]


# --- limits -----------------------------------------------------------------------------------------------------


async def test_all_stages_together_ring_no_longer_than_the_panels_limit(scene: Scene) -> None:
    apartment, at, number = with_a_gateway(scene.town)
    (_, gateway), (_, app) = (await scene.home(apartment)).phones
    async with scene.with_values(await scene.panel_path(at), ring_limit_s=10):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        first = await gateway.incoming()
        first.ring()
        second = await app.incoming(timeout_s=_GATEWAY_STAGE_S + 5)
        second.ring()
        await second.wait_cancelled(8)
        assert second.cancelled is not None
        assert 9 < second.cancelled.at_s - first.received.at_s < 13
        assert (await call.final(10)).status == 480
    assert (await scene.office.call_record(call.call_id))["result"] == "no_answer"


async def test_a_tone_tells_the_resident_that_the_talk_is_nearly_over_and_then_it_ends(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    async with scene.with_values(await scene.panel_path(at), talk_limit_s=20):
        called_s = time.monotonic()
        call, ring, _ = await scene.talk(apartment, at, number)
        began_s = time.monotonic()
        call.rtp.hush()
        await ring.rtp.quiet(1.0)
        heard = ring.rtp.audible_packets
        await ring.rtp.wait_for_sound(8, packets=heard + 10)
        assert 3 < time.monotonic() - began_s < 8  # fifteen seconds before the end
        for over in await asyncio.gather(ring.wait_request("BYE", 20), call.wait_request("BYE", 20)):
            assert over.at_s - called_s > 19
            assert over.at_s - began_s < 22.5
    record = await scene.office.call_record(call.call_id)
    assert record["talk_ms"] >= 19_000
    assert record["story"][-1]["hung_up_by"] == "platform"


# --- what the visitor hears -------------------------------------------------------------------------------------


async def test_whoever_heard_early_media_of_the_first_stage_hears_ringing_in_the_second(scene: Scene) -> None:
    apartment, at, number = with_a_gateway(scene.town)
    (_, gateway), (_, app) = (await scene.home(apartment)).phones
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    first = await gateway.incoming()
    first.show_early_media()
    await call.wait_status(183, 3)
    await call.rtp.wait_for_sound(3)
    first.rtp.hush()
    first.reject(486)
    second = await app.incoming()
    second.ring()
    heard = call.rtp.audible_packets
    await call.rtp.wait_for_sound(10, packets=heard + 20)  # the ringing tone, in the sound: the panel has left its own
    assert second.cancelled is None
    await call.cancel()
