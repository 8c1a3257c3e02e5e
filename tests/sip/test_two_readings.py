"""A message that the proxy reads in one way and Asterisk in another opens no door: both get the same bytes.

What the proxy has proved is of the first reading. Asterisk believes the header that hides behind another one's value:
after a CR alone, which ends a header for Asterisk only, or after an `&`. Or behind one that the proxy cannot read:
there it gives up, and takes nothing away from what follows.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from tests.sip.households import as_callee, family, kind_neighbour, the_neighbour
from tests.sip.ordinary import a_good_call, answered_within_a_second, the_key_opens
from tests.sip.refusals import the_key_is_refused
from tests.sip.test_relay import relay_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.message import SipMessage
    from lab.peers.relay import HttpRelay
    from lab.peers.scripted import ScriptedPeer
    from lab.peers.town import Apartment, Panel, Resident
    from tests.sip.scene import Scene

pytestmark = pytest.mark.usefixtures("nothing_is_said_twice")

_STRANGER = "127.0.3.97"  # an address of nobody in the town
# How a header hides: the line that the proxy sees.
_HIDDEN = {
    "cr": ("Subject", "x\r{}"),
    "cr-beside-what-is-not-utf-8": ("Subject", "\udcff\r{}"),
    "cr-after-a-nul": ("Contact", '"\0" <sip:x@127.0.3.97>\r{}'),
    "ampersand": ("Content-Type", "application/sdp&{}"),
    "ampersand-folded": ("Content-Type", "application/sdp &\r\n {}"),
}
_CLAIMED = "somebody"
_CLAIM = f"X-Entryphone-Answered-By: {_CLAIMED}"
# A name with signs that a header's may have (RFC 3261, 25.1) and Kamailio reads when it is told to.
_STRANGE = ("Odd!*%'`", "1")
hidden = pytest.mark.parametrize("hidden", [pytest.param(shape, id=name) for name, shape in _HIDDEN.items()])


def _behind(shape: tuple[str, str], header: str) -> tuple[str, str]:
    name, value = shape
    return name, value.format(header)


def _neighbour_elsewhere(scene: Scene, apartment: Apartment, at: Panel) -> Resident:
    """A resident who has nothing to do with this panel."""
    return next(
        place.residents[0]
        for place in scene.town.apartments
        if place != apartment and place.residents and at.credentials.username not in place.dial
    )


async def _is_refused(scene: Scene, call: OutgoingCall, panel: ScriptedPeer) -> None:
    """Refused as forged, at once, and the panel is not called."""
    with answered_within_a_second():
        assert (await call.final(5)).status == 400
    await scene.log_line("kamailio", "forged", f"source={call.socket.address}")
    await a_good_call(scene)
    assert panel.ringing == []


@hidden
async def test_a_stranger_does_not_reach_a_panel_by_a_second_to(scene: Scene, hidden: tuple[str, str]) -> None:
    """Within a dialog for the proxy, which lets it pass to the node; for the node the look of a resident."""
    apartment, at, _ = family(scene.town)
    panel = await scene.resident(as_callee(at))
    peer = await scene.peer(_STRANGER)
    node = next(iter(scene.stack.settings.asterisk_nodes.values()))
    called = f"<sip:{at.credentials.username}@{scene.town.sip.domain}>"
    built = peer.request(
        "INVITE",
        f"sip:{at.credentials.username}@{node}:{scene.stack.settings.asterisk_port}",
        apartment.residents[0].credentials.username,
    )
    built.replace("To", f"{called};tag={secrets.token_hex(4)}")
    built.add("Route", f"<sip:{scene.town.sip.address}:{scene.town.sip.port};lr>")

    built.headers.insert(0, _behind(hidden, f"To: {called}"))
    call = await peer.place(built, None)

    await _is_refused(scene, call, panel)


@hidden
async def test_a_resident_does_not_call_as_another_by_a_second_from(scene: Scene, hidden: tuple[str, str]) -> None:
    apartment, at, _ = family(scene.town)
    other = _neighbour_elsewhere(scene, apartment, at)
    panel, peer = await scene.resident(as_callee(at)), await scene.resident(other)
    domain, victim = scene.town.sip.domain, apartment.residents[0].credentials.username
    name = at.credentials.username
    built = peer.request("INVITE", f"sip:{name}@{domain}", other.credentials.username, to=name)

    forged = f"From: <sip:{victim}@{domain}>;tag={secrets.token_hex(4)}"
    built.headers.insert(0, _behind(hidden, forged))
    call = await peer.place(built, other.credentials)

    await _is_refused(scene, call, panel)


def _after_a_blank(built: SipMessage) -> None:
    built.start_line = f" \r\n\r\n{built.start_line}"
    built.add(*_behind(_HIDDEN["cr"], _CLAIM))


def _after_a_second_to(built: SipMessage) -> None:
    built.add("To", built.get("To"))
    built.add(*_CLAIM.split(": "))


def _after_a_name_that_goes_on(built: SipMessage) -> None:
    name, value = _CLAIM.split(": ")
    built.add(f"{name}\r\n ", value)


def _in_the_value_of(shape: tuple[str, str]) -> Callable[[SipMessage], None]:
    return lambda built: built.add(*_behind(shape, _CLAIM))


_FORGERIES = {name: _in_the_value_of(shape) for name, shape in _HIDDEN.items()} | {
    "after-a-blank": _after_a_blank,
    "after-a-second-to": _after_a_second_to,
    "after-a-name-that-goes-on": _after_a_name_that_goes_on,
}


@pytest.mark.parametrize("forge", [pytest.param(forge, id=name) for name, forge in _FORGERIES.items()])
async def test_a_neighbour_does_not_answer_as_the_resident(scene: Scene, forge: Callable[[SipMessage], None]) -> None:
    """His answer is as if lost; the one without it is taken, and he may still not open."""
    call, ring, at = await _the_neighbour_rings(scene)
    relay = await relay_of(scene, at)

    forged = ring.response(ring.received, 200, ring.describe())
    forge(forged)
    ring.socket.send_bytes(forged.encode().replace(_CLAIMED.encode(), _resident(scene).encode()), ring.received.source)
    await scene.log_line("kamailio", "dropped a reply: forged", f"call_id={ring.call_id}")
    assert call.transaction is not None
    assert call.transaction.final is None

    ring.answer()
    await _opens_nothing(scene, call, ring, relay)


async def test_a_neighbour_with_a_strange_header_does_not_answer_as_the_resident(scene: Scene) -> None:
    """He is as good a caller as any, and may not open."""
    call, ring, at = await _the_neighbour_rings(scene)
    relay = await relay_of(scene, at)
    name, value = _CLAIM.replace(_CLAIMED, _resident(scene)).split(": ")

    ring.answer(headers=(_STRANGE, (name, value)))

    await _opens_nothing(scene, call, ring, relay)


async def _the_neighbour_rings(scene: Scene) -> tuple[OutgoingCall, IncomingCall, Panel]:
    _, at, number = kind_neighbour(scene.town)
    phone = await scene.resident(the_neighbour(scene.town))
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await phone.incoming()
    ring.ring()
    await call.ringing()
    return call, ring, at


def _resident(scene: Scene) -> str:
    return kind_neighbour(scene.town)[0].residents[0].credentials.username


async def _opens_nothing(scene: Scene, call: OutgoingCall, ring: IncomingCall, relay: HttpRelay) -> None:
    await call.answered()
    await ring.established()
    await the_key_is_refused(scene, call, ring)
    assert relay.door.openings == []


@pytest.mark.parametrize(
    ("name", "value", "called"),
    [
        ("User-Agent", "Q&A: door (lobby [A", '"AT&T: lobby [A"'),
        ("Subject", "From me & to: you", "Lobby [A"),
        ("X-Maker", "a=1&c: 2", ""),
        ("X-Device-Info", "mode=[auto", ""),
        ("Contact", "<sip:{account}@{address};pn-prid=0af1:remote&beef:voip>", ""),
    ],
)
async def test_an_odd_but_honest_header_is_in_nobodys_way(scene: Scene, name: str, value: str, called: str) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    text = value.format(account=at.credentials.username, address=at.address)
    with answered_within_a_second():
        call = await visitor.call(at.credentials, number, headers=((name, text), _STRANGE), display_name=called)
        rings = await home.all_ring()
    rings[0].answer(headers=(_STRANGE, ("X-Maker", "a=1&c: [2")))
    await call.answered()
    await the_key_opens(call, rings[0], at)
    await call.bye()


async def test_what_asterisk_never_sees_may_be_odd(scene: Scene) -> None:
    """A registration ends at the proxy."""
    apartment, _, _ = family(scene.town)
    credentials = apartment.residents[0].credentials
    peer = await scene.peer(_STRANGER)
    built = peer.request("REGISTER", f"sip:{scene.town.sip.domain}", credentials.username)
    built.add("Event", "a&t: b")
    built.add("Expires", "0")
    assert (await peer.send(built, credentials)).status == 200
