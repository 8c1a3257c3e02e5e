"""Who cannot prove who he is gets the right answer at once, one line in the log, and disturbs nobody."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from lab.peers.digest import Credentials
from tests.sip.emergency_scene import call_112, emergency_record, panel_at, until
from tests.sip.households import family
from tests.sip.ordinary import a_good_call, answered_within_a_second

if TYPE_CHECKING:
    from tests.sip.scene import Scene

# Addresses of nobody in the town, and of no other story: what is counted or barred is counted or barred by address.
_STRANGER, _FORGETFUL, _FLOODER, _CALLER = "127.0.3.93", "127.0.3.94", "127.0.3.95", "127.0.3.96"
_GUESSER = "127.0.3.10"
_WRONG_PASSWORDS = 10


@pytest.mark.usefixtures("nothing_is_said_twice")
async def test_an_unknown_user_cannot_register(scene: Scene) -> None:
    peer = await scene.peer(_STRANGER)

    with answered_within_a_second():
        answer = await peer.register(Credentials("nosuchaccount", "x"))

    assert answer.status == 401
    await scene.log_line("kamailio", "unknown account 'nosuchaccount'", f"call_id={answer.get('Call-ID')}")
    await a_good_call(scene)


@pytest.mark.usefixtures("nothing_is_said_twice")
async def test_an_unknown_user_cannot_call(scene: Scene) -> None:
    _, _, number = family(scene.town)
    peer = await scene.peer(_STRANGER)

    with answered_within_a_second():
        call = await peer.call(Credentials("nosuchaccount", "x"), number)
        answer = await call.final()

    assert answer.status in (401, 407)
    await scene.log_line("kamailio", "unknown account 'nosuchaccount'", "INVITE", f"call_id={call.call_id}")
    await a_good_call(scene)


@pytest.mark.usefixtures("nothing_is_said_twice")
async def test_a_wrong_password_is_refused(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    account = apartment.residents[0].credentials.username
    peer = await scene.peer(_STRANGER)

    with answered_within_a_second():
        answer = await peer.register(Credentials(account, "not the password"))

    assert answer.status == 401
    await scene.log_line("kamailio", "wrong password", account, f"call_id={answer.get('Call-ID')}")
    await a_good_call(scene)


@pytest.mark.usefixtures("nothing_is_said_twice")
async def test_the_tenth_wrong_password_in_a_row_bars_the_address_and_no_other(scene: Scene) -> None:
    apartment, at, _ = family(scene.town)
    right = apartment.residents[0].credentials
    guesser = await scene.peer(_GUESSER)

    for guess in range(1, _WRONG_PASSWORDS):
        answer = await guesser.register(Credentials(right.username, f"guess {guess}"))
        assert answer.status == 401, f"guess {guess}"
    with answered_within_a_second():
        tenth = await guesser.register(Credentials(right.username, "guess 10"))

    assert tenth.status == 403
    await scene.log_line("kamailio", "10 wrong passwords in a row", _GUESSER, f"call_id={tenth.get('Call-ID')}")
    with answered_within_a_second():
        assert (await guesser.register(right)).status == 403  # the right password no longer helps from there
    assert (await (await guesser.call(at.credentials, "12")).final()).status == 403
    await a_good_call(scene)  # the account itself, and every other address, go on

    emergency = await guesser.call(at.credentials, "112")
    await emergency.wait_status(183, 10)  # no line of the city answers here: each way is tried, then it says why
    await emergency.cancel()


@pytest.mark.usefixtures("nothing_is_said_twice")
async def test_nine_wrong_passwords_and_a_right_one_begin_a_new_row(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    right = apartment.residents[0].credentials
    forgetful = await scene.peer(_FORGETFUL)
    for _ in range(2):
        for guess in range(1, _WRONG_PASSWORDS):
            assert (await forgetful.register(Credentials(right.username, f"guess {guess}"))).status == 401
        assert (await forgetful.register(right)).status == 200
    assert (await forgetful.register(right, expires_s=0, contact="*")).status == 200


async def test_an_invite_without_credentials_is_challenged_and_rings_nobody(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    home = await scene.home(apartment)
    peer = await scene.visitor(at)
    invite = peer.request("INVITE", f"sip:{number}@{scene.town.sip.domain}", at.credentials.username, to=number)

    with answered_within_a_second():
        answer = await peer.send(invite)

    assert answer.status in (401, 407)
    await scene.log_line(
        "kamailio", "no credentials", f"source={at.address}", f"call_id={invite.get('Call-ID')}", timeout_s=8
    )
    await a_good_call(scene)
    assert [len(phone.ringing) for _, phone in home.phones] == [1] * len(home.phones)  # by the good call only


async def test_a_hundred_invites_without_credentials_are_named_in_the_log_and_refused(scene: Scene) -> None:
    _, _, number = family(scene.town)
    peer = await scene.peer(_CALLER)
    statuses: list[int] = []
    while 503 not in statuses and len(statuses) < 202:  # the window of ten seconds may end once meanwhile
        invite = peer.request("INVITE", f"sip:{number}@{scene.town.sip.domain}", "somebody", to=number)
        statuses.append((await peer.send(invite)).status)

    assert set(statuses[:-1]) <= {401, 407}
    assert statuses[-1] == 503
    await scene.log_line("kamailio", "flood: 101 unauthenticated requests", _CALLER, "INVITE")
    await a_good_call(scene)


@pytest.mark.usefixtures("nothing_is_said_twice")
async def test_nobody_calls_with_the_name_of_another_account(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    own = apartment.residents[0].credentials
    peer = await scene.peer(apartment.residents[0].address)
    invite = peer.request("INVITE", f"sip:{number}@{scene.town.sip.domain}", at.credentials.username, to=number)

    with answered_within_a_second():
        answer = await peer.send(invite, own)

    assert answer.status == 403
    await scene.log_line("kamailio", f"authenticated as {own.username}", f"call_id={invite.get('Call-ID')}")
    await a_good_call(scene)


async def test_a_register_flood_is_refused_and_others_are_not(scene: Scene) -> None:
    flooder = await scene.peer(_FLOODER)
    floods = 0

    async def flood() -> list[str]:
        """What arrives of it counts, and at a proxy that stands still for a moment that is little."""
        nonlocal floods
        for index in range(2000):
            built = flooder.request("REGISTER", f"sip:{scene.town.sip.domain}", f"flood{index}")
            built.headers.insert(0, ("Via", flooder.socket.via(f"z9hG4bKflood{floods}-{index}")))
            flooder.socket.send_bytes(built.encode())
        floods += 1
        await a_good_call(scene)
        return scene.log_lines("kamailio", "flood", _FLOODER, "silent now")

    began_s = time.monotonic()
    await until(flood, bool, 30)

    refused = await flooder.socket.wait_received(lambda got: got.status == 503, 5, "503")
    assert int(refused.message.get("Retry-After")) > 0
    windows = 2 + int((time.monotonic() - began_s) / 10)
    assert len(flooder.socket.received) < 500 * windows  # most of it was met with silence
    for what in ("answering 503", "silent now"):
        assert 1 <= len(scene.log_lines("kamailio", "flood", _FLOODER, what)) <= windows  # once for each of 10 s


async def test_forged_private_headers_change_nothing(scene: Scene) -> None:
    """A node reads X-Entryphone-Emergency of a call to 112: what was dialled is told by it."""
    forged = ("x-entryphone-emergency", "999999|-|-|999|0||en")
    call, _ = await call_112(scene, panel_at(scene), headers=(forged,))
    await call.bye()
    assert (await emergency_record(scene, call.call_id))["dialled"] == "112"


@pytest.mark.usefixtures("nothing_is_said_twice")
async def test_a_stranger_cannot_call_a_stage(scene: Scene) -> None:
    """`stage` is what Asterisk calls; from anybody else it is a number nobody may dial."""
    apartment, at, _ = family(scene.town)
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    accounts = ",".join(who.credentials.username for who, _ in home.phones)

    with answered_within_a_second():
        call = await visitor.call(at.credentials, "stage", headers=(("X-Entryphone-Accounts", accounts),))
        assert (await call.final()).status == 403

    await scene.log_line("kamailio", "may not call this number", f"call_id={call.call_id}")
    assert all(phone.ringing == [] for _, phone in home.phones)


async def test_asterisk_answers_nobody_but_the_proxy(scene: Scene) -> None:
    """From another address Asterisk rings nobody and registers nobody: it asks for a password that does not exist."""
    _, at, number = family(scene.town)
    peer = await scene.visitor(at)
    node = (next(iter(scene.stack.settings.asterisk_nodes.values())), scene.stack.settings.asterisk_port)
    user = at.credentials.username
    for method in ("INVITE", "OPTIONS", "REGISTER", "MESSAGE", "SUBSCRIBE"):
        built = peer.request(method, f"sip:{number}@{node[0]}", user, to=number)
        transaction = peer.socket.send_request(built, node)
        answer = await transaction.wait_final(5)
        assert answer.status == 401, f"{method}: {answer.start_line}"  # there is no password that would satisfy it
    await a_good_call(scene)
