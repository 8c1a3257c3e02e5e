"""What keeps a registered phone reachable: how long it is kept, through which proxy, the way open through its NAT."""

from __future__ import annotations

import asyncio
import base64
import struct
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers import digest, message
from tests.at_rest import await_nodes
from tests.sip.households import family

if TYPE_CHECKING:
    from tests.sip.scene import Scene

_NONCE_LASTS_S = 2400
_PING_EVERY_S = 25
_EDGE, _EDGES = "127.0.11.60", "127.0.11.0/24"
_BEHIND_EDGE = "10.1.2.3:5070"


@pytest.mark.parametrize(
    ("asked_s", "kept_s"),
    [(5, 60), (30, 60), (60, 60), (1800, 1800), (3600, 3600), (7200, 3600), (86400, 3600), (None, 600)],
)
async def test_a_contact_is_kept_from_a_minute_to_an_hour(scene: Scene, asked_s: int | None, kept_s: int) -> None:
    """Briefer, every phone would ask all the time; longer, one that has gone would be rung for too long."""
    apartment, _, _ = family(scene.town)
    resident = apartment.residents[0]
    peer = await scene.resident(resident)
    account = resident.credentials.username
    built = peer.request("REGISTER", f"sip:{scene.town.sip.domain}", account)
    if asked_s is not None:
        built.add("Expires", str(asked_s))
    answer = await peer.send(built, resident.credentials)
    assert answer.status == 200
    assert abs(int(message.parameter(answer.get("Contact"), "expires")) - kept_s) <= 1
    found = await scene.rpc("ul.lookup", "location", f"{account}@{scene.town.sip.domain}")
    (contact,) = found["result"]["Contacts"]
    assert kept_s - 15 <= contact["Contact"]["Expires"] <= kept_s + 1  # seconds left


async def test_a_challenge_is_good_for_two_thirds_of_an_hour(scene: Scene) -> None:
    """A phone that registers for an hour does so again after half of it, and is not challenged then.

    Kamailio's nonce begins with the moments of its end and of its making (modules/auth/nonce.h, `bin_nonce_small`).
    """
    apartment, _, _ = family(scene.town)
    peer = await scene.peer(apartment.residents[0].address)
    name = apartment.residents[0].credentials.username
    answer = await peer.send(peer.request("REGISTER", f"sip:{scene.town.sip.domain}", name))
    assert answer.status == 401
    nonce = digest.parse_challenge(answer.get("WWW-Authenticate")).nonce
    ends_s, made_s = struct.unpack("!ii", base64.b64decode(nonce)[:8])
    assert ends_s - made_s == _NONCE_LASTS_S


async def test_the_way_to_a_phone_behind_nat_is_kept_open(scene: Scene) -> None:
    """A router forgets a mapping over UDP after half a minute of silence."""
    apartment, _, _ = family(scene.town)
    resident = apartment.residents[0]
    peer = await scene.peer(resident.address)
    private = f"<sip:{resident.credentials.username}@192.168.1.9:5060>"
    assert (await peer.register(resident.credentials, contact=private)).status == 200
    try:
        pings = peer.socket.not_sip
        await peer.socket.watch.until(lambda: len(pings) > 0, _PING_EVERY_S + 5, lambda: "no ping")
        assert pings[0] == bytes(4)
    finally:
        await peer.register(resident.credentials, expires_s=0, contact="*")


async def test_a_phone_behind_a_proxy_of_ours_is_rung_through_it_also_after_kill_9(scene: Scene) -> None:
    """The proxy names itself by Path (RFC 3327): where the phone is, only it can send."""
    async with scene.kamailio_host("!EP_EXEMPT_NETWORKS!!g", f"!EP_EXEMPT_NETWORKS!{_EDGES}!g"):
        apartment, at, number = family(scene.town)
        resident = apartment.residents[0]
        account = resident.credentials.username
        edge, visitor = await scene.peer(_EDGE), await scene.visitor(at)
        built = edge.request("REGISTER", f"sip:{scene.town.sip.domain}", account)
        built.replace("Contact", f"<sip:{account}@{_BEHIND_EDGE}>")
        built.add("Path", f"<sip:{_EDGE};lr>")
        built.add("Supported", "path, outbound")
        assert (await edge.send(built, resident.credentials)).status == 200
        for server_dies in (False, True):
            if server_dies:
                await scene.restart("kamailio")
                await asyncio.to_thread(await_nodes, scene.stack.settings)
            since_s = time.monotonic()
            call = await visitor.call(at.credentials, number)
            ring = await edge.incoming(account, 5, since_s)
            assert ring.invite.uri.startswith(f"sip:{account}@{_BEHIND_EDGE}")
            assert [_EDGE in route for route in ring.invite.get_all("Route")] == [True]
            ring.ring()
            await call.ringing()
            await call.cancel()
            await ring.wait_cancelled(3)
        assert (await edge.register(resident.credentials, expires_s=0, contact="*")).status == 200
