"""What RFC 3261 asks of a proxy in the middle of a call, and of one that gets the same request twice."""

from __future__ import annotations

import asyncio
import json
import re
import secrets
import socket
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers import sdp
from tests.sip.emergency_scene import CITY_LINE, caller_of, emergency_record, panel_at
from tests.sip.households import family
from tests.sip.ordinary import the_key_opens, they_talk
from tests.sip.promises import in_most_tries
from tests.sip.records import record_with

if TYPE_CHECKING:
    from tests.sip.scene import Scene


async def test_contacts_survive_kill_9_and_the_phones_ring_without_registering_anew(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)

    await scene.restart("kamailio")

    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await home.all_ring()
    await call.cancel()


async def test_a_refresh_survives_kill_9_right_after_its_200(scene: Scene) -> None:
    """The row of a refreshed contact is written seconds later; until then the journal has it."""
    resident = family(scene.town)[0].residents[0]
    phone = await scene.resident(resident)
    account = resident.credentials.username
    await phone.register(resident.credentials)
    database = scene.stack.settings.lib / "location.db"

    async def on_its_way() -> tuple[int, list[str]]:
        refreshed = await phone.register(resident.credentials)
        assert refreshed.status == 200
        return refreshed.cseq, [path.name for path in database.parent.glob(f"{database.name}-refreshes.*")]

    cseq, _ = await in_most_tries(on_its_way, lambda seen: bool(seen[1]))

    await scene.restart("kamailio")

    answer = await scene.rpc("ul.lookup", "location", account)
    cseqs = [int(digits) for digits in re.findall(r'"CSeq": (\d+)', json.dumps(answer))]
    assert cseqs == [cseq]


async def test_two_phones_of_one_account_both_ring(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    resident = apartment.residents[0]
    first = await scene.resident(resident)
    second = await scene.peer(resident.address, port=5062)
    assert (await second.register(resident.credentials)).status == 200
    visitor = await scene.visitor(at)

    call = await visitor.call(at.credentials, number)
    rings = await asyncio.gather(first.incoming(), second.incoming())
    for ring in rings:
        ring.ring()  # a branch without a provisional answer could not be cancelled (RFC 3261 section 9.1)
    rings[1].answer()
    await call.answered()

    await rings[0].wait_cancelled()
    assert rings[0].answered_elsewhere
    await call.bye()


async def test_an_app_at_its_eleventh_address_rings_there(scene: Scene) -> None:
    """One that leaves a contact behind at each start; the oldest makes room."""
    apartment, at, number = family(scene.town)
    resident = apartment.residents[0]
    peers = [await scene.peer(resident.address, port, 1) for port in range(5100, 5111)]
    for peer in peers:
        assert (await peer.register(resident.credentials)).status == 200
    since_s = time.monotonic()
    call = await (await scene.visitor(at)).call(at.credentials, number)
    await peers[-1].incoming(since_s=since_s)
    await peers[1].incoming(since_s=since_s)
    assert peers[0].ringing == []
    await call.cancel()
    await peers[0].register(resident.credentials, expires_s=0, contact="*")


@pytest.mark.parametrize("asks", ["", ";rport"])
async def test_a_phone_behind_nat_is_answered_although_it_does_not_ask_for_that(scene: Scene, asks: str) -> None:
    """Its neighbour has the port that its Via names, as the router gave that to whom asked for it first."""
    apartment, _, _ = family(scene.town)
    name, domain = apartment.residents[0].credentials.username, scene.town.sip.domain
    with socket.socket(type=socket.SOCK_DGRAM) as phone, socket.socket(type=socket.SOCK_DGRAM) as neighbour:
        for one, port in ((phone, 41001), (neighbour, 5060)):
            one.bind(("127.0.2.99", port))
            one.settimeout(3.0)
        request = (
            f"REGISTER sip:{domain} SIP/2.0\r\nVia: SIP/2.0/UDP 192.168.1.10:5060;branch=z9hG4bK{secrets.token_hex(8)}"
            f"{asks}\r\nMax-Forwards: 70\r\nFrom: <sip:{name}@{domain}>;tag=1\r\nTo: <sip:{name}@{domain}>\r\n"
            f"Call-ID: {secrets.token_hex(8)}\r\nCSeq: 1 REGISTER\r\nContact: <sip:{name}@192.168.1.10:5060>\r\n"
            "Content-Length: 0\r\n\r\n"
        )
        phone.sendto(request.encode(), (scene.town.sip.address, scene.town.sip.port))
        answer = await asyncio.to_thread(phone.recv, 4000)
        assert answer.startswith(b"SIP/2.0 401 ")
        neighbour.setblocking(False)
        with pytest.raises(BlockingIOError):
            neighbour.recv(4000)


async def test_a_phone_that_unregistered_does_not_ring(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    gone = await scene.resident(apartment.residents[0])
    here = await scene.resident(apartment.residents[1])
    assert (await gone.register(apartment.residents[0].credentials, expires_s=0)).status == 200
    visitor = await scene.visitor(at)

    call = await visitor.call(at.credentials, number)
    await here.incoming()

    await call.cancel()
    assert gone.ringing == []


async def test_a_re_invite_reaches_the_other_side_of_the_call(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    call, ring, _ = await scene.talk(apartment, at, number)

    description = sdp.write(ring.socket.address, ring.rtp.port, version=2)
    assert (await ring.reinvite(description)).status == 200

    before = call.rtp.packets
    await call.rtp.wait_for_packets(before + 25, 3)  # half a second of sound after the change
    assert await call.bye() == 200
    await ring.wait_request("BYE", 3)


async def test_max_forwards_zero_is_483(scene: Scene) -> None:
    _, at, number = family(scene.town)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number, max_forwards=0)
    assert (await call.final()).status == 483


async def test_a_call_that_returns_to_the_proxy_is_stopped(scene: Scene) -> None:
    """A contact that is the proxy itself would call in circles."""
    apartment, at, number = family(scene.town)
    resident = apartment.residents[0]
    peer = await scene.resident(resident)
    proxy = f"<sip:{resident.credentials.username}@{scene.town.sip.address}:{scene.town.sip.port}>"
    registered = await peer.register(resident.credentials, contact=proxy)
    visitor = await scene.visitor(at)

    call = await visitor.call(at.credentials, number)

    if registered.status == 200:  # a registrar may as well refuse such a contact
        ring = await peer.incoming()
        ring.reject(486)
        assert (await call.final(10)).status >= 400
    else:
        await call.cancel()


async def test_a_retransmitted_invite_rings_once(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await phone.incoming()
    transaction = call.transaction
    assert transaction is not None

    for _ in range(5):
        visitor.socket.send_bytes(transaction.request.encode())
    ring.ring()
    await call.ringing()

    await call.cancel()
    assert len(phone.ringing) == 1


async def test_a_late_200_after_the_cancel_does_not_leave_a_call_behind(scene: Scene) -> None:
    """The phone answers in the moment the visitor walks away: it must be told that the call is over."""
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await phone.incoming()
    ring.ring()
    await call.ringing()

    ring.answer()
    await call.cancel()
    final = await call.final()
    if final.status == 200:  # the answer won the race
        await call.bye()

    await ring.wait_request("BYE", 5)


async def test_the_ack_of_a_refusal_is_taken_with_the_route_that_its_invite_had(scene: Scene) -> None:
    """A panel with an outbound proxy set has a Route in its INVITE, and so in this ACK (RFC 3261, 17.1.1.3)."""
    apartment, at, number = family(scene.town)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    route = f"<sip:{scene.town.sip.address}:{scene.town.sip.port};lr>"

    async def refusals() -> int:
        since_s = time.monotonic()
        call = await visitor.call(at.credentials, number, headers=(("Route", route),))
        (await phone.incoming(since_s=since_s)).ring()
        await call.ringing()
        assert (await call.cancel()).status == 487
        await asyncio.sleep(1.2)  # one whose ACK is missed is said again every half a second (timer G)
        return call.statuses.count(487)

    await in_most_tries(refusals, lambda count: count == 1)  # a proxy that stands still has the ACK late


# Every sign that a Call-ID may hold beside letters and digits (RFC 3261, 25.1 "word"); brackets without their pairs.
_SIGNS = "-.!%*_+`'~(<:\\\"/[?{"


@pytest.mark.parametrize("signs", [_SIGNS, "(", ")]}>"])
async def test_a_call_id_may_hold_any_sign(scene: Scene, signs: str) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number, call_id=f"{secrets.token_hex(6)}{signs}@{secrets.token_hex(3)}")
    rings = await home.all_ring()
    rings[0].answer()
    await call.answered()
    await rings[0].established()
    await the_key_opens(call, rings[0], at)
    await call.bye()
    await rings[0].wait_request("BYE", 3)

    record = await record_with(
        scene, call.call_id, lambda told: any(event["event"] == "door" for event in told["story"])
    )
    assert (record["panel"], record["dialled"], record["result"]) == (at.credentials.username, number, "answered")


@pytest.mark.usefixtures("patient_leases")
async def test_a_call_to_112_is_told_apart_whatever_its_call_id(scene: Scene) -> None:
    at = panel_at(scene)
    centre = await scene.peer(CITY_LINE)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, "112", call_id=f"{secrets.token_hex(6)}(")
    ring = await centre.incoming("112", 8)
    await they_talk(call, ring)
    await call.bye()
    record = await emergency_record(scene, call.call_id)
    assert (record["panel"], record["result"]) == (at.credentials.username, "answered")
    assert caller_of(ring) in scene.emergency["pool"], "its own number, not the shared one"


async def test_a_bye_for_no_call_is_481(scene: Scene) -> None:
    _, at, _ = family(scene.town)
    visitor = await scene.visitor(at)
    bye = visitor.request("BYE", f"sip:nobody@{scene.town.sip.domain}", at.credentials.username)
    bye.replace("To", bye.get("To") + ";tag=made-up")
    assert (await visitor.send(bye)).status in (403, 404, 481)
