"""Bad input gets the right answer within a second, one log line says why, and a good call goes on beside it."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from lab.peers import sdp
from lab.peers.digest import Credentials
from tests.sip.households import family

if TYPE_CHECKING:
    from tests.sip.scene import Scene

_STRANGER = "127.0.3.1"  # an address of nobody in the town


# Kamailio 6.1 drops it before any route runs ("parse_addr_spec(): unexpected char [/13]"): no answer can be sent.
_FOLDED = pytest.mark.xfail(reason="Kamailio's parser knows no folding inside a quoted display name", strict=True)


async def _a_good_call_still_rings(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    await home.all_ring()
    assert (await call.cancel()).status == 487


async def test_an_unknown_user_cannot_register(scene: Scene) -> None:
    peer = await scene.peer(_STRANGER)
    answer = await peer.register(Credentials("nosuchaccount", "x"), timeout_s=1)
    assert answer.status in (401, 403)
    await scene.log_line("kamailio", "nosuchaccount")


async def test_a_wrong_password_is_refused(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    account = apartment.residents[0].credentials.username
    peer = await scene.peer(_STRANGER)

    answer = await peer.register(Credentials(account, "not the password"), timeout_s=1)

    assert answer.status in (401, 403)
    await scene.log_line("kamailio", account, "password")


async def test_the_tenth_wrong_password_in_a_row_bars_the_address(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    right = apartment.residents[0].credentials
    guesser = await scene.peer("127.0.3.10")
    for guess in range(10):
        await guesser.register(Credentials(right.username, f"guess {guess}"), timeout_s=1)

    barred = await guesser.register(right, timeout_s=1)

    assert barred.status in (403, 429, 503)
    elsewhere = await scene.resident(apartment.residents[0])  # the account itself is not locked out
    assert elsewhere.ringing == []


async def test_an_invite_without_credentials_is_challenged(scene: Scene) -> None:
    _, at, number = family(scene.town)
    peer = await scene.visitor(at)
    invite = peer.request("INVITE", f"sip:{number}@{scene.town.sip.domain}", at.credentials.username, to=number)
    answer = await peer.send(invite, timeout_s=1)
    assert answer.status in (401, 407)


async def test_a_handset_may_not_call_like_a_panel(scene: Scene) -> None:
    apartment, _, number = family(scene.town)
    peer = await scene.peer(apartment.residents[0].address)
    call = await peer.call(apartment.residents[0].credentials, number)
    assert (await call.final(1)).status == 403


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b"INVITE\r\n\r\n", id="only-a-method"),
        pytest.param(b"INVITE sip:12@entryphone.test SIP/2.0\r\nFrom\r\nVia:\r\n\r\n", id="no-headers-worth-the-name"),
        pytest.param(b"\x00" * 512, id="zeros"),
        pytest.param(b"REGISTER sip:entryphone.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.3.1\r\n\r\n", id="no-call-id"),
        pytest.param(b"INVITE sip:\xff\xfe@ SIP/2.0\r\nCall-ID: x\r\nCSeq: abc INVITE\r\n\r\n", id="not-utf8-bad-cseq"),
        pytest.param(
            b"OPTIONS sip:entryphone.test SIP/2.0\r\nVia: SIP/2.0/UDP 127.0.3.1:5060;branch=z9hG4bKa\r\n"
            b"From: <sip:a@b>;tag=1\r\nTo: <sip:a@b>\r\nCall-ID: x\r\nCSeq: 1 OPTIONS\r\nContent-Length: -5\r\n\r\n",
            id="negative-content-length",
        ),
    ],
)
async def test_malformed_sip_disturbs_nobody(scene: Scene, broken: bytes) -> None:
    peer = await scene.peer(_STRANGER)
    for _ in range(20):
        peer.socket.send_bytes(broken)

    await _a_good_call_still_rings(scene)

    statuses = [got.message.status for got in peer.socket.received]
    assert all(400 <= status < 500 for status in statuses), statuses


@pytest.mark.parametrize(
    ("display_name", "shown"),
    [
        pytest.param('"say \\"hello\\""', "hello", id="quotes"),
        pytest.param('"a\r\n b"', "a", id="folded-newline", marks=_FOLDED),
        pytest.param('"x\\\\\\" EXEC System rm"', "EXEC", id="looks-like-an-agi-command"),
        pytest.param('"дверь & <ворота>"', "дверь", id="utf-8"),
        pytest.param(f'"{"n" * 300}"', "n", id="long"),
    ],
)
async def test_a_strange_display_name_rings_all_the_same(scene: Scene, display_name: str, shown: str) -> None:
    del shown  # the caller's name comes from the ring plan, not from the panel
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)

    call = await visitor.call(at.credentials, number, display_name=display_name)
    rings = await home.all_ring()

    assert display_name not in rings[0].invite.get("From")
    rings[0].answer()
    await call.answered()
    await rings[0].established()
    await rings[0].rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await call.bye()


async def test_a_60_kb_invite_is_refused(scene: Scene) -> None:
    _, at, number = family(scene.town)
    visitor = await scene.visitor(at)
    padding = tuple((f"X-Padding-{index}", "p" * 1000) for index in range(59))

    began_s = time.monotonic()
    call = await visitor.call(at.credentials, number, headers=padding, timeout_s=1)
    final = await call.final(1)

    assert final.status in (413, 513)
    assert time.monotonic() - began_s < 1
    await _a_good_call_still_rings(scene)


async def test_a_register_flood_is_slowed_and_others_are_not(scene: Scene) -> None:
    flooder = await scene.peer("127.0.3.20")
    for index in range(2000):
        built = flooder.request("REGISTER", f"sip:{scene.town.sip.domain}", f"flood{index}")
        built.headers.insert(0, ("Via", flooder.socket.via(f"z9hG4bKflood{index}")))
        flooder.socket.send_bytes(built.encode())

    await _a_good_call_still_rings(scene)

    await scene.log_line("kamailio", "127.0.3.20", "flood")


async def test_no_common_codec_is_488(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    await scene.home(apartment)
    visitor = await scene.visitor(at)
    only_g729 = sdp.write(at.address, 40000, payload_types=(18,))

    call = await visitor.call(at.credentials, number, description=only_g729)

    assert (await call.final(1)).status == 488
    await scene.log_line("kamailio", call.call_id, timeout_s=2)


async def test_forged_private_headers_change_nothing(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    other = next(place for place in scene.town.apartments if place != apartment and place.residents)
    home = await scene.home(apartment)
    stranger = await scene.resident(other.residents[0])
    visitor = await scene.visitor(at)

    call = await visitor.call(
        at.credentials,
        number,
        headers=(
            ("X-Entryphone-Accounts", other.residents[0].credentials.username),
            ("X-Entryphone-Kind", "trunk"),
            ("x-entryphone-call-id", "forged"),
        ),
    )
    rings = await home.all_ring()

    assert stranger.ringing == []
    for ring in rings:
        assert [name for name, _ in ring.invite.headers if name.lower().startswith("x-entryphone")] == []
    await call.cancel()
    assert (await scene.office.call_record(call.call_id))["panel"] == at.credentials.username
