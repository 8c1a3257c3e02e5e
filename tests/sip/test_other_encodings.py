"""Bytes that are not UTF-8, or none of a text at all: phones and panels name themselves in cp1251 or GBK.

SIP is UTF-8 (RFC 3261, 7.3.1). Who writes anything else is served as everybody, and nobody gains by it.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers.office import OfficeError
from tests.sip.carriers import a_phone_is_dialled
from tests.sip.emergency_scene import until
from tests.sip.households import family, kind_neighbour, the_neighbour
from tests.sip.ordinary import a_good_call, the_key_opens, they_talk
from tests.sip.records import record_with_keys

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall
    from tests.sip.scene import Scene

_NAME = "Квартира".encode("cp1251")
# As the peers write a header that holds these bytes.
_QUOTED = f'"{_NAME.decode("utf-8", "surrogateescape")}"'
_BARE = _QUOTED.strip('"')
_ADDRESS = "address"
_WHERE = ("body", "To", "Contact", _ADDRESS)


def _answer(ring: IncomingCall, where: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
    """The phone answers with the name at this place."""
    if where == "To":
        ring.local = f"{_QUOTED} {ring.local}"
    elif where == "Contact":
        ring.contact = f"{_QUOTED} {ring.contact}"
    elif where == _ADDRESS:
        ring.contact = ring.contact.replace("sip:", f"sip:{_BARE}@")
    ring.answer(ring.describe().replace(b"s=-", b"s=" + _NAME) if where == "body" else b"", headers)


async def _came_of_keys(scene: Scene, call_id: str) -> list[str]:
    """What came of the keys of a call that goes on."""

    async def read() -> list[str]:
        try:
            call = await scene.office.get(f"/v1/calls/{call_id}")
        except OfficeError:
            return []  # nobody has told of it yet
        return [door["result"] for door in call["access_records"]]

    results: list[str] = await until(read, lambda found: bool(found) and "granted" not in found)
    return results


@pytest.mark.parametrize("where", _WHERE)
async def test_nobody_opens_in_anothers_name(scene: Scene, where: str) -> None:
    """A neighbour who may talk but not open says in his 200 that somebody else has answered."""
    apartment, at, number = kind_neighbour(scene.town)
    neighbour = await scene.resident(the_neighbour(scene.town))
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    ring = await neighbour.incoming()
    owner = apartment.residents[0].credentials.username
    _answer(ring, where, (("X-Entryphone-Answered-By", owner),))
    await call.answered()
    await ring.established()
    await ring.rtp.press("#")
    assert await _came_of_keys(scene, call.call_id) == ["refused"]
    assert await call.bye() == 200
    record = await scene.office.call_record(call.call_id)
    assert record["answered_by"] == the_neighbour(scene.town).credentials.username


@pytest.mark.parametrize("where", _WHERE)
async def test_a_phone_that_names_itself_talks_opens_and_has_a_record(scene: Scene, where: str) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    rings = await home.all_ring()
    _answer(rings[0], where)
    await call.answered()
    await rings[0].established()
    await asyncio.gather(*(ring.wait_cancelled(3) for ring in rings[1:]))
    await the_key_opens(call, rings[0], at)
    assert await call.bye() == 200
    await rings[0].wait_request("BYE", 3)
    record = await record_with_keys(scene, call.call_id)
    outcomes = sorted(branch["outcome"] for branch in record["branches"])
    assert (record["result"], outcomes) == ("answered", ["answered", "cancelled", "cancelled"])
    assert record["answered_by"] == home.phones[0][0].credentials.username
    assert [door["result"] for door in record["access_records"]] == ["sent"]
    assert scene.log_lines("kamailio", "exception in") == []


async def test_of_two_such_who_answer_at_once_one_talks_and_the_other_is_hung_up(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    rings = await home.all_ring()
    for ring in rings[:2]:
        ring.local = f"{_QUOTED} {ring.local}"
        _answer(ring, "Contact")
    await call.answered()
    await asyncio.gather(*(ring.established() for ring in rings[:2]))
    ends = {asyncio.create_task(ring.wait_request("BYE", 10)): ring for ring in rings[:2]}
    done, _ = await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
    (left,) = (ends[task] for task in done)
    talks = rings[1] if left is rings[0] else rings[0]
    await the_key_opens(call, talks, at)
    assert await call.bye() == 200
    await asyncio.wait(ends)
    record = await scene.office.call_record(call.call_id)
    assert record["answered_by"] == home.phones[rings.index(talks)][0].credentials.username


@pytest.mark.parametrize("where", _WHERE)
async def test_an_answer_of_a_carrier_is_told_and_paid_for(scene: Scene, where: str) -> None:
    apartment, at, _ = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    call, ring = await a_phone_is_dialled(scene)
    ring.ring()
    _answer(ring, where, (("X-Entryphone-Answered-By", "somebody"),))
    await call.answered()
    await ring.established()
    await the_key_opens(call, ring, at)
    await ring.bye()
    await call.wait_request("BYE", 3)
    record = await record_with_keys(scene, call.call_id)
    assert (record["result"], record["answered_by"]) == ("answered", mobile.account)
    assert [door["result"] for door in record["access_records"]] == ["sent"]
    (leg,) = await scene.office.phone_legs(call.call_id, 1)
    assert (leg["trunk"], leg["billed_s"], leg["connected"]) == ("carrier-a", 60, True)


async def test_a_panel_that_names_itself_is_not_forgotten_when_its_node_dies(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number, display_name=_QUOTED)
    rings = await home.all_ring()
    await call.ringing()
    described = rings[0].invite.body.decode()
    nodes = scene.stack.settings.asterisk_nodes

    died_s = time.monotonic()
    await scene.kill(next(name for name, address in nodes.items() if address in described))

    again = await asyncio.gather(*(phone.incoming(who.credentials.username, 10, died_s) for who, phone in home.phones))
    await they_talk(call, again[0])
    await the_key_opens(call, again[0], at)
    assert await call.bye() == 200
    await scene.log_line("kamailio", "call goes on to", f"call_id={call.call_id}")
    await scene.log_line("kamailio", "lost: 1 calls in setup sent on")


@pytest.mark.parametrize("name", ["Contact", _ADDRESS, "User-Agent", "Subject"])
async def test_a_panel_that_writes_so_anywhere_rings(scene: Scene, name: str) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    here = f"{visitor.socket.address}:{visitor.socket.port}"
    built = visitor.request("INVITE", f"sip:{number}@{scene.town.sip.domain}", at.credentials.username, to=number)
    if name == _ADDRESS:
        built.replace("Contact", f"<sip:{_BARE}@{here}>")
    else:
        built.replace(name, f"{_QUOTED} <sip:{here}>" if name == "Contact" else _QUOTED)
    ringing = asyncio.create_task(visitor.send(built, at.credentials, 20))
    rings = await home.all_ring()
    for ring in rings:
        ring.reject(486)
    assert (await ringing).status >= 400
    assert scene.log_lines("kamailio", "exception in") == []


@pytest.mark.parametrize("name", ["Contact", "User-Agent"])
async def test_a_phone_that_writes_so_registers_and_rings(scene: Scene, name: str) -> None:
    apartment, at, number = scene.town.apartment("handset only")
    (resident,) = apartment.residents
    account = resident.credentials.username
    phone = await scene.peer(resident.address)
    built = phone.request("REGISTER", f"sip:{scene.town.sip.domain}", account)
    own = f"<sip:{account}@{phone.socket.address}:{phone.socket.port}>"
    built.replace(name, f"{_QUOTED} {own}" if name == "Contact" else _QUOTED)
    built.add("Expires", "600")
    assert (await phone.send(built, resident.credentials)).status == 200
    try:
        call = await (await scene.visitor(at)).call(at.credentials, number)
        ring = await phone.incoming(account)
        await they_talk(call, ring)
        assert await call.bye() == 200
    finally:
        await phone.register(resident.credentials, contact="*", expires_s=0)


async def test_an_address_of_a_phone_is_no_such_text(scene: Scene) -> None:
    """Whoever is rung with it would have to read it."""
    apartment, _, _ = family(scene.town)
    resident = apartment.residents[0]
    phone = await scene.peer(resident.address)
    contact = f"<sip:{_BARE}@{phone.socket.address}:{phone.socket.port}>"
    assert (await phone.register(resident.credentials, contact=contact)).status == 400
    await a_good_call(scene)
