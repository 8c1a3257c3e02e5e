"""Nobody is taken for somebody else, and nobody leads calls to where he wants."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.peers import digest, message
from lab.peers.message import SipMessage
from tests.sip.emergency_scene import CITY_LINE
from tests.sip.households import family
from tests.sip.ordinary import a_good_call, the_family_is_rung, they_talk

if TYPE_CHECKING:
    from lab.peers.digest import Credentials
    from lab.peers.scripted import ScriptedPeer
    from tests.sip.scene import Scene


async def _with_two_credentials(
    peer: ScriptedPeer, asked: SipMessage, own: Credentials, claimed: str, names: tuple[str, str]
) -> SipMessage:
    """Answer the challenge by our own password under another's name; before that, our own name for another realm.

    The second header is right in all but the name: the name is no part of the response, only of HA1.
    """
    first, second = names
    challenged = await peer.send(asked)
    challenge = digest.parse_challenge(challenged.get("WWW-Authenticate") or challenged.get("Proxy-Authenticate"))
    answer = digest.authorization(challenge, own, asked.method, asked.uri)
    again = SipMessage(asked.start_line, [pair for pair in asked.headers if pair[0] != "Via"], asked.body)
    again.replace("CSeq", f"{asked.cseq + 1} {asked.method}")
    again.add(
        first, f'Digest username="{own.username}", realm="elsewhere", nonce="x", uri="sip:x", response="{"0" * 32}"'
    )
    again.add(second, answer.replace(f'username="{own.username}"', f'username="{claimed}"'))
    return await peer.send(again)


@pytest.mark.usefixtures("nothing_is_said_twice")
async def test_nobody_registers_as_another_account_by_two_credentials(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    victim = apartment.residents[0].credentials.username
    stranger = next(place for place in scene.town.apartments if place != apartment and place.residents).residents[0]
    peer = await scene.peer(stranger.address)
    asked = peer.request("REGISTER", f"sip:{scene.town.sip.domain}", victim)

    names = ("Proxy-Authorization", "Authorization")
    answer = await _with_two_credentials(peer, asked, stranger.credentials, victim, names)

    assert answer.status == 403
    await scene.log_line("kamailio", "From or To names another", f"call_id={asked.get('Call-ID')}")
    await a_good_call(scene)
    assert peer.ringing == []


async def test_nobody_calls_as_a_panel_by_two_credentials(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    own = apartment.residents[0]
    home = await scene.home(apartment)
    peer = home.phones[0][1]
    asked = peer.request("INVITE", f"sip:{number}@{scene.town.sip.domain}", at.credentials.username, to=number)

    names = ("Proxy-Authorization", "Proxy-Authorization")
    answer = await _with_two_credentials(peer, asked, own.credentials, at.credentials.username, names)

    assert answer.status == 403
    await a_good_call(scene)


@pytest.mark.parametrize("user", ["112", "stage"])
async def test_a_phone_is_reached_where_it_is_though_its_contact_is_a_node(scene: Scene, user: str) -> None:
    """What comes from the proxy is believed by the node: it would call 112 in the panel's name."""
    apartment, at, number = scene.town.apartment("handset only")
    centre = await scene.peer(CITY_LINE)
    calls_before = len(centre.ringing)
    (resident,) = apartment.residents
    phone = await scene.peer(resident.address)
    for node in scene.stack.settings.asterisk_nodes.values():
        assert (await phone.register(resident.credentials, contact=f"<sip:{user}@{node}:5060>")).status == 200
    try:
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        ring = await phone.incoming(user)
        await they_talk(call, ring)
        assert await call.bye() == 200
        await ring.wait_request("BYE", 3)
        assert len(centre.ringing) == calls_before
    finally:
        await phone.register(resident.credentials, contact="*", expires_s=0)


async def test_a_contact_says_nothing_untrue_of_where_it_was_received(scene: Scene) -> None:
    apartment, _, _ = scene.town.apartment("handset only")
    (resident,) = apartment.residents
    phone = await scene.peer(resident.address)
    node = next(iter(scene.stack.settings.asterisk_nodes.values()))
    here = f"sip:{phone.socket.address}:{phone.socket.port}"
    for said, status in ((f"sip:{node}:5060", 403), (here, 200)):
        contact = f'<sip:{resident.credentials.username}@{phone.socket.address}>;received="{said}"'
        assert (await phone.register(resident.credentials, contact=contact)).status == status
    await phone.register(resident.credentials, contact="*", expires_s=0)


async def test_a_phone_behind_a_nat_that_keeps_its_port_is_acknowledged_and_told_the_end(scene: Scene) -> None:
    apartment, at, number = scene.town.apartment("handset only")
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await phone.incoming()
    ring.contact = f"<sip:inside@192.168.77.7:{phone.socket.port}>"
    ring.ring()
    ring.answer()
    await call.answered()
    await ring.established()
    assert await call.bye() == 200
    await ring.wait_request("BYE", 3)


async def test_a_phone_that_sends_the_call_elsewhere_is_not_obeyed(scene: Scene) -> None:
    """Asterisk would dial 112 in the panel's name."""
    apartment, at, number = scene.town.apartment("handset only")
    centre = await scene.peer(CITY_LINE)
    calls_before = len(centre.ringing)
    phone = await scene.resident(apartment.residents[0])
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await phone.incoming()
    ring.ring()
    await call.ringing()
    ring.contact = "<sip:112@127.0.3.11>"
    ring.reject(302)
    final = await call.final(15)
    assert final.status >= 400
    assert len(centre.ringing) == calls_before
    record = await scene.office.call_record(call.call_id, branches=1)
    assert [branch["sip_status"] for branch in record["branches"] if branch["outcome"] == "failed"] == [302]


async def test_one_who_declines_for_all_leaves_the_others_ringing(scene: Scene) -> None:
    call, rings, _ = await the_family_is_rung(scene)
    rings[0].reject(603)
    await rings[0].wait_request("ACK", 3)
    rings[2].answer()
    await call.answered()
    await rings[2].established()
    await rings[1].wait_cancelled(3)
    assert rings[1].answered_elsewhere, "by the answer, not by who declined"
    assert rings[2].cancelled is None
    assert await call.bye() == 200


async def test_a_reply_to_nothing_goes_nowhere(scene: Scene) -> None:
    """It would go to its second Via: a stranger could have any host looked up, or sent to in our name."""
    apartment, _, _ = family(scene.town)
    stranger, target = await scene.peer("127.0.3.91"), await scene.peer(apartment.residents[0].address)
    proxy = f"{scene.town.sip.address}:{scene.town.sip.port}"
    for call_id, own_branch in (("stray-1", "z9hG4bKstray"), ("stray-2", "z9hG4bK1f2e.3d4c5b6a.0")):
        reply = message.response(200, "OK")
        reply.add("Via", f"SIP/2.0/UDP {proxy};branch={own_branch}")
        reply.add("Via", target.socket.via("z9hG4bKx"))
        for name, value in (("From", "<sip:a@b>;tag=1"), ("To", "<sip:c@d>;tag=2"), ("Call-ID", call_id)):
            reply.add(name, value)
        reply.add("CSeq", "1 INVITE")
        stranger.socket.send_bytes(reply.encode())
    await a_good_call(scene)
    assert not [got for got in target.socket.received if got.message.get("Call-ID").startswith("stray")]
