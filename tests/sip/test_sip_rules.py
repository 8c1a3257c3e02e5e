"""What RFC 3261 asks of a proxy in the middle of a call, and of one that gets the same request twice."""

from __future__ import annotations

import asyncio
import json
import re
from typing import TYPE_CHECKING

from lab.peers import sdp
from lab.probes import kamailio_rpc
from tests.sip.households import family

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
    refreshed = await phone.register(resident.credentials)
    assert refreshed.status == 200
    database = scene.stack.settings.lib / "location.db"
    assert list(database.parent.glob(f"{database.name}-refreshes.*")), "no refresh is on its way to the database"

    await scene.restart("kamailio")

    rpc_socket = scene.stack.settings.run / "kamailio" / "rpc.sock"
    answer = await asyncio.to_thread(kamailio_rpc, rpc_socket, "ul.lookup", "location", account)
    cseqs = [int(digits) for digits in re.findall(r'"CSeq": (\d+)', json.dumps(answer))]
    assert cseqs == [refreshed.cseq]


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


async def test_a_phone_that_unregistered_does_not_ring(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    gone = await scene.resident(apartment.residents[0])
    here = await scene.resident(apartment.residents[1])
    assert (await gone.register(apartment.residents[0].credentials, expires_s=0)).status == 200
    visitor = await scene.visitor(at)

    call = await visitor.call(at.credentials, number)
    await here.incoming()

    assert gone.ringing == []
    await call.cancel()


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
    assert (await call.final(1)).status == 483


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

    assert len(phone.ringing) == 1
    await call.cancel()


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
    call = await visitor.call(at.credentials, number, headers=(("Route", route),))
    (await phone.incoming()).ring()
    await call.ringing()
    assert (await call.cancel()).status == 487
    await asyncio.sleep(1.2)  # a refusal whose ACK is missed is said again every half a second (timer G)
    assert call.statuses.count(487) == 1


async def test_a_bye_for_no_call_is_481(scene: Scene) -> None:
    _, at, _ = family(scene.town)
    visitor = await scene.visitor(at)
    bye = visitor.request("BYE", f"sip:nobody@{scene.town.sip.domain}", at.credentials.username)
    bye.replace("To", bye.get("To") + ";tag=made-up")
    assert (await visitor.send(bye, timeout_s=1)).status in (403, 404, 481)
