"""Phones that a voice API calls: the leg waits, and whoever takes it decides what becomes of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from kemi_routes import (
    changes,
    clock,
    dialogs,
    headers,
    router,
    story,
    trunk_calls,
    trunks,
    voice_calls,
    voice_trunks,
    voice_wishes,
)
from kemi_routes.pipeline import DONE, NEXT
from tests.unit.kemi import ksr_functions
from tests.unit.kemi.sip_message import Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]

A = ("carrier-a", "10.0.0.1", "udp", "", "", "", 0, "e164")
HEADER = "1 f12=+79160000012,f13=+79160000013 twilio=+74953330003,carrier-a=+74951110001 call-1,p1,12"
WAITING = "Local%2Ff12%40phone-1%3B2|1||en|call-1,p1,12"
LEG = "leg-1"
EDGE = "54.172.60.2"


@pytest.fixture
def phone(fake: FakeKsr) -> FakeKsr:
    """An Asterisk node dials f12; the voice API comes first, then a carrier."""
    fake.trunk_rows = [A]
    fake.views["kamailio_voice_trunks"] = [("twilio", "54.172.60.0/30,2001:db8::/32")]
    trunks.TrunkKeeper().tick(fake.ksr)
    voice_trunks.VoiceTrunkKeeper().tick(fake.ksr)
    fake.message.source_ip = "127.0.0.21"
    fake.message.ruri = "sip:f12@127.0.0.10"
    fake.message.call_id = LEG
    fake.message.headers = [(headers.TRUNK, HEADER), (headers.WAITING, WAITING)]
    return fake


def told(fake: FakeKsr) -> list[tuple[str, str, int | None]]:
    lines = [json.loads(f"[{text}]") for _, text in fake.queues[story.QUEUE]]
    return [(event["trunk"], event["outcome"], event["sip_status"]) for events in lines for event in events]


def wishes(fake: FakeKsr) -> list[dict[str, Any]]:
    return [json.loads(text) for _, text in fake.queues[voice_wishes.QUEUE]]


def token_of(fake: FakeKsr) -> str:
    return str(wishes(fake)[0]["token"])


def waits(fake: FakeKsr, request_of: Make) -> str:
    assert trunk_calls.ring_phone(fake.ksr, request_of(fake)) is DONE
    return token_of(fake)


def nothing_is_left(fake: FakeKsr) -> bool:
    return not any(fake.tables[name] for name in ("voice_calls", "voice_legs", "voice_results", "setup"))


def must_call_nobody(fake: FakeKsr) -> None:
    """The leg was cancelled before its phone was called, and nothing of it is left."""
    assert [wish["event"] for wish in wishes(fake)] == ["end"]
    assert told(fake)[-1] == ("twilio", "cancelled", None)
    assert nothing_is_left(fake)


def call_in(fake: FakeKsr, user: str, source_ip: str = EDGE) -> None:
    fake.message.source_ip = source_ip
    fake.message.ruri = f"sip:{user}@127.0.0.10"
    fake.message.call_id = "of-twilio"
    fake.message.headers = []


def test_the_leg_waits_and_the_wish_says_everything(phone: FakeKsr, request_of: Make) -> None:
    token = waits(phone, request_of)
    assert phone.relayed == []
    assert phone.replies == [(180, "Ringing")]
    assert len(phone.called("tmx.t_suspend")) == 1
    (wish,) = wishes(phone)
    assert wish.pop("at_ms") > 0
    assert wish == {
        "event": "call", "token": token, "call_id": "call-1", "stage": 1, "branch": 0, "account": "f12",
        "trunk": "twilio",
        "number": "+79160000012", "caller_number": "+74953330003",
    }  # fmt: skip
    assert told(phone) == [("twilio", "invited", None)]
    assert token not in str(phone.queues[story.QUEUE])


def test_a_leg_that_is_cancelled_while_it_is_put_to_wait_calls_nobody(
    phone: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def suspend(fake: FakeKsr) -> int:
        voice_calls.close(fake.ksr, LEG)  # another worker has the CANCEL
        return 1

    monkeypatch.setitem(ksr_functions.HANDLERS, "tmx.t_suspend", suspend)
    assert trunk_calls.ring_phone(phone.ksr, request_of(phone)) is DONE
    assert [wish["event"] for wish in wishes(phone)] == ["end"]
    assert nothing_is_left(phone)


def cancel(fake: FakeKsr, request_of: Make) -> None:
    """Another worker has the node's CANCEL."""
    invite = fake.message
    fake.message = Message(method="CANCEL", ruri=invite.ruri, call_id=invite.call_id, source_ip=invite.source_ip)
    dialogs.pass_cancel(fake.ksr, request_of(fake))
    fake.message = invite


def test_a_leg_that_is_cancelled_as_soon_as_the_node_hears_of_it_calls_nobody(
    phone: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    def reply(fake: FakeKsr, status: int, _phrase: str) -> int:
        if status == 180:
            cancel(fake, request_of)
        return 1

    monkeypatch.setitem(ksr_functions.HANDLERS, "tm.t_reply", reply)
    assert trunk_calls.ring_phone(phone.ksr, request_of(phone)) is DONE
    must_call_nobody(phone)


def test_a_leg_whose_cancel_came_between_two_trunks_calls_nobody(
    phone: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(ksr_functions.HANDLERS, "tm.t_is_canceled", lambda _fake: 1)
    assert trunk_calls.ring_phone(phone.ksr, request_of(phone)) is DONE
    must_call_nobody(phone)


def test_a_leg_that_is_put_to_wait_while_its_cancel_is_in_hand_ends(
    phone: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    invite = phone.message

    def relay(fake: FakeKsr) -> int:
        fake.message = invite
        assert trunk_calls.ring_phone(fake.ksr, request_of(fake)) is DONE
        return 1

    monkeypatch.setitem(ksr_functions.HANDLERS, "tm.t_relay", relay)
    cancel(phone, request_of)
    assert [wish["event"] for wish in wishes(phone)] == ["call", "end"]
    assert nothing_is_left(phone)


def test_tokens_cannot_be_guessed(phone: FakeKsr, request_of: Make) -> None:
    found = set()
    for _ in range(50):
        phone.message.headers = [(headers.TRUNK, HEADER), (headers.WAITING, WAITING)]
        trunk_calls.ring_phone(phone.ksr, request_of(phone))
        found.add(str(wishes(phone)[-1]["token"]))
    assert len(found) == 50
    assert {len(token) for token in found} == {33}


def test_the_call_of_the_api_goes_to_the_node_that_waits(phone: FakeKsr, request_of: Make) -> None:
    token = waits(phone, request_of)
    call_in(phone, token)
    assert router.answer_trunk(phone.ksr, request_of(phone)) is DONE
    assert phone.relayed == ["sip:voice@127.0.0.21:5060"]
    assert phone.header(headers.WAITING) == f"0 f12 twilio|f12|{WAITING}"
    assert told(phone)[-1] == ("twilio", "answered", 200)
    assert nothing_is_left(phone)
    # The node now takes its leg back: nobody has cancelled anything, and nobody hangs up at the API.
    voice_calls.close(phone.ksr, LEG)
    assert told(phone)[-1] == ("twilio", "answered", 200)
    assert len(wishes(phone)) == 1


@pytest.mark.parametrize("source_ip", ["54.172.60.4", "127.0.1.1", "2001:db9::1", "nonsense"])
def test_a_stranger_with_a_token_is_a_stranger(phone: FakeKsr, request_of: Make, source_ip: str) -> None:
    token = waits(phone, request_of)
    call_in(phone, token, source_ip)
    assert voice_calls.join(phone.ksr, request_of(phone)) is NEXT
    call_in(phone, token, "2001:db8::7")
    assert voice_calls.join(phone.ksr, request_of(phone)) is DONE


@pytest.mark.parametrize("user", ["voice", "", "v" + "A" * 32, "v" + "0" * 33, "+74951120001"])
def test_what_is_no_token_of_a_leg_goes_on_as_it_is(phone: FakeKsr, request_of: Make, user: str) -> None:
    waits(phone, request_of)
    call_in(phone, user)
    assert voice_calls.join(phone.ksr, request_of(phone)) is NEXT


def test_a_token_is_good_once(phone: FakeKsr, request_of: Make) -> None:
    token = waits(phone, request_of)
    call_in(phone, token)
    voice_calls.join(phone.ksr, request_of(phone))
    call_in(phone, token)
    assert voice_calls.join(phone.ksr, request_of(phone)) is DONE
    assert len(phone.relayed) == 1
    assert phone.replies[-1] == (404, "Nobody Waits")


def test_a_token_of_another_trunk_joins_nothing(phone: FakeKsr, request_of: Make) -> None:
    phone.views["kamailio_voice_trunks"].append(("other", "10.9.0.0/16"))
    voice_trunks.VoiceTrunkKeeper().tick(phone.ksr)
    token = waits(phone, request_of)
    call_in(phone, token, "10.9.0.1")
    assert voice_calls.join(phone.ksr, request_of(phone)) is DONE
    assert (phone.relayed, phone.replies[-1][0]) == ([], 404)
    assert voice_calls.find(phone.ksr, token) is not None


def test_a_leg_that_is_cancelled_ends_the_call_at_the_api(phone: FakeKsr, request_of: Make) -> None:
    token = waits(phone, request_of)
    voice_calls.close(phone.ksr, LEG)
    voice_calls.close(phone.ksr, LEG)
    assert [wish["event"] for wish in wishes(phone)] == ["call", "end"]
    assert told(phone)[1:] == [("twilio", "cancelled", None)]
    assert nothing_is_left(phone)
    call_in(phone, token)
    voice_calls.join(phone.ksr, request_of(phone))
    assert (phone.relayed, phone.replies[-1][0]) == ([], 404)
    voice_calls.told(phone.ksr, f"{token} 486")
    assert phone.called("tmx.t_continue") == []


def test_placed_and_ringing_are_told_once_also_when_they_come_twice(phone: FakeKsr, request_of: Make) -> None:
    token = waits(phone, request_of)
    for change in (f"{token} 100", f"{token} 180", f"{token} 180", f"{token} 100", f"{token}", f"{token} x"):
        voice_calls.told(phone.ksr, change)
    assert told(phone)[1:] == [("twilio", "ringing", 180)]
    found = voice_calls.find(phone.ksr, token)
    assert found is not None
    assert found.state == "rings"
    voice_calls.told(phone.ksr, "v0 180")


@pytest.mark.parametrize(("status", "outcome"), [(486, "busy"), (603, "declined"), (480, "offline"), (404, "failed")])
def test_what_the_called_side_says_ends_the_leg(phone: FakeKsr, request_of: Make, status: int, outcome: str) -> None:
    token = waits(phone, request_of)
    voice_calls.told(phone.ksr, f"{token} {status}")
    assert phone.called("tmx.t_continue") == [(17, 4711, voice_calls.ON_RESUME)]
    trunk_calls.on_resume(phone.ksr)
    assert phone.replies[-1][0] == status
    assert told(phone)[-1] == ("twilio", outcome, status)
    assert phone.relayed == []
    assert nothing_is_left(phone)


def test_an_api_that_cannot_gives_way_to_the_next_trunk_and_rests(phone: FakeKsr, request_of: Make) -> None:
    token = waits(phone, request_of)
    voice_calls.told(phone.ksr, f"{token} 503")
    trunk_calls.on_resume(phone.ksr)
    assert phone.relayed == ["sip:+79160000012@10.0.0.1"]
    assert told(phone)[1:] == [("twilio", "failed", 503), ("carrier-a", "invited", None)]
    assert trunks.in_order(phone.ksr, ["twilio", "carrier-a"]) == ["carrier-a", "twilio"]
    trunk_calls.on_branch(phone.ksr, request_of(phone).settings)
    assert phone.called("uac.uac_replace_from")[-1] == ("", "sip:+74951110001@entryphone.test")


@pytest.mark.parametrize("first", ["a carrier", "a voice API"])
def test_a_leg_that_is_cancelled_as_the_api_fails_dials_no_other_trunk(
    phone: FakeKsr, request_of: Make, first: str
) -> None:
    phone.views["kamailio_voice_trunks"].append(("other", "10.9.0.0/16"))
    voice_trunks.VoiceTrunkKeeper().tick(phone.ksr)
    if first == "a voice API":
        phone.message.headers[0] = (headers.TRUNK, HEADER.replace("carrier-a=", "other="))
    token = waits(phone, request_of)
    voice_calls.told(phone.ksr, f"{token} 503")
    phone.results["tm.t_is_canceled"] = 1
    trunk_calls.on_resume(phone.ksr)
    assert (phone.relayed, len(wishes(phone))) == ([], 1)
    assert told(phone)[1:] == [("twilio", "cancelled", None)]
    assert not phone.tables["resting"]
    assert nothing_is_left(phone)


def test_a_carrier_that_fails_gives_way_to_the_api(phone: FakeKsr, request_of: Make) -> None:
    trunks.rest(phone.ksr, "twilio")
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    assert (len(phone.relayed), wishes(phone)) == (1, [])
    phone.message.status = 503
    trunk_calls.on_failure(phone.ksr)
    assert [wish["number"] for wish in wishes(phone)] == ["+79160000012"]
    assert told(phone)[-2:] == [("carrier-a", "failed", 503), ("twilio", "invited", None)]


def test_when_nobody_calls_the_phone_the_leg_goes_on(
    phone: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    waits(phone, request_of)
    voice_calls.tick(phone.ksr)
    assert phone.called("tmx.t_continue") == []
    at_ms = clock.steady_ms()
    monkeypatch.setattr(voice_calls, "steady_ms", lambda: at_ms + voice_calls.PLACED_WITHIN_MS + 1)
    voice_calls.tick(phone.ksr)
    assert len(phone.called("tmx.t_continue")) == 1
    assert [wish["event"] for wish in wishes(phone)] == ["call", "end"]
    trunk_calls.on_resume(phone.ksr)
    assert phone.relayed == ["sip:+79160000012@10.0.0.1"]


def test_a_phone_that_is_being_called_may_ring_for_long(
    phone: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = waits(phone, request_of)
    voice_calls.told(phone.ksr, f"{token} 100")
    at_ms = clock.steady_ms()
    monkeypatch.setattr(voice_calls, "steady_ms", lambda: at_ms + 60_000)
    voice_calls.tick(phone.ksr)
    assert phone.called("tmx.t_continue") == []


def test_a_node_that_cannot_be_joined_uses_the_carrier(phone: FakeKsr, request_of: Make) -> None:
    phone.message.headers = [(headers.TRUNK, HEADER)]
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    assert wishes(phone) == []
    assert phone.relayed == ["sip:+79160000012@10.0.0.1"]


def test_a_leg_that_cannot_wait_uses_the_carrier(phone: FakeKsr, request_of: Make) -> None:
    phone.results["tmx.t_suspend"] = -1
    trunk_calls.ring_phone(phone.ksr, request_of(phone))
    assert wishes(phone) == []
    assert phone.relayed == ["sip:+79160000012@10.0.0.1"]
    assert list(phone.tables["setup"]) == [LEG], "the carrier rings"
    del phone.tables["setup"][LEG]
    assert nothing_is_left(phone)


def test_trunks_of_the_api_follow_the_database_and_outlive_it(fake: FakeKsr, follower: changes.ChangeFollower) -> None:
    fake.views["kamailio_voice_trunks"] = [("twilio", "10.0.0.0/8"), ("bad|name", "10.0.0.0/8")]
    follower.tick(fake.ksr)
    follower.tick(fake.ksr)
    assert voice_trunks.is_known(fake.ksr, "twilio")
    assert not voice_trunks.is_known(fake.ksr, "bad|name")
    fake.views["kamailio_voice_trunks"] = []
    fake.changes.append((1, "trunk:twilio"))
    follower.tick(fake.ksr)
    follower.tick(fake.ksr)
    assert not voice_trunks.is_known(fake.ksr, "twilio")
    fake.database = None
    follower.tick(fake.ksr)


def test_a_change_reaches_the_leg(phone: FakeKsr, request_of: Make, follower: changes.ChangeFollower) -> None:
    follower.tick(phone.ksr)
    token = waits(phone, request_of)
    phone.changes.append((1, f"voice:{token} 180"))
    follower.tick(phone.ksr)
    follower.tick(phone.ksr)
    assert told(phone)[1:] == [("twilio", "ringing", 180)]
