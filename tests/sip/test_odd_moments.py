"""What happens at the same moment, or should not happen at all: a defined end, and a true record."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers.digest import Credentials
from lab.peers.scripted import ScriptedPeer
from tests.sip.emergency_scene import until
from tests.sip.households import family, from_the_gate, kind_neighbour, nobody_home, the_neighbour
from tests.sip.ordinary import they_talk
from tests.sip.records import record_with_keys

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall
    from lab.peers.town import Apartment
    from tests.sip.scene import Scene


# Of as many each third left too early for the dialplan, and had no end.
_LEAVE_AT_ONCE = 20


async def _apartment_id(scene: Scene, apartment: Apartment) -> int:
    account = await scene.office.get(f"/v1/accounts/{apartment.residents[0].credentials.username}")
    return int(account["apartment_id"])


async def test_two_panels_call_one_apartment_at_once(scene: Scene) -> None:
    """Each visitor talks with the resident who took his call, and each key opens the door of its own call."""
    apartment, gate, at_gate = from_the_gate(scene.town)[0]
    entrance = next(p for p in scene.town.panels if p.credentials.username in apartment.dial and p != gate)
    home = await scene.home(apartment)
    there, here = await scene.visitor(gate), await scene.visitor(entrance)
    first, second = await asyncio.gather(
        there.call(gate.credentials, at_gate),
        here.call(entrance.credentials, apartment.dial[entrance.credentials.username]),
    )

    async def rings_of(name: str, who: int) -> IncomingCall:
        async def of_this_panel() -> list[IncomingCall]:
            return [ring for ring in home.phones[who][1].ringing if name in ring.invite.get("From")]

        found: list[IncomingCall] = await until(of_this_panel, bool)
        return found[0]

    one, two = await rings_of(gate.name, 0), await rings_of(entrance.name, 1)
    for ring in (one, two):
        ring.ring()
        ring.answer()
    await asyncio.gather(first.answered(), second.answered(), one.established(), two.established())
    await two.rtp.press("#")
    await second.rtp.wait_for_key(entrance.door_code[0], 3)
    await asyncio.gather(first.bye(), second.bye())
    for call, who, panel in ((first, 0, gate), (second, 1, entrance)):
        record = await scene.office.call_record(call.call_id)
        assert record["answered_by"] == apartment.residents[who].credentials.username
        assert record["panel"] == panel.credentials.username
    assert (await scene.office.call_record(first.call_id))["access_records"] == []
    assert len(await scene.office.access_records(second.call_id)) == 1


@pytest.mark.parametrize("order", ["answer first", "hang-up first"])
async def test_the_visitor_hangs_up_in_the_very_moment_of_the_answer(scene: Scene, order: str) -> None:
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await phone.incoming()
    ring.ring()
    await call.ringing()
    answered_s = time.monotonic()
    if order == "answer first":
        ring.answer()
        await call.cancel()
    else:
        ending = asyncio.create_task(call.cancel())
        await asyncio.sleep(0)
        ring.answer()
        await ending
    final = await call.final()
    if final.status == 200:
        await call.bye()
    over = await ring.wait_request("BYE", 5)
    record = await scene.office.call_record(call.call_id)
    # To the resident the call was answered, to the visitor it was not: nobody has talked, and either word is true.
    assert record["result"] in ({"answered"} if final.status == 200 else {"answered", "caller_hung_up"})
    assert record["talk_ms"] < (over.at_s - answered_s) * 1000 + 100


async def test_the_key_and_the_hang_up_at_once(scene: Scene) -> None:
    """Whatever came first: the call is over, and the record tells of at most one key, truthfully."""
    apartment, at, number = family(scene.town)
    phone, visitor = await scene.resident(apartment.residents[0]), await scene.visitor(at)
    for _ in range(3):
        began_s = time.monotonic()
        call = await visitor.call(at.credentials, number)
        ring = await phone.incoming(since_s=began_s)
        await they_talk(call, ring)
        await asyncio.gather(ring.rtp.press("#", duration_ms=60), _bye_a_little_later(ring))
        await call.wait_request("BYE", 5)
        record = await scene.office.call_record(call.call_id)
        assert record["result"] == "answered"
        assert [door["result"] for door in record["access_records"]] in ([], ["sent"])


async def _bye_a_little_later(ring: IncomingCall) -> None:
    await asyncio.sleep(0.07)  # the key's last packet is on its way
    await ring.bye()


async def test_ten_keys_open_once_in_two_seconds_and_the_talk_goes_on(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    for _ in range(10):
        await ring.rtp.press("#", duration_ms=60)
        await asyncio.sleep(0.05)
    await call.rtp.wait_for_key(at.door_code[0], 3)
    heard = ring.rtp.audible_packets
    await ring.rtp.wait_for_sound(3, packets=heard + 20)
    assert await call.bye() == 200
    heard = len([press for press in call.rtp.keys if press.key == at.door_code[0]])
    opened = [door for door in await scene.office.access_records(call.call_id, heard) if door["result"] == "sent"]
    assert 1 <= len(opened) <= 3
    assert heard == len(opened)


@pytest.mark.parametrize("who", ["resident", "visitor"])
async def test_a_transfer_is_refused_and_the_talk_goes_on(scene: Scene, who: str) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)
    side = ring if who == "resident" else call
    refer = side.request("REFER")
    refer.add("Refer-To", f"<sip:{number}@{scene.town.sip.domain}>")
    answer = await side.socket.send_request(refer).wait_final(3)
    assert answer.status == 405
    assert "REFER" not in answer.get("Allow")
    heard = ring.rtp.audible_packets
    await ring.rtp.wait_for_sound(3, packets=heard + 10)
    assert await call.bye() == 200


async def test_an_app_that_answers_with_a_codec_nobody_has(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await phone.incoming()
    ring.ring()
    ring.payload_types = (18,)  # G.729, which nobody offered
    ring.answer()
    final = await call.final(15)
    assert final.status >= 400
    await ring.wait_request("BYE", 5)
    record = await scene.office.call_record(call.call_id)
    assert record["result"] in {"no_answer", "failed"}


async def test_a_forged_answer_opens_no_door(scene: Scene) -> None:
    """A neighbour who may talk but not open says in his 200 that somebody else has answered."""
    apartment, at, number = kind_neighbour(scene.town)
    neighbour = await scene.resident(the_neighbour(scene.town))
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await neighbour.incoming()
    owner = apartment.residents[0].credentials.username
    ring.respond(ring.received, 200, ring.describe(), (("X-Entryphone-Answered-By", owner),))
    await call.answered()
    await ring.wait_request("ACK", 3)
    ring.rtp.talk()
    call.rtp.hush()
    await ring.rtp.press("#")
    heard = ring.rtp.audible_packets
    await ring.rtp.wait_for_sound(3, packets=heard + 20)
    await call.bye()
    record = await record_with_keys(scene, call.call_id)
    assert record["answered_by"] == the_neighbour(scene.town).credentials.username
    assert [door["result"] for door in record["access_records"]] == ["refused"]


async def test_a_plan_without_a_stage_is_nobody_home(scene: Scene) -> None:
    """Nobody of the apartment has an account."""
    _, at, number = scene.town.apartment("nobody has an account")
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await call.wait_status(183, 3)
    assert (await call.final(15)).status == 480
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["branches"]) == ("no_answer", [])


async def test_a_plan_whose_only_target_is_gone_is_nobody_home(scene: Scene) -> None:
    apartment, at, number = nobody_home(scene.town)
    home = await _apartment_id(scene, apartment)
    name = f"gone-{secrets.token_hex(4)}"
    await scene.office.send("POST", "/v1/accounts", {"account": name, "kind": "app", "apartment_id": home})
    stages = [{"ring_timeout_s": 10, "targets": [{"account": name}]}]
    async with scene.made("ring-plans", {"apartment_id": home, "stages": stages}):
        await scene.office.send("DELETE", f"/v1/accounts/{name}")
        await scene.felt()
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        await call.wait_status(183, 3)
        assert (await call.final(15)).status == 480
        assert (await scene.office.call_record(call.call_id))["result"] == "no_answer"


async def test_of_forty_targets_thirty_ring_and_one_answer_ends_the_others(scene: Scene) -> None:
    apartment, at, number = nobody_home(scene.town)
    home = await _apartment_id(scene, apartment)
    async with contextlib.AsyncExitStack() as exits:
        hall = await ScriptedPeer.open(scene.town.sip, "127.0.3.90", streams=40)
        exits.callback(hall.close)
        names = []
        for _ in range(40):
            name = f"many-{secrets.token_hex(5)}"
            body = {"account": name, "kind": "app", "apartment_id": home}
            made = await exits.enter_async_context(scene.made("accounts", body))
            credentials = Credentials(name, made["password"])
            exits.push_async_callback(hall.register, credentials, expires_s=0, contact="*")
            names.append(credentials)
        await scene.felt()
        for credentials in names:
            assert (await hall.register(credentials)).status == 200
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        # The apartment's own account, in a drawer, is the first of the thirty.
        for credentials in names[:29]:
            await hall.incoming(credentials.username)
        rings = list(hall.ringing)
        for ring in rings:
            ring.ring()
        rings[5].answer()
        await call.answered()
        await rings[5].established()
        for ring in rings:
            if ring is not rings[5]:
                await ring.wait_cancelled()
        await call.bye()
        record = await scene.office.call_record(call.call_id)
        assert len(rings) == len(hall.ringing) == 29
        assert len(record["branches"]) == 30


@pytest.mark.parametrize("dialled", ["an apartment", "112", "*112*"])
async def test_a_visitor_who_leaves_at_once_has_a_record_with_one_end(scene: Scene, dialled: str) -> None:
    """His CANCEL is often at the node before its dialplan has run a second step."""
    _, at, number = family(scene.town)
    visitor = await scene.visitor(at)
    wanted = number if dialled == "an apartment" else dialled
    calls = []
    for _ in range(_LEAVE_AT_ONCE):
        call = await visitor.call(at.credentials, wanted)
        await call.wait_status(100, 3)
        assert (await call.cancel()).status == 487
        calls.append(call.call_id)
    records = [await scene.office.call_record(call_id) for call_id in calls]
    assert {(record["panel"], record["dialled"]) for record in records} == {(at.credentials.username, wanted)}
    ends = [[line["result"] for line in record["story"] if line["event"] == "ended"] for record in records]
    assert ends == [[record["result"]] for record in records]
    # Nobody is at home, and no line leads to a dispatch centre here: that may have been found out before he left.
    found_out = {"no_answer"} if dialled == "an apartment" else {"no_answer", "failed"}
    assert {record["result"] for record in records} <= {"caller_hung_up", *found_out}
