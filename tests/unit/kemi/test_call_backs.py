"""A dispatch centre calls a city's number back, and a talk that keeps its panel busy is ended."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import call_backs, dialogs, emergency_calls, headers, panel_talks, settings, stage_calls, story, talks
from kemi_routes.pipeline import DONE, NEXT
from tests.unit.kemi.emergency_town import leg
from tests.unit.kemi.sip_message import Contact, Message

if TYPE_CHECKING:
    from kemi_routes.pipeline import Request
    from tests.unit.kemi.emergency_town import Make
    from tests.unit.kemi.fake_ksr import FakeKsr


def from_trunk(fake: FakeKsr, make: Make, number: str, address: str = "10.0.0.1") -> Request:
    fake.message.source_ip = address
    fake.message.ruri = f"sip:{number}@127.0.0.10"
    return make(fake)


@pytest.mark.parametrize("number", ["+7495001", "7495001"])
def test_a_trunk_calls_a_number_of_the_city_back(known: FakeKsr, request_of: Make, number: str) -> None:
    request = from_trunk(known, request_of, number)
    assert call_backs.take(known.ksr, request) is NEXT
    assert (request.kind, request.account) == ("trunk", "city-line")
    assert known.header(headers.CALL_BACK) == "+7495001|city-line|-"
    assert known.user_host()[0] == "call-back"


def test_who_called_with_a_number_last_is_told(known: FakeKsr, request_of: Make) -> None:
    leg(known)
    emergency_calls.ring_centre(known.ksr, request_of(known))
    known.message.headers.clear()
    call_backs.take(known.ksr, from_trunk(known, request_of, "+7495001"))
    assert known.header(headers.CALL_BACK) == "+7495001|city-line|p10001"


@pytest.mark.parametrize("number", ["+7495999", "12", "abc", "1;drop"])
def test_other_numbers_of_a_trunk_are_refused(known: FakeKsr, request_of: Make, number: str) -> None:
    assert call_backs.take(known.ksr, from_trunk(known, request_of, number)) is DONE
    assert known.replies[0][0] == 404


def test_an_address_that_is_no_trunks_is_a_stranger(known: FakeKsr, request_of: Make) -> None:
    request = from_trunk(known, request_of, "+7495001", "10.9.9.9")
    assert call_backs.take(known.ksr, request) is NEXT
    assert request.kind == ""


@pytest.mark.parametrize(
    ("whose", "is_freed"),
    [("h12,p10001", True), ("city-line,%2B7495001", False)],
    ids=["a resident looks", "a dispatcher calls back"],
)
def test_a_panel_through_which_somebody_looks_can_be_freed_and_one_that_a_dispatcher_has_called_cannot(
    known: FakeKsr, request_of: Make, whose: str, *, is_freed: bool
) -> None:
    known.message = Message(
        ruri="sip:stage@127.0.0.10", source_ip="127.0.0.21", call_id="leg-1",
        headers=[(headers.STAGE, f"0 p10001 call-9,{whose}")],
    )  # fmt: skip
    known.location = {"p10001": [Contact("sip:p10001@127.0.1.1", "r1")]}
    stage_calls.ring_stage(known.ksr, request_of(known))
    known.message.status, known.pvs["$T_reply_ruid"] = 200, "r1"
    stage_calls.on_reply(known.ksr, settings.read(known.ksr))
    assert known.tables["talks"] == ({"p10001": "127.0.0.21:5060 call-9"} if is_freed else {})
    known.message = Message(method="BYE", ruri="sip:x@127.0.0.21:5060", to_tag=True, call_id="leg-1")
    dialogs.pass_in_dialog(known.ksr, request_of(known))
    assert known.tables["talks"] == known.tables["talking"] == {}


def test_a_call_to_a_centre_gives_way_to_nobody_though_its_number_was_not_known(
    known: FakeKsr, request_of: Make
) -> None:
    """An SOS number that was set a second ago: Kamailio took the call for one to an apartment."""
    panel_talks.begins(known.ksr, "p10001", panel_talks.Talk("127.0.0.21:5060", "call-9"))
    talks.centre_called(known.ksr, story.EmergencyCall("call-9", "p10001", "911"))
    known.message.source_ip = "127.0.0.22"
    known.message.headers = [(headers.CALL_BACK, "p10001")]
    known.message.ruri = "sip:end-talk@127.0.0.10"
    call_backs.end_talk(known.ksr, request_of(known))
    assert (known.relayed, known.replies[-1][0]) == ([], 480)


def test_a_panels_talk_is_known_to_its_end(known: FakeKsr, request_of: Make) -> None:
    panel_talks.begins(known.ksr, "p10001", panel_talks.Talk("127.0.0.21:5060", "call-9"))
    known.message.source_ip = "127.0.0.22"
    known.message.headers = [(headers.CALL_BACK, "p10001")]
    known.message.ruri = "sip:end-talk@127.0.0.10"
    call_backs.end_talk(known.ksr, request_of(known))
    assert known.relayed == ["sip:end-talk@127.0.0.21:5060"]
    assert known.message.headers == [(headers.CALL_BACK, "call-9")]
    known.message.method, known.message.to_tag, known.message.call_id = "BYE", True, "call-8"
    known.message.source_ip, known.message.from_user = "127.0.1.1", "p10001"
    known.message.ruri = "sip:x@127.0.0.21:5060"
    dialogs.pass_in_dialog(known.ksr, request_of(known))
    assert known.tables["talks"], "another call's end"
    known.message.call_id = "call-9"
    dialogs.pass_in_dialog(known.ksr, request_of(known))
    assert not known.tables["talks"]
    known.message.headers = [(headers.CALL_BACK, "p10001")]
    call_backs.end_talk(known.ksr, request_of(known))
    assert known.replies[-1][0] == 480
