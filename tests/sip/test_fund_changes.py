"""Staff changes the fund: the very next call, within a second, goes the new way."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest

from lab.peers.digest import Credentials
from lab.peers.door import Door
from lab.peers.relay import HttpRelay
from tests.sip.households import family
from tests.sip.ordinary import they_talk
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from lab.peers.calls import OutgoingCall
    from lab.peers.scripted import ScriptedPeer
    from tests.sip.households import Place
    from tests.sip.scene import Scene

_SETTLED_WITHIN_S = 5.0
_FAMILY = 3
"""Accounts of the family's home, each a branch of a call to it."""
_GUEST = "127.0.3.50"


@pytest.fixture(autouse=True)
def _no_plan_of_the_story_is_left(scene: Scene) -> None:
    """What the story takes back at its end is in no plan of the story after it."""
    scene.when_over(scene.delivered)


async def _home_of(scene: Scene, place: Place) -> dict[str, Any]:
    """The apartment's account as the office knows it: with `apartment_id` and `company_id`."""
    name = place[0].residents[0].credentials.username
    found: dict[str, Any] = await scene.office.get(f"/v1/accounts/{name}")
    return found


async def _registered(peer: ScriptedPeer, credentials: Credentials) -> None:
    watch = Stopwatch()
    while (answer := await peer.register(credentials)).status != 200:
        assert watch.took_s < 3, answer.start_line
        await asyncio.sleep(0.4)  # a phone's patience: ten refusals in a row would bar its address


async def _call(scene: Scene, place: Place) -> OutgoingCall:
    visitor = await scene.visitor(place[1])
    return await visitor.call(place[1].credentials, place[2])


async def test_an_account_that_is_added_rings_and_one_that_is_disabled_does_not(scene: Scene) -> None:
    place = family(scene.town)
    home = await scene.home(place[0])
    first = await _call(scene, place)  # so that a plan without the new account is in the cache
    await home.all_ring()
    await first.cancel()
    lives_in = (await _home_of(scene, place))["apartment_id"]
    name = f"added-{secrets.token_hex(4)}"
    async with scene.made("accounts", {"account": name, "kind": "app", "apartment_id": lives_in}) as made:
        added = await scene.peer(_GUEST)
        await _registered(added, Credentials(name, made["password"]))
        await scene.felt()
        call = await _call(scene, place)
        ring = await added.incoming(name)
        await they_talk(call, ring)
        await call.bye()
        assert (await scene.office.call_record(call.call_id))["answered_by"] == name

        await scene.office.send("PATCH", f"/v1/accounts/{name}", {"enabled": False})
        await scene.felt()

        since_s, rung_before = time.monotonic(), len(added.ringing)
        call = await _call(scene, place)
        await home.all_ring(since_s=since_s)
        await call.cancel()
        record = await scene.office.call_record(call.call_id, branches=_FAMILY)
        assert name not in {branch["account"] for branch in record["branches"]}
        assert len(added.ringing) == rung_before
        await scene.office.send("PATCH", f"/v1/accounts/{name}", {"enabled": True})
        await _registered(added, Credentials(name, made["password"]))
        assert (await added.register(Credentials(name, made["password"]), expires_s=0, contact="*")).status == 200


async def test_a_block_that_is_put_on_is_explained_and_lifted_it_rings_again(scene: Scene) -> None:
    place = family(scene.town)
    home = await scene.home(place[0])
    known = await _home_of(scene, place)
    kind = {"company_id": known["company_id"], "name": f"repair-{secrets.token_hex(4)}", "stops_calls": True}
    async with scene.made("block-kinds", kind) as made:
        wanted = {"apartment_id": known["apartment_id"], "kind_id": made["id"], "reason": "pipes"}
        async with scene.made("blocks", wanted) as block:
            await scene.felt()
            call = await _call(scene, place)
            await call.wait_status(183, 5)
            await call.rtp.wait_for_sound(5)
            assert 400 <= (await call.final(15)).status < 700
            assert (await scene.office.call_record(call.call_id))["result"] == "blocked"
            assert all(peer.ringing == [] for _, peer in home.phones)

            await scene.office.send("POST", f"/v1/blocks/{block['id']}/lift", {"reason": "repaired"})
            await scene.felt()
            since_s = time.monotonic()
            call = await _call(scene, place)
            await home.all_ring(since_s=since_s)
            await call.cancel()


async def test_a_desk_rings_after_the_home_the_second_when_the_first_does_not_answer(scene: Scene) -> None:
    place = family(scene.town)
    home = await scene.home(place[0])
    known = await _home_of(scene, place)
    company = known["company_id"]
    async with contextlib.AsyncExitStack() as office:
        desks = []
        for priority in (1, 2):
            name = f"desk{priority}-{secrets.token_hex(4)}"
            account = {"account": name, "kind": "concierge", "company_id": company}
            made = await office.enter_async_context(scene.made("accounts", account))
            desk = {"account": name, "name": name, "priority": priority}
            await office.enter_async_context(scene.made("concierge-desks", desk))
            peer = await scene.peer(f"127.0.3.6{priority}")
            credentials = Credentials(name, made["password"])
            await _registered(peer, credentials)
            office.push_async_callback(peer.register, credentials, expires_s=0, contact="*")
            desks.append((name, peer))
        stages = [
            {"ring_timeout_s": 2, "targets": [{"kind": "all"}]},
            {"ring_timeout_s": 5, "targets": [{"kind": "concierge"}]},
        ]
        plan = {"apartment_id": known["apartment_id"], "stages": stages}
        await office.enter_async_context(scene.made("ring-plans", plan))
        await scene.felt()

        call = await _call(scene, place)
        await home.all_ring()
        first = await desks[0][1].incoming(desks[0][0], timeout_s=8)
        first.ring()
        second = await desks[1][1].incoming(desks[1][0], timeout_s=10)
        await first.wait_cancelled()
        await they_talk(call, second)
        await call.bye()
        record = await scene.office.call_record(call.call_id)
        assert record["answered_by"] == desks[1][0]
        stage_of = {branch["account"]: branch["stage"] for branch in record["branches"]}
        assert (stage_of[desks[0][0]], stage_of[desks[1][0]]) == (1, 2)


async def test_a_phone_of_the_household_is_no_hindrance_while_no_carrier_answers(scene: Scene) -> None:
    place = family(scene.town)
    home = await scene.home(place[0])
    known = await _home_of(scene, place)
    name = f"phone-{secrets.token_hex(4)}"
    phone = {"account": name, "kind": "phone", "apartment_id": known["apartment_id"], "phone": "+79123456789"}
    home_of_his = {"apartment_id": known["apartment_id"], "role": "owner"}
    resident = {
        "company_id": known["company_id"],
        "name": "Owner of the phone",
        "phones": [phone["phone"]],
        "apartments": [home_of_his],
    }
    async with scene.made("residents", resident), scene.made("accounts", phone):
        stages = [
            {"ring_timeout_s": 30, "targets": [{"kind": "phone"}]},
            {"ring_timeout_s": 30, "targets": [{"kind": "all"}]},
        ]
        async with scene.made("ring-plans", {"apartment_id": known["apartment_id"], "stages": stages}):
            await scene.felt()
            call = await _call(scene, place)
            await home.all_ring(timeout_s=10)  # each carrier has its time to say something
            await call.cancel()
            record = await scene.office.call_record(call.call_id, branches=1 + _FAMILY)
            assert {b["account"]: b["outcome"] for b in record["branches"]}[name] in {"failed", "offline"}


async def test_a_door_that_a_relay_opens(scene: Scene) -> None:
    place = family(scene.town, method="http")
    at = place[1]
    login = {"user": "admin", "password": "relay-of-its-own"}
    server = await HttpRelay.start(Door("9"), "127.0.3.70", login["user"], login["password"])
    scene.when_over(server.stop)
    known = await _home_of(scene, place)
    panels = (await scene.office.get(f"/v1/panels?company_id={known['company_id']}&limit=200"))["items"]
    panel = next(row for row in panels if row["account"] == at.credentials.username)
    usual = [{name: door[name] for name in ("output", "name", "method", "dtmf")} for door in panel["doors"]]
    wanted = {
        "company_id": known["company_id"],
        "name": f"relay-{secrets.token_hex(4)}",
        "driver": "beward",
        "address": "127.0.3.70",
        "credentials": login,
    }
    async with scene.made("relays", wanted) as relay:
        door = {"output": 1, "name": "Door", "method": "relay", "relay_id": relay["id"], "relay_output": 1}
        await scene.office.send("PATCH", f"/v1/panels/{panel['id']}", {"doors": [door]})
        try:
            await scene.felt()
            call, ring, _ = await scene.talk(place[0], at, place[2])
            await ring.rtp.wait_for_sound(3)
            await ring.rtp.press("#")
            await server.door.wait_opened()
            await call.bye()
            records = await scene.office.access_records(call.call_id)
        finally:
            await scene.office.send("PATCH", f"/v1/panels/{panel['id']}", {"doors": usual})
    assert [opening.cause for opening in server.door.openings] == ["http"]
    assert [(record["method"], record["result"]) for record in records] == [("http", "opened")]


async def test_a_change_while_redis_is_away_is_delivered_when_it_is_back(scene: Scene) -> None:
    place = family(scene.town)
    home = await scene.home(place[0])
    name = place[0].residents[-1].credentials.username
    first = await _call(scene, place)  # so that a plan with the account is in Redis, and outlives it on disk
    await home.all_ring()
    await first.cancel()
    await scene.kill("redis")
    await scene.office.send("PATCH", f"/v1/accounts/{name}", {"enabled": False})  # neither lost nor blocked
    try:
        await scene.revive()
        await scene.felt()
        since_s = time.monotonic()
        call = await _call(scene, place)
        others = [(resident, peer) for resident, peer in home.phones if resident.credentials.username != name]
        for resident, peer in others:
            (await peer.incoming(resident.credentials.username, since_s=since_s)).ring()
        await call.cancel()
        record = await scene.office.call_record(call.call_id, branches=_FAMILY - 1)
        assert name not in {branch["account"] for branch in record["branches"]}
    finally:
        await scene.office.send("PATCH", f"/v1/accounts/{name}", {"enabled": True})


async def test_a_password_rotated_while_kamailio_is_away_holds_when_it_is_back(scene: Scene) -> None:
    place = family(scene.town)
    lives_in = (await _home_of(scene, place))["apartment_id"]
    name = f"away-{secrets.token_hex(4)}"
    async with scene.made("accounts", {"account": name, "kind": "app", "apartment_id": lives_in}) as made:
        old = Credentials(name, made["password"])
        peer = await scene.peer(_GUEST)
        await _registered(peer, old)
        await scene.kill("kamailio")
        rotated = await scene.office.send("POST", f"/v1/accounts/{name}/rotate-password")
        await scene.revive()
        assert (await peer.register(old)).status == 401
        await _registered(peer, Credentials(name, rotated["password"]))


async def test_an_account_that_is_made_again_does_not_ring_the_phone_of_the_removed_one(scene: Scene) -> None:
    place = family(scene.town)
    home = await scene.home(place[0])
    lives_in = (await _home_of(scene, place))["apartment_id"]
    account = {"account": f"again-{secrets.token_hex(4)}", "kind": "app", "apartment_id": lives_in}
    left = await scene.peer(_GUEST)
    async with scene.made("accounts", account) as made:
        await _registered(left, Credentials(account["account"], made["password"]))
        assert await scene.has_contact(account["account"])
    await scene.contact_goes(account["account"], _SETTLED_WITHIN_S)
    async with scene.made("accounts", account):
        await scene.felt()
        call = await _call(scene, place)
        await home.all_ring()
        await call.cancel()
        record = await scene.office.call_record(call.call_id, branches=_FAMILY + 1)
        outcomes = {branch["account"]: branch["outcome"] for branch in record["branches"]}
        assert outcomes[account["account"]] == "offline", record
        assert left.ringing == []
