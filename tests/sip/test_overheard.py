"""What is overheard on the network, or made up, is of no use: neither to call, nor to shut somebody else out."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.peers import digest
from lab.peers.digest import Challenge, Credentials
from tests.sip.households import family
from tests.sip.ordinary import a_good_call

if TYPE_CHECKING:
    from lab.peers.message import SipMessage
    from lab.peers.scripted import ScriptedPeer
    from tests.sip.scene import Scene

_ATTACKER, _NAT, _ROAMING = "127.0.3.98", "127.0.3.99", ("127.0.3.100", "127.0.3.101")
_MORE_THAN_BAR = 12


async def _challenge_for(peer: ScriptedPeer, asked: SipMessage) -> Challenge:
    return digest.parse_challenge((await peer.send(asked)).get("WWW-Authenticate"))


@pytest.mark.parametrize("nonce", ["made up", "of another address"])
async def test_nobody_bars_an_address_at_which_he_does_not_receive(scene: Scene, nonce: str) -> None:
    """He sends with its address and cannot hear what is answered: he has no nonce for it."""
    apartment, _, _ = family(scene.town)
    right = apartment.residents[0].credentials
    attacker, house = await scene.peer(_ATTACKER), await scene.peer(_NAT)
    domain = scene.town.sip.domain
    own = await _challenge_for(attacker, attacker.request("REGISTER", f"sip:{domain}", right.username))
    said = "abcdef" if nonce == "made up" else own.nonce
    challenge = Challenge(own.realm, said, qop=own.qop)
    for _ in range(_MORE_THAN_BAR):
        forged = house.request("REGISTER", f"sip:{domain}", right.username)
        wrong = Credentials(right.username, "a guess")
        forged.add("Authorization", digest.authorization(challenge, wrong, "REGISTER", f"sip:{domain}"))
        answer = await house.send(forged)
        assert answer.status == 401
        assert digest.parse_challenge(answer.get("WWW-Authenticate")).stale

    assert (await house.register(right)).status == 200
    assert (await house.register(right, contact="*", expires_s=0)).status == 200


async def test_a_device_whose_address_has_changed_meanwhile_is_challenged_once_more(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    right = apartment.residents[0].credentials
    before, after = [await scene.peer(address) for address in _ROAMING]
    uri = f"sip:{scene.town.sip.domain}"
    challenge = await _challenge_for(before, before.request("REGISTER", uri, right.username))
    for status in (401, 200):
        asked = after.request("REGISTER", uri, right.username)
        asked.add("Authorization", digest.authorization(challenge, right, "REGISTER", uri))
        answer = await after.send(asked)
        assert answer.status == status
        if status == 401:
            challenge = digest.parse_challenge(answer.get("WWW-Authenticate"))
            assert challenge.stale
    assert (await after.register(right, contact="*", expires_s=0)).status == 200


@pytest.mark.usefixtures("nothing_is_said_twice")
@pytest.mark.parametrize("whence", ["elsewhere", "the same address", "the same address, rewritten"])
async def test_overheard_credentials_call_no_other_number(scene: Scene, whence: str) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await home.all_ring()
    assert call.transaction is not None
    overheard = call.transaction.request.get("Proxy-Authorization")
    await call.cancel()
    other, dialled = next(
        (place, place.dial[at.credentials.username])
        for place in scene.town.apartments
        if place != apartment and place.residents and at.credentials.username in place.dial
    )
    phones = await scene.home(other)
    thief = await scene.peer(_ATTACKER) if whence == "elsewhere" else visitor
    asked = thief.request("INVITE", f"sip:{dialled}@{scene.town.sip.domain}", at.credentials.username, to=dialled)
    if whence == "the same address, rewritten":
        realm = f'realm="{scene.town.sip.domain}"'
        rewritten = overheard.replace(realm, realm.upper()).replace(' uri="', ' x="\\", uri="')
        overheard = rewritten.replace("Digest ", f'Digest uri="{asked.uri}", ')
    asked.add("Proxy-Authorization", overheard)

    answer = await thief.send(asked)

    assert answer.status == 407
    if thief is visitor:
        await scene.log_line("kamailio", "of a call to another number", f"call_id={asked.get('Call-ID')}")
    await a_good_call(scene)
    assert all(phone.ringing == [] for who, phone in phones.phones if who not in apartment.residents)
