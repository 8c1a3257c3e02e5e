"""Phones through carriers: which is tried, what it is shown, what its answers mean."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kemi_routes import changes, headers, nodes, router, settings, story, trunk_calls, trunks
from kemi_routes.pipeline import DONE
from tests.unit.kemi.steps import RELAY, cancelled_while

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]

A = ("carrier-a", "10.0.0.1", "udp", "", "", "", 0, "e164")
B = ("carrier-b", "10.0.0.2:5070", "tcp", "we", "realm-b", "0" * 32, 0, "digits")
HEADER = "1 f12=+79160000012,f13=+79160000013 carrier-a=+74951110001,carrier-b=+74952220002 call-1,p1,12"


@pytest.fixture
def phone(fake: FakeKsr) -> FakeKsr:
    """An Asterisk node dials f12; both carriers are known."""
    fake.trunk_rows = [A, B]
    trunks.TrunkKeeper().tick(fake.ksr)
    fake.message.source_ip = "127.0.0.21"
    fake.message.ruri = "sip:f12@127.0.0.10"
    fake.message.headers = [(headers.TRUNK, HEADER), ("P-Asserted-Identity", "<sip:p1@x>")]
    return fake


def told(fake: FakeKsr) -> list[tuple[str, str, int]]:
    lines = [json.loads(f"[{text}]") for _, text in fake.queues[story.QUEUE]]
    return [(event["trunk"], event["outcome"], event["branch"]) for events in lines for event in events]


def fail(fake: FakeKsr, status: int, *, silent: bool = False) -> None:
    fake.message.status = status
    fake.results["tm.t_branch_timeout"] = 1 if silent else -1
    fake.results["tm.t_branch_replied"] = -1 if silent else 1
    trunk_calls.on_failure(fake.ksr)


def test_the_first_trunk_gets_the_number_and_nothing_of_ours(phone: FakeKsr, request_of: Make) -> None:
    assert trunk_calls.ring_phone(phone.ksr, request_of(phone)) is DONE
    assert phone.relayed == ["sip:+79160000012@10.0.0.1"]
    assert phone.message.headers == []
    trunk_calls.on_branch(phone.ksr, request_of(phone).settings)
    assert phone.called("uac.uac_replace_from") == [("", "sip:+74951110001@entryphone.test")]
    assert phone.message.headers[1:] == [("P-Asserted-Identity", "<sip:+74951110001@entryphone.test>")]
    assert told(phone) == [("carrier-a", "invited", 0)]


def test_a_trunk_that_rings_is_heard_once(phone: FakeKsr, request_of: Make) -> None:
    made = router.build(phone.ksr, first=False)
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    phone.message.source_ip, phone.message.status = "10.0.0.1", 183
    made.ksr_reply_route(None)
    made.on_trunk_reply(None)
    assert told(phone)[1:] == [("carrier-a", "ringing", 0)]
    assert not phone.tables["ringing"], "it would be said again, and told twice"


@pytest.mark.parametrize(("status", "silent"), [(503, False), (500, False), (403, False), (488, False), (408, True)])
def test_a_trunk_that_cannot_gives_way_and_rests(phone: FakeKsr, request_of: Make, status: int, silent: bool) -> None:
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    fail(phone, status, silent=silent)
    assert phone.relayed == ["sip:+79160000012@10.0.0.1", "sip:79160000012@10.0.0.2:5070;transport=tcp"]
    assert told(phone)[1:] == [("carrier-a", "failed", 0), ("carrier-b", "invited", 1)]
    assert trunks.in_order(phone.ksr, ["carrier-a", "carrier-b"]) == ["carrier-b", "carrier-a"]
    trunk_calls.on_branch(phone.ksr, request_of(phone).settings)
    assert phone.called("uac.uac_replace_from")[-1] == ("", "sip:74952220002@entryphone.test")


@pytest.mark.parametrize(("status", "outcome"), [(486, "busy"), (603, "declined"), (404, "failed"), (480, "offline")])
def test_what_the_called_side_says_ends_the_leg(phone: FakeKsr, request_of: Make, status: int, outcome: str) -> None:
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    fail(phone, status)
    assert len(phone.relayed) == 1
    assert told(phone)[1:] == [("carrier-a", outcome, 0)]


def test_a_leg_whose_node_was_lost_tries_no_other_trunk(phone: FakeKsr, request_of: Make) -> None:
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    phone.queues["lost_nodes"].append(("sip:127.0.0.21:5060", "dispatcher:dst-down"))
    nodes.NodeWatch(settings.read(phone.ksr)).tick(phone.ksr)
    fail(phone, 408, silent=True)
    assert len(phone.relayed) == 1
    assert told(phone)[-1] == ("carrier-a", "cancelled", 0)


def test_a_challenge_is_answered_once(phone: FakeKsr, request_of: Make) -> None:
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    fail(phone, 503)
    fail(phone, 407)
    assert len(phone.relayed) == 3
    assert (phone.pvs["$avp(uac_user)"], phone.pvs["$avp(uac_realm)"]) == ("we", "realm-b")
    fail(phone, 407)
    assert len(phone.relayed) == 3
    assert told(phone)[-1] == ("carrier-b", "failed", 1)


def test_a_call_that_is_cancelled_while_the_next_trunk_is_dialled_blames_none(
    phone: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first one has failed; tm sends nothing to the second, which could be reached."""
    phone.trunk_rows.append(("carrier-c", "10.0.0.3", "udp", "", "", "", 0, "e164"))
    keeper = trunks.TrunkKeeper()
    keeper.tick(phone.ksr)
    phone.message.headers = [(headers.TRUNK, HEADER.replace(" call-1", ",carrier-c= call-1"))]
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    cancelled_while(monkeypatch, RELAY)
    fail(phone, 503)
    assert list(phone.tables["resting"]) == ["carrier-a"]
    assert told(phone)[1:] == [("carrier-a", "failed", 0), ("carrier-b", "invited", 1), ("carrier-b", "cancelled", 1)]
    assert not phone.tables["setup"]
    assert phone.logs == []


def test_a_challenge_that_is_not_answered_as_the_call_is_cancelled_blames_nobody(
    phone: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    trunks.rest(phone.ksr, "carrier-a")
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    cancelled_while(monkeypatch, RELAY)
    fail(phone, 407)
    assert list(phone.tables["resting"]) == ["carrier-a"]
    assert told(phone)[1:] == [("carrier-b", "cancelled", 0)]


def test_a_call_that_is_cancelled_before_its_first_trunk_is_dialled_blames_none(
    phone: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled_while(monkeypatch, RELAY)
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    assert told(phone) == [("carrier-a", "invited", 0), ("carrier-a", "cancelled", 0)]
    assert (phone.tables["resting"], phone.tables["setup"]) == ({}, {})
    assert phone.replies == [(487, "Request Terminated")]


def test_an_answer_names_account_and_trunk(phone: FakeKsr, request_of: Make) -> None:
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    phone.message.status = 200
    trunk_calls.on_reply(phone.ksr, settings.read(phone.ksr))
    assert (headers.ANSWERED_BY, "f12") in phone.message.headers
    assert (headers.TRUNK, "0 f12 carrier-a") in phone.message.headers
    assert told(phone)[-1] == ("carrier-a", "answered", 0)


@pytest.mark.parametrize(
    ("description", "keys"),
    [
        ("m=audio 4000 RTP/AVP 8 101\r\na=rtpmap:101 Telephone-Event/8000\r\n", "events"),
        ("m=audio 4000 RTP/AVP 8\r\n", "sound"),
        ("", "sound"),
    ],
)
def test_an_answer_tells_how_the_phones_keys_come(
    phone: FakeKsr, request_of: Make, description: str, keys: str
) -> None:
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    phone.message.status, phone.message.body = 200, description
    trunk_calls.on_reply(phone.ksr, settings.read(phone.ksr))
    assert (headers.KEYS, keys) in phone.message.headers


@pytest.mark.parametrize("bad", ["\udccf", "\0"])
def test_what_is_no_text_in_an_answer_changes_nothing(phone: FakeKsr, request_of: Make, bad: str) -> None:
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    phone.message.status = 200
    phone.message.body = f"v=0\r\ns={bad}\r\na=rtpmap:101 telephone-event/8000\r\n"
    phone.message.headers = [("Contact", f'"{bad}" <sip:a@10.0.0.1>'), (headers.ANSWERED_BY, "somebody")]
    router.build(phone.ksr, first=False).on_trunk_reply(None)
    told_of = {name: value for name, value in phone.message.headers if name.startswith(headers.PREFIX)}
    assert told_of == {
        headers.ANSWERED_BY: "f12",
        headers.TRUNK: "0 f12 carrier-a",
        headers.KEYS: "events",
    }
    assert told(phone)[-1] == ("carrier-a", "answered", 0)
    assert phone.logs == []


def test_without_a_known_trunk_the_leg_ends_at_once(fake: FakeKsr, request_of: Make) -> None:
    fake.message.source_ip = "127.0.0.21"
    fake.message.ruri = "sip:f12@127.0.0.10"
    fake.message.headers = [(headers.TRUNK, HEADER)]
    trunk_calls.ring_phone(fake.ksr, request_of(fake))
    assert fake.replies == [(480, "No Trunk")]


@pytest.mark.parametrize(
    "value",
    [
        "",
        "1 f12=+7916 carrier-a",
        "x f12=+79 carrier-a= c",
        "1 f12=evil carrier-a= c",
        "1 f12=+79 a|b= c",
        "1 f12= a= c",
    ],
)
def test_a_broken_header_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=headers.TRUNK):
        headers.parse_trunk(value)


def test_trunks_follow_the_database_and_outlive_it(fake: FakeKsr, follower: changes.ChangeFollower) -> None:
    fake.trunk_rows = [A]
    follower.tick(fake.ksr)
    follower.tick(fake.ksr)
    assert trunks.find(fake.ksr, "carrier-a") == trunks.Trunk(*A[:6], False, "e164")
    fake.trunk_rows = [B]
    fake.changes.append((1, "trunk:carrier-a"))
    follower.tick(fake.ksr)
    follower.tick(fake.ksr)
    assert trunks.find(fake.ksr, "carrier-a") is None
    assert trunks.find(fake.ksr, "carrier-b") is not None
    fake.database = None
    fake.changes.append((2, "trunk:carrier-b"))
    follower.tick(fake.ksr)
    assert trunks.find(fake.ksr, "carrier-b") is not None


def test_where_we_register_follows_the_database(fake: FakeKsr) -> None:
    registering = ("carrier-c", "10.0.0.3:5070", "tcp", "we", "carriers", "1" * 32, 1, "e164")
    keeper = trunks.TrunkKeeper()
    fake.trunk_rows = [A, registering]
    keeper.tick(fake.ksr)
    ((method, told_to),) = fake.registrations
    assert (method, told_to[0], told_to[5:10]) == (
        "uac.reg_add",
        "carrier-c",
        ["carriers", "we", ".", "1" * 32, "sip:10.0.0.3:5070;transport=tcp"],
    )
    fake.trunk_rows = [A]
    keeper.read_anew()
    keeper.tick(fake.ksr)
    assert fake.registrations[-1] == ("uac.reg_remove", ["carrier-c"])
