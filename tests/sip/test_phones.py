"""The resident's own phone: dialled through a carrier, with another carrier when the first fails."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from lab.peers import digest
from lab.probes import kamailio_rpc
from tests.sip.carriers import FIRST, SECOND, a_phone_is_dialled, dialled, either
from tests.sip.emergency_scene import rested, until
from tests.sip.ordinary import they_talk
from tests.sip.records import record_with, record_with_keys
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.peers.calls import IncomingCall
    from lab.peers.scripted import ScriptedPeer
    from lab.peers.transactions import Received
    from tests.sip.scene import Scene

_SECOND_LOGIN = ("entryphone", "carrier-b-secret")


async def _challenged(carrier: ScriptedPeer, number: str) -> IncomingCall:
    """The second carrier asks for a password, and takes only the right one."""
    first = await dialled(carrier, number)
    challenge = 'Digest realm="127.0.3.2", nonce="n0nce", algorithm=MD5'
    first.respond(first.received, 407, headers=(("Proxy-Authenticate", challenge),))
    again = await carrier.incoming(number, since_s=first.received.at_s + 1e-6)
    assert again.invite.cseq > first.invite.cseq
    await first.wait_request("ACK", 5)
    given = again.invite.get("Proxy-Authorization")
    user, password = _SECOND_LOGIN
    expected = digest.Credentials(user, password)
    right = digest.authorization(digest.parse_challenge(challenge), expected, "INVITE", again.invite.uri)
    assert _response_of(given) == _response_of(right), given
    return again


def _response_of(header: str) -> str:
    return header.partition('response="')[2].partition('"')[0]


async def test_the_visitor_hears_ringing_while_a_carrier_says_183_and_nothing_else(scene: Scene) -> None:
    call, leg = await a_phone_is_dialled(scene)
    leg.respond(leg.received, 183)
    await call.wait_status(180, 3)
    await call.cancel()


async def test_the_visitor_hears_ringing_while_two_phones_have_sounds_of_their_own(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("presses a key first")
    carrier, other = await scene.peer(FIRST), await scene.peer(SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    for leg in await asyncio.gather(*(either(carrier, other, mobile.number) for mobile in apartment.mobiles)):
        leg.show_early_media()
    await call.wait_status(180, 3)
    await call.cancel()


async def test_a_phone_rings_opens_and_is_paid_for(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    carrier = await scene.peer(FIRST)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)

    ring = await dialled(carrier, mobile.number)
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

    record = await record_with_keys(scene, call.call_id)
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
    first, second = await scene.peer(FIRST), await scene.peer(SECOND)
    visitor = await scene.visitor(at)
    await rested(scene)
    call = await visitor.call(at.credentials, number)
    (await dialled(first, mobile.number)).reject(status)
    ring = await _challenged(second, mobile.number)
    assert "+74952220002@" in ring.invite.get("From")
    await they_talk(call, ring)
    await call.bye()
    record = await scene.office.call_record(call.call_id)
    assert record["answered_by"] == mobile.account
    assert record["branches"][-1]["outcome"] == "answered"
    (leg,) = await scene.office.phone_legs(call.call_id, 1)
    assert (leg["trunk"], leg["cost_micros"]) == ("carrier-b", 19_000)


async def test_a_phone_stops_ringing_when_the_node_that_has_dialled_it_dies(scene: Scene) -> None:
    """It is rung once more, by the other node: it must not be busy with a call of nobody."""
    await rested(scene)
    (mobile,) = scene.town.apartment("phone only")[0].mobiles
    call, ring = await a_phone_is_dialled(scene)
    ring.ring()
    await call.ringing()
    described = ring.invite.body.decode()
    nodes = scene.stack.settings.asterisk_nodes

    await scene.kill(next(name for name, address in nodes.items() if address in described))

    await ring.wait_cancelled(10)
    carrier = await scene.peer(FIRST)
    again = await dialled(carrier, mobile.number, 10, ring.received.at_s + 1e-6)
    await they_talk(call, again)
    assert await call.bye() == 200


async def test_a_carrier_that_never_answers_gives_way(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    second = await scene.peer(SECOND)
    visitor = await scene.visitor(at)
    await rested(scene)
    watch = Stopwatch()
    call = await visitor.call(at.credentials, number)
    ring = await _challenged(second, mobile.number)
    assert watch.took_s < 4
    ring.reject(486)
    final = await call.final(15)
    assert final.status == 486
    record = await record_with(scene, call.call_id, lambda told: len(told["branches"]) > 1)  # of each carrier
    assert record["result"] == "busy"
    assert record["branches"][-1]["outcome"] == "busy"


async def test_a_phone_that_declines_is_not_tried_through_another_carrier(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    first, second = await scene.peer(FIRST), await scene.peer(SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)

    async def declined(carrier: ScriptedPeer) -> None:
        (await dialled(carrier, mobile.number)).reject(603)

    tasks = {asyncio.create_task(declined(first)), asyncio.create_task(declined(second))}
    done, waiting = await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED, timeout=5)
    assert len(done) == 1
    await call.final(15)
    for task in waiting:
        assert not task.done()
        task.cancel()
    record = await scene.office.call_record(call.call_id, branches=1)
    assert [branch["outcome"] for branch in record["branches"]] == ["declined"]


async def test_the_phone_rings_when_the_app_does_not_answer(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("the app, then his phone")
    (mobile,) = apartment.mobiles
    home = await scene.home(apartment)
    carrier, other = await scene.peer(FIRST), await scene.peer(SECOND)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    (app,) = await home.all_ring()

    ring = await either(carrier, other, mobile.number, 12)
    await app.wait_cancelled()
    ring.ring()
    assert (await call.cancel()).status == 487
    await ring.wait_cancelled()
    record = await scene.office.call_record(call.call_id, branches=2)
    assert record["result"] == "caller_hung_up"
    assert {(branch["stage"], branch["outcome"]) for branch in record["branches"]} == {
        (0, "cancelled"),
        (1, "cancelled"),
    }


async def _no_phone_isdialled(scene: Scene, carriers: Sequence[ScriptedPeer]) -> None:
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
async def test_a_phone_that_the_company_does_not_pay_for_is_notdialled(scene: Scene, rules: dict[str, Any]) -> None:
    carriers = [await scene.peer(address) for address in (FIRST, SECOND)]
    async with scene.company_with(**rules):
        await _no_phone_isdialled(scene, carriers)


async def test_the_minute_that_uses_up_the_month_is_the_last(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    first, second = carriers = await scene.peer(FIRST), await scene.peer(SECOND)
    plan = await scene.office.get(f"/v1/ring-plans/{at.credentials.username}/{number}")
    path = f"/v1/companies/{plan['company_id']}/phone-statement?month={datetime.now(UTC):%Y-%m}"

    async def charged() -> tuple[int, int]:
        rows = (await scene.office.get(path))["apartments"]
        own = [row for row in rows if row["apartment_id"] == plan["apartment_id"]]
        return sum(row["billed_s"] for row in own), sum(row["calls"] for row in own)

    used_s, calls = await charged()
    async with scene.company_with(apartment_phone_minutes=used_s // 60 + 1):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        ring = await either(first, second, mobile.number)
        await they_talk(call, ring)
        await call.bye()
        await scene.office.phone_legs(call.call_id, 1)
        assert await charged() == (used_s + 60, calls + 1)
        await scene.felt()
        await _no_phone_isdialled(scene, carriers)


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
        call, ring = await a_phone_is_dialled(scene, "127.0.0.1")
        assert ring.invite.uri.endswith("@localhost:5060"), "the carrier reads the name that it was given"
        await they_talk(call, ring)
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
        contact = await asyncio.wait_for(registered.get(), 20)
        assert f"@{scene.town.sip.address}:" in contact
    finally:
        await scene.office.send("DELETE", f"/v1/trunks/{made['id']}")
