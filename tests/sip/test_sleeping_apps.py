"""Apps that sleep: a push wakes them, the call rings them the moment they register, and tells them when it is over."""

from __future__ import annotations

import asyncio
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING

import pytest

from lab.peers.door import Door
from lab.peers.relay import PICTURE, HttpRelay
from tests.sip.households import asleep
from tests.sip.ordinary import they_talk
from tests.sip.records import record_with_pushes
from tests.sip.sleepers import push_services, sleeping_device

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall
    from tests.sip.scene import Scene

_RINGS_WITHIN_S = 3.0
"""At once: one that is not rung when it registers is rung never, and a push that hangs is waited for longer."""
_GIVEN_UP_WITHIN_S = 8.0


@pytest.mark.parametrize("platform", ["fcm", "apns_voip", "hms", "webhook"])
async def test_an_app_that_sleeps_is_woken_and_answers(scene: Scene, platform: str) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("nobody registered")
    (resident,) = apartment.residents
    token = await sleeping_device(scene, resident, platform)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)

    push = await services.wait_for(token)
    assert push.data["call_id"] == call.call_id
    assert (push.data["house"], push.data["entrance"], push.data["panel"]) == ("Lenina 1", "1", at.name)
    assert push.platform == platform

    registered = asyncio.create_task(scene.resident(resident))
    phone = await registered
    registered_s = time.monotonic()
    ring = await phone.incoming()
    assert ring.received.at_s - registered_s < _RINGS_WITHIN_S
    assert not [name for name, _ in ring.invite.headers if name.lower().startswith("x-entryphone")]
    ring.ring()
    await call.ringing()
    ring.answer()
    await call.answered()
    await ring.established()
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    record = await record_with_pushes(scene, call.call_id, "accepted")
    account = resident.credentials.username
    assert (record["result"], record["answered_by"]) == ("answered", account)
    told = [(line["account"], line["outcome"]) for line in record["story"] if line["event"] == "push"]
    assert told == [(account, "queued"), (account, "sent"), (account, "accepted")]
    assert len(phone.ringing) == 1


async def test_the_towns_own_sleeper_is_woken_with_the_token_that_the_town_has(scene: Scene) -> None:
    services = await push_services(scene)
    apartment, at, number = asleep(scene.town)
    (resident,) = apartment.residents
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await services.wait_for(f"http://127.0.0.70/hook/{resident.credentials.username}")
    ring = await (await scene.resident(resident)).incoming()
    await they_talk(call, ring)
    await call.bye()
    assert (await scene.office.call_record(call.call_id))["answered_by"] == resident.credentials.username


async def test_one_that_wakes_joins_those_who_ring_already(scene: Scene) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("three apps")
    early, late, never = apartment.residents
    token = await sleeping_device(scene, late, "fcm")
    other = await sleeping_device(scene, never, "apns_voip")
    first = await scene.resident(early)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await first.incoming()
    ring.ring()
    await call.ringing()
    await services.wait_for(token)

    phone = await scene.resident(late)
    second = await phone.incoming()
    await they_talk(call, second)
    await ring.wait_cancelled()
    assert ring.answered_elsewhere, ring.reason
    cancel = await services.wait_for(other, "cancel")  # it never woke: it is told that the call is over
    assert cancel.data["reason"] == "answered"

    slow = await scene.resident(never)  # registers after the answer
    with pytest.raises(TimeoutError):
        await slow.incoming(timeout_s=0.5)
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    outcomes = {branch["account"]: branch["outcome"] for branch in record["branches"] if branch["contact"]}
    assert outcomes == {early.credentials.username: "cancelled", late.credentials.username: "answered"}
    assert record["answered_by"] == late.credentials.username


async def test_phones_that_ring_while_apps_wake_do_not_stop_the_proxy(scene: Scene) -> None:
    # Replies and registrations of one stage want the same two locks: its transaction's and its list's.
    await push_services(scene)
    apartment, at, number = scene.town.apartment("three apps")
    early, late, _ = apartment.residents
    await sleeping_device(scene, late, "fcm", "token-of-its-own")  # what is pushed late disturbs no other story
    first = await scene.resident(early)
    woken = await scene.peer(late.address)
    name, port = late.credentials.username, woken.socket.port

    async def ring_on(ring: IncomingCall, over: asyncio.Event) -> None:
        while not over.is_set():
            for _ in range(10):
                ring.ring()
            await asyncio.sleep(0.003)  # 3,000 a second: more would only fill the proxy's socket

    for _ in range(3):
        begun_s = time.monotonic()
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        ring = await first.incoming(since_s=begun_s)
        over = asyncio.Event()
        ringing = asyncio.create_task(ring_on(ring, over))
        contacts = [f"<sip:{name}@{late.address}:{port};place={place}>" for place in range(8)]
        try:
            for expires_s in (600, 0, 600, 0, 600):  # what comes again is another contact
                for contact in contacts:
                    answer = await woken.register(late.credentials, contact=contact, expires_s=expires_s)
                    assert answer.status == 200, answer.start_line
        finally:
            over.set()
            await ringing
        ring.answer()
        await call.answered()
        await call.bye()
        for contact in contacts:
            await woken.register(late.credentials, contact=contact, expires_s=0)


async def test_when_all_who_ring_refuse_the_sleeper_is_still_waited_for(scene: Scene) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("three apps")
    early, late, _ = apartment.residents
    token = await sleeping_device(scene, late, "fcm")
    first = await scene.resident(early)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await first.incoming()
    await services.wait_for(token)
    ring.reject(486)
    phone = await scene.resident(late)
    second = await phone.incoming()
    assert len(first.ringing) == 1  # who has refused is not rung again
    second.ring()
    assert (await call.cancel()).status == 487
    await second.wait_cancelled()
    assert (await services.wait_for(token, "cancel")).data["reason"] == "over"
    record = await scene.office.call_record(call.call_id)
    assert record["result"] == "caller_hung_up"


async def test_who_declined_on_one_device_is_not_rung_on_another_that_wakes(scene: Scene) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("three apps")
    declines, late, _ = apartment.residents
    await sleeping_device(scene, declines, "hms")
    token = await sleeping_device(scene, late, "fcm")
    first, second = await scene.resident(declines), await scene.peer(declines.address, 5070)
    call = await (await scene.visitor(at)).call(at.credentials, number)
    ring = await first.incoming()
    await services.wait_for(token)
    ring.reject(603)
    await ring.wait_request("ACK", 3)
    assert (await second.register(declines.credentials)).status == 200
    other = await (await scene.resident(late)).incoming()
    assert second.ringing == []
    await they_talk(call, other)
    await call.bye()
    assert second.ringing == []
    record = await scene.office.call_record(call.call_id)
    outcomes = [(branch["account"], branch["outcome"]) for branch in record["branches"] if branch["contact"]]
    assert sorted(outcomes) == sorted(
        [(declines.credentials.username, "declined"), (late.credentials.username, "answered")]
    )
    await second.register(declines.credentials, expires_s=0, contact="*")


async def test_a_visitor_who_leaves_while_everybody_sleeps_ends_the_call(scene: Scene) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("nobody registered")
    (resident,) = apartment.residents
    token = await sleeping_device(scene, resident, "fcm")
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await services.wait_for(token)
    assert (await call.cancel()).status == 487
    await services.wait_for(token, "cancel")
    phone = await scene.resident(resident)
    with pytest.raises(TimeoutError):
        await phone.incoming(timeout_s=0.5)


@pytest.mark.parametrize("fault", ["hangs", "refuses"])
async def test_a_push_service_that_fails_delays_nobody(scene: Scene, fault: str) -> None:
    services = await push_services(scene)
    services.faults = {"fcm": fault, "fcm-token": fault}  # type: ignore[dict-item]
    apartment, at, number = scene.town.apartment("three apps")
    awake, sleeper, other = apartment.residents
    await sleeping_device(scene, sleeper, "fcm")
    token = await sleeping_device(scene, other, "hms")
    first = await scene.resident(awake)
    visitor = await scene.visitor(at)
    began_s = time.monotonic()
    call = await visitor.call(at.credentials, number)
    ring = await first.incoming()
    assert ring.received.at_s - began_s < _RINGS_WITHIN_S
    await services.wait_for(token, timeout_s=3.0)  # the other service is not held up either
    await they_talk(call, ring)
    await call.bye()
    assert (await scene.office.call_record(call.call_id))["result"] == "answered"


async def test_a_service_that_fails_for_a_moment_is_tried_again(scene: Scene) -> None:
    services = await push_services(scene)
    services.failures_left = {"fcm": 2}
    apartment, at, number = scene.town.apartment("nobody registered")
    (resident,) = apartment.residents
    token = await sleeping_device(scene, resident, "fcm")
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await services.wait_for(token, timeout_s=6.0)
    await call.cancel()


@pytest.mark.parametrize("token", ["dead-token-of-nobody", "x" * 4096])
async def test_a_dead_token_is_disabled(scene: Scene, token: str) -> None:
    services = await push_services(scene)
    services.dead.add("dead-token-of-nobody")
    apartment, at, number = scene.town.apartment("nobody registered")
    (resident,) = apartment.residents
    await sleeping_device(scene, resident, "apns_voip", token)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    account = resident.credentials.username
    deadline = time.monotonic() + 5
    while True:
        (row,) = (await scene.office.get(f"/v1/push-tokens?account={account}"))["items"]
        if row["invalidated_at_ms"] is not None:
            break
        assert time.monotonic() < deadline, row
        await asyncio.sleep(0.05)
    assert row["invalid_reason"] in {"Unregistered", "BadDeviceToken"}
    await call.cancel()
    record = await record_with_pushes(scene, call.call_id, "refused")
    assert [line["outcome"] for line in record["story"] if line["event"] == "push"] == ["queued", "sent", "refused"]


async def test_the_push_links_to_the_visitor_for_this_household_only(scene: Scene) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("nobody registered")
    panel = await scene.panel(at, scene.town.relay_login(at))
    (resident,) = apartment.residents
    token = await sleeping_device(scene, resident, "fcm")
    call_id = await panel.phone.dial(number)
    push = await services.wait_for(token)
    assert push.data["call_id"] == call_id
    link = push.data["picture_url"]
    deadline = time.monotonic() + 3
    while True:
        status, body = await asyncio.to_thread(_fetch, link)
        if status == 200 or time.monotonic() > deadline:
            break
        await asyncio.sleep(0.05)
    assert (status, body) == (200, PICTURE)
    call_hash, home, until, signed = link.rpartition("/")[2].split("-")
    base = link.rpartition("/")[0]
    for other in (
        f"{call_hash}-{int(home) + 1}-{until}-{signed}",
        f"{call_hash}-{home}-{int(until) + 1}-{signed}",
        "x",
    ):
        assert (await asyncio.to_thread(_fetch, f"{base}/{other}"))[0] == 404
    await panel.phone.hangup(call_id)


def _fetch(url: str) -> tuple[int, bytes]:
    try:
        with urllib.request.urlopen(url, timeout=3) as answer:  # noqa: S310 - a link of our own
            return answer.status, answer.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, b""


async def test_residents_are_told_of_a_message_and_fetch_it(scene: Scene) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("nobody registered")
    (resident,) = apartment.residents
    camera = await HttpRelay.start(Door(at.door_code), at.address, *scene.town.relay_login(at))
    scene.when_over(camera.stop)
    async with scene.company_with(message_limit_s=2, ring_limit_s=5):
        tokens = [await sleeping_device(scene, resident, platform) for platform in ("fcm", "apns", "hms", "webhook")]
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        await call.answered(10)  # nobody has woken: the visitor is invited to speak
        await call.wait_request("BYE", 20)
        for token in tokens:
            told = await services.wait_for(token, "message", timeout_s=10)
            assert (told.data["call_id"], told.data["panel"]) == (call.call_id, at.name)
        assert services.refused == []
        message = await scene.office.get(f"/v1/call-sounds/{told.data['message_id']}")
        assert (message["kind"], message["call_id"]) == ("message", call.call_id)
        assert message["has_picture"]
        link = told.data["picture_url"]
        assert await asyncio.to_thread(_fetch, link) == (200, PICTURE)
        assert (await asyncio.to_thread(_fetch, link[:-1] + ("0" if link[-1] != "0" else "1")))[0] == 404
        sound = told.data["audio_url"]
        status, content = await asyncio.to_thread(_fetch, sound)
        assert (status, content[:4]) == (200, b"RIFF")
        assert abs(len(content) // 8 - message["duration_ms"]) <= 10
        assert (await asyncio.to_thread(_fetch, link.replace("message-pictures", "message-sounds")))[0] == 404
        await scene.office.send("DELETE", f"/v1/call-sounds/{message['id']}")
        for gone in (link, sound):
            assert (await asyncio.to_thread(_fetch, gone))[0] == 404


@pytest.mark.parametrize("late", [False, True])
async def test_an_app_that_sleeps_behind_a_registration_that_leads_nowhere_rings_when_it_wakes(
    scene: Scene, *, late: bool
) -> None:
    """Its address is another one then, its contact the same. `late`: when the old one has been given up."""
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("nobody registered")
    (resident,) = apartment.residents
    token = await sleeping_device(scene, resident, "fcm")
    contact = f"<sip:{resident.credentials.username}@192.168.1.5:5060>"
    before, after = await scene.peer(resident.address), await scene.peer(resident.address, 5070)
    assert (await before.register(resident.credentials, contact=contact)).status == 200
    since_s = time.monotonic()
    call = await (await scene.visitor(at)).call(at.credentials, number)
    await services.wait_for(token)
    await before.incoming(since_s=since_s)  # and says nothing
    assert 180 not in call.statuses
    if late:
        await call.wait_status(180, _GIVEN_UP_WITHIN_S)  # from then on the stage waits for sleepers only
    woke_s = time.monotonic()
    assert (await after.register(resident.credentials, contact=contact)).status == 200
    ring = await after.incoming(since_s=woke_s)
    assert ring.received.at_s - woke_s < _RINGS_WITHIN_S
    ring.ring()
    await call.ringing()
    await they_talk(call, ring)
    assert await call.bye() == 200
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["answered_by"]) == ("answered", resident.credentials.username)
    await after.register(resident.credentials, expires_s=0, contact="*")


@pytest.mark.parametrize("mark", ["", ";reg-id=1"])
async def test_an_app_that_names_itself_rings_at_the_address_at_which_it_wakes(scene: Scene, mark: str) -> None:
    """With `+sip.instance` Kamailio keeps one contact for it, whatever its address is (RFC 5626)."""
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("nobody registered")
    (resident,) = apartment.residents
    token = await sleeping_device(scene, resident, "fcm")
    before, after = await scene.peer(resident.address, 5090), await scene.peer(resident.address, 5070)
    names = f';+sip.instance="<urn:uuid:00000000-0000-1000-8000-000a95a0e128>"{mark}'
    contacts = [f"<sip:{resident.credentials.username}@{resident.address}:{port}>{names}" for port in (5090, 5070)]
    assert (await before.register(resident.credentials, contact=contacts[0])).status == 200
    since_s = time.monotonic()
    call = await (await scene.visitor(at)).call(at.credentials, number)
    await services.wait_for(token)
    await before.incoming(since_s=since_s)  # and says nothing
    woke_s = time.monotonic()
    answer = await after.register(resident.credentials, contact=contacts[1])
    assert answer.status == 200
    assert len(answer.get_all("Contact")) == 1, "one contact for one device"
    ring = await after.incoming(since_s=woke_s)
    assert ring.received.at_s - woke_s < _RINGS_WITHIN_S
    ring.ring()
    await call.ringing()
    assert (await after.register(resident.credentials, contact=contacts[1])).status == 200
    await they_talk(call, ring)
    assert await call.bye() == 200
    assert len(after.ringing) == 1
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["answered_by"]) == ("answered", resident.credentials.username)
    await after.register(resident.credentials, expires_s=0, contact="*")
