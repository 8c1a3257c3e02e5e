"""Who rings, and when: stages one after another, a gate of two houses, several phones of one account."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers.message import parameter
from tests.sip.carriers import FIRST, SECOND, either
from tests.sip.households import family, from_the_gate, in_two_stages
from tests.sip.ordinary import they_talk
from tests.sip.records import record_with

if TYPE_CHECKING:
    from lab.peers.message import SipMessage
    from tests.sip.scene import Scene

_FIRST_STAGE_S = 10
_AT_ONCE_S = 3.0
"""No stage rings so short a time that it could have been waited for."""


async def test_one_who_declines_does_not_speak_for_a_phone_that_nobody_answers(scene: Scene) -> None:
    """The plan says that a refusal ends the call: of all who rang."""
    apartment, at, number = scene.town.apartment("no plan of her own")
    others = [resident for home in scene.town.apartments for resident in home.residents]
    neighbour = next(resident for resident in others if resident.credentials.username == "h20012")
    stages = [
        {"ring_timeout_s": 5, "on_refusal": "stop", "targets": [{"kind": "all"}, {"kind": "phone"}]},
        {"ring_timeout_s": 10, "targets": [{"account": neighbour.credentials.username}]},
    ]
    async with scene.plan_with(at, number, stages):
        home, beside = await scene.home(apartment), await scene.resident(neighbour)
        carrier, other = await scene.peer(FIRST), await scene.peer(SECOND)
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        (app,) = await home.all_ring()
        leg = await either(carrier, other, apartment.mobiles[0].number)
        leg.ring()
        app.reject(603)
        (await beside.incoming(timeout_s=8)).ring()
        await leg.wait_cancelled()
        await call.cancel()
        record = await record_with(
            scene, call.call_id, lambda told: any(line["event"] == "stage" for line in told["story"])
        )
        assert [line["result"] for line in record["story"] if line["event"] == "stage"] == ["no_answer"]


async def test_with_nobody_in_the_first_stage_the_second_rings_at_once(scene: Scene) -> None:
    apartment, at, number = in_two_stages(scene.town)
    handset, app = apartment.residents
    peer = await scene.resident(app)
    visitor = await scene.visitor(at)
    began_s = time.monotonic()
    call = await visitor.call(at.credentials, number)

    ring = await peer.incoming()

    assert ring.received.at_s - began_s < _AT_ONCE_S
    await they_talk(call, ring)
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert record["answered_by"] == app.credentials.username
    outcomes = {(branch["stage"], branch["account"]): branch["outcome"] for branch in record["branches"]}
    assert outcomes == {(0, handset.credentials.username): "offline", (1, app.credentials.username): "answered"}


async def test_a_first_stage_that_does_not_answer_gives_way_to_the_second(scene: Scene) -> None:
    apartment, at, number = in_two_stages(scene.town)
    home = await scene.home(apartment)
    (_, handset), (_, app) = home.phones
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    first = await handset.incoming()
    first.ring()
    assert app.ringing == []

    second = await app.incoming(timeout_s=_FIRST_STAGE_S + 5)

    assert _FIRST_STAGE_S - 1 < second.received.at_s - first.received.at_s < _FIRST_STAGE_S + 3
    await first.wait_cancelled()
    assert not first.answered_elsewhere  # nobody answered: the handset keeps a missed call
    await they_talk(call, second)
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert [branch["outcome"] for branch in sorted(record["branches"], key=lambda found: int(found["stage"]))] == [
        "cancelled",
        "answered",
    ]


@pytest.mark.parametrize("which", [0, 1])
async def test_the_gate_reaches_the_same_number_in_each_of_its_houses(scene: Scene, which: int) -> None:
    places = from_the_gate(scene.town)
    assert sorted(number for _, _, number in places) == ["2112", "2212"]
    apartment, gate, number = places[which]
    elsewhere = await scene.home(places[1 - which][0])
    home = await scene.home(apartment)
    visitor = await scene.visitor(gate)

    call = await visitor.call(gate.credentials, number)
    await home.all_ring()

    await call.cancel()
    assert (await scene.office.call_record(call.call_id))["dialled"] == number
    assert all(peer.ringing == [] for _, peer in elsewhere.phones)


@pytest.mark.parametrize(("separator", "in_the_uri"), [("*", "*"), ("#", "%23")])
async def test_a_gate_with_a_separator_is_dialled_by_house_and_apartment(
    scene: Scene, separator: str, in_the_uri: str
) -> None:
    (apartment, gate, number), *_ = from_the_gate(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(gate)
    async with scene.with_values(await scene.panel_path(gate), separator=separator):
        call = await visitor.call(gate.credentials, f"{number[:2]}{in_the_uri}{number[2:]}")
        await home.all_ring()
        await call.cancel()
        dialled = f"{number[:2]}{separator}{number[2:]}"
        assert (await scene.office.call_record(call.call_id))["dialled"] in {dialled, dialled.replace("#", "%23")}
        call = await visitor.call(gate.credentials, number)
        assert (await call.final(15)).status == 404


async def test_the_gate_does_not_take_a_number_without_its_code(scene: Scene) -> None:
    (apartment, gate, number), *_ = from_the_gate(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(gate)
    call = await visitor.call(gate.credentials, number[2:])
    assert (await call.final(15)).status == 404
    assert all(peer.ringing == [] for _, peer in home.phones)


async def test_a_phone_that_rings_only_after_another_has_answered_is_cancelled(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    quick, *slow = await asyncio.gather(*(phone.incoming() for _, phone in home.phones))
    quick.ring()
    quick.answer()
    await call.answered()
    for late in slow:
        late.ring()  # its 180 was on the way for long
    for late in slow:
        await late.wait_cancelled()
        assert late.answered_elsewhere, late.reason
    await call.bye()


def _is_of_a_call(said: SipMessage) -> bool:
    return not said.is_response and (said.method == "CANCEL" or bool(parameter(said.get("To"), "tag")))


async def test_every_phone_of_every_account_rings_after_kill_9_without_registering_anew(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    resident = apartment.residents[0]
    home = await scene.home(apartment)
    tablet = await scene.peer(resident.address, port=5062)
    assert (await tablet.register(resident.credentials)).status == 200
    phones = [peer for _, peer in home.phones] + [tablet]
    before = [len(phone.socket.received) for phone in phones]

    await scene.restart("kamailio")

    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    rings = await asyncio.gather(*(phone.incoming() for phone in phones))
    for ring in rings:
        ring.ring()
    for phone, count in zip(phones, before, strict=True):  # neither asked to register nor answered one
        heard = [got.message for got in phone.socket.received[count:]]
        # What was said in a call of an earlier story may be said once more.
        ours = {said.method for said in heard if not _is_of_a_call(said) or said.get("Call-ID") == rings[0].call_id}
        assert ours <= {"INVITE", "OPTIONS"}
    rings[-1].answer()
    await call.answered()
    for ring in rings[:-1]:
        await ring.wait_cancelled()
        assert ring.answered_elsewhere, ring.reason
    await call.bye()
