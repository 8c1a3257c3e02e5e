"""The resident's own phone: dialled through a carrier, with another carrier when the first fails."""

from __future__ import annotations

import asyncio
import contextlib
import time
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from lab.peers import digest
from lab.probes import kamailio_rpc
from tests.sip.emergency_scene import rested, until

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Sequence

    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.scripted import ScriptedPeer
    from lab.peers.town import Panel
    from lab.peers.transactions import Received
    from tests.sip.scene import Scene

_FIRST, _SECOND = "127.0.3.1", "127.0.3.2"
_SECOND_LOGIN = ("entryphone", "carrier-b-secret")


async def _dialled(carrier: ScriptedPeer, number: str, timeout_s: float = 5.0, since_s: float = 0.0) -> IncomingCall:
    call = await carrier.incoming(number, timeout_s, since_s)
    assert not [name for name, _ in call.invite.headers if name.lower().startswith("x-entryphone")]
    return call


async def _challenged(carrier: ScriptedPeer, number: str) -> IncomingCall:
    """The second carrier asks for a password, and takes only the right one."""
    first = await _dialled(carrier, number)
    challenge = 'Digest realm="127.0.3.2", nonce="n0nce", algorithm=MD5'
    first.respond(first.received, 407, headers=(("Proxy-Authenticate", challenge),))
    again = await carrier.incoming(number, since_s=first.received.at_s + 1e-6)
    assert again.invite.cseq > first.invite.cseq
    await first.wait_request("ACK", 2)
    given = again.invite.get("Proxy-Authorization")
    user, password = _SECOND_LOGIN
    expected = digest.Credentials(user, password)
    right = digest.authorization(digest.parse_challenge(challenge), expected, "INVITE", again.invite.uri)
    assert _response_of(given) == _response_of(right), given
    return again


def _response_of(header: str) -> str:
    return header.partition('response="')[2].partition('"')[0]


async def test_a_phone_rings_opens_and_is_paid_for(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    carrier = await scene.peer(_FIRST)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)

    ring = await _dialled(carrier, mobile.number)
    ring.ring()
    await call.ringing()
    assert "+74951110001@" in ring.invite.get("From")
    assert "+74951110001@" in ring.invite.get("P-Asserted-Identity")
    ring.answer()
    await call.answered()
    await ring.established()
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await ring.bye()
    await call.wait_request("BYE", 3)

    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["answered_by"]) == ("answered", mobile.account)
    (branch,) = record["branches"]
    assert (branch["account"], branch["outcome"], branch["contact"]) == (mobile.account, "answered", mobile.number)
    assert [opening["result"] for opening in record["access_records"]] == ["sent"]
    (leg,) = await scene.office.phone_legs(call.call_id, 1)
    assert (leg["trunk"], leg["billed_s"], leg["cost_micros"], leg["connected"]) == ("carrier-a", 60, 14_000, True)
    story = (await scene.office.call_record(call.call_id))["story"]
    told = [line["event"] for line in story]
    assert told[0] == "dialled"
    assert {"branch", "door", "phone", "ended"} <= set(told)
    assert [line["hung_up_by"] for line in story if line["event"] == "ended"] == ["callee"]
    assert [line["at_ms"] for line in story] == sorted(line["at_ms"] for line in story)


@pytest.mark.parametrize("status", [503, 403])
async def test_a_carrier_that_fails_gives_way_to_the_next_which_wants_a_password(scene: Scene, status: int) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    first, second = await scene.peer(_FIRST), await scene.peer(_SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    tried = asyncio.create_task(_dialled(first, mobile.number))
    taken = asyncio.create_task(_challenged(second, mobile.number))
    done, _ = await asyncio.wait({tried, taken}, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    if tried in done:  # it rests for half a minute after another story
        tried.result().reject(status)
    ring = await taken
    tried.cancel()
    assert "+74952220002@" in ring.invite.get("From")
    ring.ring()
    ring.answer()
    await call.answered()
    await ring.established()
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert record["answered_by"] == mobile.account
    assert record["branches"][-1]["outcome"] == "answered"
    (leg,) = await scene.office.phone_legs(call.call_id, 1)
    assert (leg["trunk"], leg["cost_micros"]) == ("carrier-b", 19_000)


async def test_a_phone_stops_ringing_when_the_node_that_has_dialled_it_dies(scene: Scene) -> None:
    """It is rung once more, by the other node: it must not be busy with a call of nobody."""
    await rested(scene)
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    carrier = await scene.peer(_FIRST)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await _dialled(carrier, mobile.number)
    ring.ring()
    await call.ringing()
    described = ring.invite.body.decode()
    nodes = scene.stack.settings.asterisk_nodes

    await scene.kill(next(name for name, address in nodes.items() if address in described))

    await ring.wait_cancelled(10)
    again = await _dialled(carrier, mobile.number, 10, ring.received.at_s + 1e-6)
    again.ring()
    again.answer()
    await call.answered()
    await again.established()
    assert await call.bye() == 200


async def test_a_carrier_that_never_answers_gives_way(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    second = await scene.peer(_SECOND)
    visitor = await scene.visitor(at)
    began_s = time.monotonic()
    call = await visitor.call(at.credentials, number)
    ring = await _challenged(second, mobile.number)
    assert time.monotonic() - began_s < 4
    ring.reject(486)
    final = await call.final(15)
    assert final.status == 486
    record = await scene.office.call_record(call.call_id)
    assert record["result"] == "busy"
    assert record["branches"][-1]["outcome"] == "busy"


async def test_a_phone_that_declines_is_not_tried_through_another_carrier(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    first, second = await scene.peer(_FIRST), await scene.peer(_SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)

    async def declined(carrier: ScriptedPeer) -> None:
        (await _dialled(carrier, mobile.number)).reject(603)

    tasks = {asyncio.create_task(declined(first)), asyncio.create_task(declined(second))}
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert len(done) == 1
    await call.final(15)
    for task in waiting:
        assert not task.done()
        task.cancel()
    record = await scene.office.call_record(call.call_id)
    assert [branch["outcome"] for branch in record["branches"]] == ["declined"]


async def test_the_phone_rings_when_the_app_does_not_answer(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("the app, then his phone")
    (mobile,) = apartment.mobiles
    home = await scene.home(apartment)
    carrier, other = await scene.peer(_FIRST), await scene.peer(_SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    (app,) = await home.all_ring()

    ring = await _either(carrier, other, mobile.number, 8)
    await app.wait_cancelled()
    ring.ring()
    assert (await call.cancel()).status == 487
    await ring.wait_cancelled()
    record = await scene.office.call_record(call.call_id)
    assert record["result"] == "caller_hung_up"
    assert {(branch["stage"], branch["outcome"]) for branch in record["branches"]} == {
        (0, "cancelled"),
        (1, "cancelled"),
    }


async def test_an_answering_machine_presses_no_key_and_the_app_rings_on(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("presses a key first")
    home = await scene.home(apartment)
    carrier, other = await scene.peer(_FIRST), await scene.peer(_SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    (app,) = await home.all_ring()
    numbers = [mobile.number for mobile in apartment.mobiles]
    machine_leg, person_leg = await asyncio.gather(*(_either(carrier, other, number) for number in numbers))
    for leg in (machine_leg, person_leg):
        leg.ring()
    machine_leg.answer()
    await machine_leg.established()
    await machine_leg.rtp.wait_for_sound(3)
    await machine_leg.wait_request("BYE", 25)  # nobody pressed a key
    assert 200 not in call.statuses
    assert app.cancelled is None

    person_leg.answer()
    await person_leg.established()
    await person_leg.rtp.press("1")
    await call.answered()
    await app.wait_cancelled()
    assert app.answered_elsewhere, app.reason
    await person_leg.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()
    legs = {leg["account"]: leg["connected"] for leg in await scene.office.phone_legs(call.call_id, 2)}
    assert legs == {apartment.mobiles[0].account: False, apartment.mobiles[1].account: True}
    record = await scene.office.call_record(call.call_id)
    assert record["answered_by"] == apartment.mobiles[1].account


async def _confirmed(scene: Scene, key: str) -> tuple[OutgoingCall, IncomingCall, Panel]:
    """A resident has answered a phone and pressed this key to be connected."""
    apartment, at, number = scene.town.apartment("presses a key first")
    carrier, other = await scene.peer(_FIRST), await scene.peer(_SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    leg = await _either(carrier, other, apartment.mobiles[0].number)
    leg.ring()
    leg.answer()
    await leg.established()
    await leg.rtp.wait_for_sound(3)
    assert 200 not in call.statuses
    await leg.rtp.press(key)
    return call, leg, at


async def test_any_key_connects_a_phone_also_the_one_that_opens(scene: Scene) -> None:
    call, leg, _ = await _confirmed(scene, "#")
    await call.answered()
    await leg.rtp.wait_for_sound(3)
    assert call.rtp.keys == []
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["access_records"]) == ("answered", [])


async def test_a_door_code_with_the_keys_own_signs_passes_the_local_channel_of_a_phone(scene: Scene) -> None:
    account = scene.town.apartment("presses a key first")[1].credentials.username
    panels = (await scene.office.get("/v1/panels?limit=200"))["items"]
    panel = next(row for row in panels if row["account"] == account)
    usual = [{name: door[name] for name in ("output", "name", "method", "dtmf")} for door in panel["doors"]]
    await scene.office.send("PATCH", f"/v1/panels/{panel['id']}", {"doors": [usual[0] | {"dtmf": "*7#"}]})
    try:
        await scene.felt()
        call, leg, _ = await _confirmed(scene, "1")
        await call.answered()
        await leg.rtp.press("#")
        await call.rtp.wait_for_key("#", 3)
        await asyncio.sleep(0.5)  # nothing comes after it
        assert "".join(press.key for press in call.rtp.keys) == "*7#"
        await call.bye()
        record = await scene.office.call_record(call.call_id)
        assert [opening["result"] for opening in record["access_records"]] == ["sent"]
    finally:
        await scene.office.send("PATCH", f"/v1/panels/{panel['id']}", {"doors": usual})
        await scene.felt()


@contextlib.asynccontextmanager
async def _company_with(scene: Scene, **rules: Any) -> AsyncIterator[None]:
    company = (await scene.office.get("/v1/companies"))["items"][0]
    path = f"/v1/companies/{company['id']}"
    await scene.office.send("PATCH", path, rules)
    await scene.felt()
    try:
        yield
    finally:
        await scene.office.send("PATCH", path, {name: company[name] for name in rules})
        await scene.felt()


async def _no_phone_is_dialled(scene: Scene, carriers: Sequence[ScriptedPeer]) -> None:
    """The visitor hears that nobody is there, and no carrier hears of his call."""
    _, at, number = scene.town.apartment("phone only")
    before = [len(carrier.ringing) for carrier in carriers]
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await call.wait_status(183, 3)
    await call.rtp.wait_for_sound(3)
    assert (await call.final(15)).status == 480
    assert [len(carrier.ringing) for carrier in carriers] == before
    record = await scene.office.call_record(call.call_id)
    assert (record["result"], record["branches"], record["phone_legs"]) == ("no_answer", [], [])


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param({"phone_countries": "KZ,BY"}, id="countries"),
        pytest.param({"phone_minutes": 0}, id="minutes of the company"),
        pytest.param({"apartment_phone_minutes": 0}, id="minutes of a household"),
    ],
)
async def test_a_phone_that_the_company_does_not_pay_for_is_not_dialled(scene: Scene, rules: dict[str, Any]) -> None:
    carriers = [await scene.peer(address) for address in (_FIRST, _SECOND)]
    async with _company_with(scene, **rules):
        await _no_phone_is_dialled(scene, carriers)


async def test_the_minute_that_uses_up_the_month_is_the_last(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    first, second = carriers = await scene.peer(_FIRST), await scene.peer(_SECOND)
    plan = await scene.office.get(f"/v1/ring-plans/{at.credentials.username}/{number}")
    path = f"/v1/companies/{plan['company_id']}/phone-statement?month={datetime.now(UTC):%Y-%m}"

    async def charged() -> tuple[int, int]:
        rows = (await scene.office.get(path))["apartments"]
        own = [row for row in rows if row["apartment_id"] == plan["apartment_id"]]
        return sum(row["billed_s"] for row in own), sum(row["calls"] for row in own)

    used_s, calls = await charged()
    async with _company_with(scene, apartment_phone_minutes=used_s // 60 + 1):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        ring = await _either(first, second, mobile.number)
        ring.ring()
        ring.answer()
        await call.answered()
        await ring.established()
        await call.bye()
        await scene.office.phone_legs(call.call_id, 1)
        assert await charged() == (used_s + 60, calls + 1)
        await scene.felt()
        await _no_phone_is_dialled(scene, carriers)


async def _either(first: ScriptedPeer, second: ScriptedPeer, number: str, timeout_s: float = 5.0) -> IncomingCall:
    """The leg to a number, through whichever carrier is used."""
    tasks = {asyncio.create_task(_dialled(peer, number, timeout_s)) for peer in (first, second)}
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
    for task in waiting:
        task.cancel()
    return done.pop().result()


async def test_a_carrier_known_by_name_is_reached_although_no_worker_can_ask_dns(scene: Scene) -> None:
    """The servers of these stories have no DNS; the name is in their file of hosts, which only the keeper reads."""
    (trunk,) = (await scene.office.get("/v1/trunks?name=carrier-a"))["items"]
    rpc = scene.stack.settings.run / "kamailio" / "rpc.sock"

    async def known() -> str:
        return str(await asyncio.to_thread(kamailio_rpc, rpc, "htable.get", "trunk_addresses", "localhost"))

    await scene.office.send("PATCH", f"/v1/trunks/{trunk['id']}", {"address": "localhost:5060"})
    try:
        await until(known, lambda told: "127.0.0.1" in told)
        await rested(scene)
        apartment, at, number = scene.town.apartment("phone only")
        (mobile,) = apartment.mobiles
        carrier = await scene.peer("127.0.0.1")
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        ring = await _dialled(carrier, mobile.number)
        assert ring.invite.uri.endswith("@localhost:5060"), "the carrier reads the name that it was given"
        ring.ring()
        ring.answer()
        await call.answered()
        await ring.established()
        await call.bye()
    finally:
        await scene.office.send("PATCH", f"/v1/trunks/{trunk['id']}", {"address": trunk["address"]})


async def test_a_carrier_at_which_we_register_with_a_password(scene: Scene) -> None:
    registrar = await scene.peer("127.0.3.3")
    challenge = 'Digest realm="carriers", nonce="n0nce", algorithm=MD5'
    login = digest.Credentials("entryphone", "a secret")
    registered: asyncio.Queue[str] = asyncio.Queue()

    def take(got: Received) -> None:
        given = got.message.get("Authorization")
        if not given:
            registrar.answer_outside(got, 401, (("WWW-Authenticate", challenge),))
            return
        right = digest.authorization(digest.parse_challenge(challenge), login, "REGISTER", got.message.uri)
        assert _response_of(given) == _response_of(right), given
        contact = got.message.get("Contact")
        registrar.answer_outside(got, 200, (("Contact", f"{contact};expires=300"),))
        registered.put_nowait(contact)

    registrar.on_register = take
    body = {
        "name": "carrier-c", "address": "127.0.3.3", "username": "entryphone", "password": "a secret",
        "realm": "carriers", "registers": True,
    }  # fmt: skip
    made = await scene.office.send("POST", "/v1/trunks", body)
    try:
        contact = await asyncio.wait_for(registered.get(), 10)
        assert f"@{scene.town.sip.address}:" in contact
    finally:
        await scene.office.send("DELETE", f"/v1/trunks/{made['id']}")
