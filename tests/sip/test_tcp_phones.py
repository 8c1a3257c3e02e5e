"""Phones that speak SIP over TCP: reached by the connection they have opened, and what happens when that is gone."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from tests.sip.bad_network import cut_off
from tests.sip.households import family
from tests.sip.ordinary import they_talk
from tests.sip.sleepers import push_services, sleeping_device
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from lab.peers.town import Resident
    from tests.sip.scene import Scene

_WITHIN_S = 2.5
"""At once: a connection that nobody answers on is given up later."""


async def _gone(scene: Scene, resident: Resident, *, silently: bool, comes_back: bool = False) -> None:
    """Register a phone over TCP and take its power; `silently`: cut off before, so that nobody says that it is gone."""
    phone = await scene.phone(resident, transport="tcp")

    async def forget() -> None:
        peer = await scene.peer(resident.address)
        await peer.register(resident.credentials, expires_s=0, contact="*")

    if not comes_back:
        scene.when_over(forget)
    if silently:
        await cut_off(scene, resident.address, "tcp")
    await phone.kill()


async def test_a_phone_over_tcp_rings_talks_and_opens(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    phone = await scene.phone(apartment.residents[0], transport="tcp")
    panel = await scene.panel(at)
    await panel.phone.dial(number)
    await phone.wait_for("CALL_INCOMING")
    await phone.accept()
    await panel.phone.wait_for("CALL_ESTABLISHED")
    pressed_s = await phone.press("#")
    await panel.door.wait_opened(3, pressed_s - 1)
    await phone.hangup()
    await panel.phone.wait_for("CALL_CLOSED")


@pytest.mark.parametrize("silently", [False, True])
async def test_one_whose_connection_is_gone_delays_nobody(scene: Scene, silently: bool) -> None:
    apartment, at, number = family(scene.town)
    gone, answering, other = apartment.residents
    await _gone(scene, gone, silently=silently)
    one, two = await scene.resident(answering), await scene.resident(other)
    visitor = await scene.visitor(at)
    watch = Stopwatch()
    call = await visitor.call(at.credentials, number)
    ring, another = await asyncio.gather(one.incoming(), two.incoming())
    assert watch.took_s < _WITHIN_S
    another.ring()
    await they_talk(call, ring)
    assert await call.bye() == 200
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["answered_by"]) == ("answered", answering.credentials.username)


@pytest.mark.parametrize("silently", [False, True])
async def test_an_app_whose_connection_is_gone_is_woken(scene: Scene, silently: bool) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("nobody registered")
    (resident,) = apartment.residents
    token = await sleeping_device(scene, resident, "fcm")
    await _gone(scene, resident, silently=silently, comes_back=True)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await services.wait_for(token)
    watch = Stopwatch()
    woken = await scene.resident(resident)
    ring = await woken.incoming(since_s=watch.began_s)
    assert watch.took_s < _WITHIN_S
    await they_talk(call, ring)
    assert await call.bye() == 200


@pytest.mark.parametrize("silently", [False, True])
async def test_the_only_one_is_gone(scene: Scene, silently: bool) -> None:
    apartment, at, number = scene.town.apartment("nobody registered")
    (resident,) = apartment.residents
    await _gone(scene, resident, silently=silently)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await call.rtp.wait_for_sound(40 if silently else 5)
    await call.final(20)
    record = await scene.office.call_record(call.call_id, branches=1)
    assert (record["result"], {branch["outcome"] for branch in record["branches"]}) == ("no_answer", {"failed"})


async def test_after_kill_9_of_kamailio_one_rings_when_it_has_registered_anew(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    by_tcp, by_udp, _ = apartment.residents
    phone, other = await scene.phone(by_tcp, transport="tcp"), await scene.resident(by_udp)
    await scene.restart("kamailio")
    visitor = await scene.visitor(at)
    watch = Stopwatch()
    call = await visitor.call(at.credentials, number)
    await other.incoming(since_s=watch.began_s)  # at once, and beside one whose connection is gone
    assert watch.took_s < _WITHIN_S
    await call.cancel()
    await phone.register()
    since_s = time.monotonic()
    call = await visitor.call(at.credentials, number)
    await phone.wait_for("CALL_INCOMING", since_s=since_s)
    await call.cancel()
