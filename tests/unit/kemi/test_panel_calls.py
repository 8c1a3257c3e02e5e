"""Calls of panels on their way to a node, and what becomes of them when a node fails or all is full."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest

from kemi_routes import admission, call_backs, node_life, nodes, panel_calls, panel_talks, settings, story
from kemi_routes.pipeline import DONE, NEXT
from tests.unit.kemi.sip_message import Message
from tests.unit.kemi.steps import called_by, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


@pytest.mark.parametrize(
    "number",
    ["103", "*40719", "%2A40719", "stage", "call-back", "end-talk", "end-probe", "voice", "node-started", "h", "i", "s",
     "t", "+79001234567", ""],
)  # fmt: skip
def test_a_resident_calls_no_emergency_number_but_112_no_code_and_nothing_of_asterisks_own(
    fake: FakeKsr, request_of: Make, number: str
) -> None:
    request = request_of(fake)
    request.kind, request.number = "handset", number
    assert panel_calls.check_permission(fake.ksr, request) is DONE
    assert fake.replies == [(403, "Forbidden")]
    assert not any("40719" in line for line in fake.logs)


@pytest.mark.parametrize("number", ["0", "concierge", "12", "2112", "21*12", "p10001"])
@pytest.mark.parametrize("kind", ["handset", "indoor_unit", "app", "home_gateway", "concierge"])
def test_desks_neighbours_and_panels_are_for_the_crm_to_allow(
    fake: FakeKsr, request_of: Make, kind: str, number: str
) -> None:
    request = request_of(fake)
    request.kind, request.number = kind, number
    assert panel_calls.check_permission(fake.ksr, request) is NEXT


def test_an_access_code_is_told_to_nobody(fake: FakeKsr, request_of: Make) -> None:
    request = request_of(fake)
    request.kind, request.number, request.account = "panel", "*40719", "p10001"
    panel_calls.send_to_node(fake.ksr, request)
    told = " ".join(map(str, (*fake.logs, *fake.called("mqueue.mq_add"))))
    assert "40719" not in told
    assert "access_code" in told


def test_a_panels_call_ends_the_probe_that_the_panel_is_in(fake: FakeKsr, request_of: Make) -> None:
    request = request_of(fake)
    request.account, request.kind = "p1", "panel"
    fake.tables["probes"]["p1"] = "127.0.0.23:5060 7"
    panel_calls.send_to_node(fake.ksr, request)
    assert [told[1] for told in fake.called("tm.t_uac_send")] == ["sip:end-probe@127.0.0.23:5060"]
    assert fake.relayed == ["sip:127.0.0.21:5060"], "the visitor waits for nothing"


def test_a_panels_call_goes_to_a_node_with_its_kind(fake: FakeKsr, request_of: Make) -> None:
    request = request_of(fake)
    request.account, request.kind = "p1", "panel"
    fake.message.headers = [("Route", "<sip:evil.example;lr>")]
    panel_calls.send_to_node(fake.ksr, request)
    assert fake.relayed == ["sip:127.0.0.21:5060"]
    assert fake.message.headers == [("X-Entryphone-Kind", "panel")]
    assert events(fake)[0] | {"at_ms": 0} == {
        "event": "dialled",
        "call_id": "call-1",
        "at_ms": 0,
        "panel": "p1",
        "dialled": "12",
    }


def test_no_node_up_is_503_with_retry_after(fake: FakeKsr, request_of: Make) -> None:
    fake.nodes = []
    called_by(fake, request_of, "p1")
    assert fake.replies == [(503, "Service Unavailable")]
    assert fake.reply_headers == ["Retry-After: 2\r\n"]
    (told,) = events(fake)
    assert (told["event"], told["sip_status"]) == ("refused", 503)
    assert (told["panel"], told["dialled"]) == ("p1", "12"), "whose call it was: its company sees it"


def test_a_call_that_may_not_be_made_is_told_with_who_made_it(fake: FakeKsr, request_of: Make) -> None:
    request = request_of(fake)
    request.account, request.kind, request.number = "h1", "handset", "*40719"
    assert panel_calls.check_permission(fake.ksr, request) is DONE
    (told,) = events(fake)
    assert (told["panel"], told["dialled"]) == ("h1", "access_code")


@pytest.mark.parametrize("kind", ["", call_backs.KIND])
def test_a_refusal_names_no_panel_where_none_has_shown_who_it_is(fake: FakeKsr, request_of: Make, kind: str) -> None:
    fake.nodes = []
    request = request_of(fake)
    request.account, request.kind = "carrier-a" if kind else "", kind
    panel_calls.send_to_node(fake.ksr, request)
    told = events(fake)[-1]
    assert (told["event"], "panel" in told, "dialled" in told) == ("refused", False, False)


def test_a_node_that_is_down_but_was_heard_takes_calls(fake: FakeKsr, request_of: Make) -> None:
    fake.nodes = []
    node_life.Hearing().note(fake.ksr, "127.0.0.22")
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    assert fake.relayed == ["sip:127.0.0.22:5060"]


def test_an_emergency_call_tries_every_node_although_none_is_up(fake: FakeKsr, request_of: Make) -> None:
    fake.nodes = []
    fake.message.ruri = "sip:112@entryphone.test"
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    fake.message.status = 503
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert sorted(fake.relayed) == ["sip:127.0.0.21:5060", "sip:127.0.0.22:5060"]
    assert fake.replies == []
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert fake.replies == [(503, "Service Unavailable")]


@pytest.fixture
def with_emergency_node(fake: FakeKsr) -> FakeKsr:
    """A third node, for emergency calls alone."""
    fake.emergency_node = "127.0.0.24"
    fake.node_addresses.add(fake.emergency_node)
    return fake


def test_only_emergency_calls_go_to_their_node(with_emergency_node: FakeKsr, request_of: Make) -> None:
    request = request_of(with_emergency_node)
    panel_calls.send_to_node(with_emergency_node.ksr, request)
    request.emergency = True
    panel_calls.send_to_node(with_emergency_node.ksr, request)
    assert with_emergency_node.relayed == ["sip:127.0.0.21:5060", "sip:127.0.0.24:5060"]


def test_an_emergency_call_goes_on_from_its_node_through_every_other_one_once(
    with_emergency_node: FakeKsr, request_of: Make
) -> None:
    fake = with_emergency_node
    fake.message.ruri = "sip:112@entryphone.test"
    request = request_of(fake)
    panel_calls.send_to_node(fake.ksr, request)
    fake.message.status = 503
    for _ in range(3):
        assert fake.replies == []
        panel_calls.on_failure(fake.ksr, request.settings)
    assert fake.relayed == [f"sip:127.0.0.{host}:5060" for host in (24, 21, 22)]
    assert fake.replies == [(503, "Service Unavailable")]


def test_the_node_of_emergency_calls_is_tried_last_when_it_is_down(
    with_emergency_node: FakeKsr, request_of: Make
) -> None:
    fake = with_emergency_node
    fake.message.ruri = "sip:112@entryphone.test"
    request = request_of(fake)
    fake.results = {"dispatcher.ds_select_dst": -1}
    for address in ("127.0.0.21", "127.0.0.22"):
        node_life.Hearing().note(fake.ksr, address)
    panel_calls.send_to_node(fake.ksr, request)
    fake.message.status = 503
    for _ in range(3):
        panel_calls.on_failure(fake.ksr, request.settings)
    assert fake.relayed == [f"sip:127.0.0.{host}:5060" for host in (21, 22, 24)]
    assert fake.replies == [(503, "Service Unavailable")]


@pytest.mark.parametrize(
    ("status", "rang", "logged"),
    [
        (488, False, "no common codec"),
        (400, False, "the node cannot read the request"),
        (420, False, "extension not supported"),
        (404, False, "Because"),
        (404, True, ""),
        (486, False, ""),
        (480, True, ""),
    ],
)
def test_what_a_node_refuses_is_one_line(fake: FakeKsr, request_of: Make, status: int, rang: bool, logged: str) -> None:
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    if rang:
        fake.message.status = 183
        panel_calls.on_reply(fake.ksr, settings.read(fake.ksr))
    fake.message.status = status
    fake.pvs["$T_reply_reason"] = "Because"
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert len(fake.logs) == int(bool(logged))
    assert all(f"call ended by node: {status} {logged}; node=127.0.0.21:5060" in line for line in fake.logs)
    assert [event["event"] for event in events(fake)].count("refused") == int(status in (400, 420, 488))


def test_a_silent_node_is_passed_over(fake: FakeKsr, request_of: Make) -> None:
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    fake.message.status = 408
    fake.results = {"tm.t_branch_timeout": 1, "tm.t_branch_replied": -1}
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert fake.relayed == ["sip:127.0.0.21:5060", "sip:127.0.0.22:5060"]
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert fake.replies == [(503, "Service Unavailable")]
    assert not fake.tables["setup"]


@pytest.mark.parametrize(("status", "moved"), [(500, True), (502, True), (503, True), (486, False), (480, False)])
def test_which_failures_are_the_nodes(fake: FakeKsr, request_of: Make, status: int, moved: bool) -> None:
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    fake.message.status = status
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert (len(fake.relayed) == 2) is moved


def test_a_call_that_rang_is_not_rung_again(fake: FakeKsr, request_of: Make) -> None:
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    fake.message.status = 180
    panel_calls.on_reply(fake.ksr, settings.read(fake.ksr))
    assert sum(v for v in fake.tables["silent"].values() if isinstance(v, int)) == 0
    fake.message.status = 503
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert len(fake.relayed) == 1


@pytest.mark.parametrize("number", ["12", "112"])
@pytest.mark.parametrize("rang", [True, False])
@pytest.mark.parametrize(
    ("reason", "moved"),
    [("Q.850;cause=0", True), ("Q.850;cause=21", False), ('Q.850;cause=0;text="?"', True), ("", False)],
)
def test_a_call_leaves_a_node_that_is_being_stopped_and_a_refusal_stays_one(
    fake: FakeKsr, request_of: Make, number: str, reason: str, *, rang: bool, moved: bool
) -> None:
    """On SIGTERM Asterisk refuses each call with 603, as a resident does who declines, but names no cause."""
    request = called_by(fake, request_of, "p1", number)
    if rang:
        fake.message.status = 180
        panel_calls.on_reply(fake.ksr, request.settings)
    fake.message.status = 603
    fake.message.headers = [("Reason", reason)] if reason else []
    panel_calls.on_reply(fake.ksr, request.settings)
    panel_calls.on_failure(fake.ksr, request.settings)
    assert fake.relayed == ["sip:127.0.0.21:5060", "sip:127.0.0.22:5060"][: 1 + moved]
    assert sum(v for v in fake.tables["silent"].values() if isinstance(v, int)) == int(moved), "in setup again"
    fake.message = Message(source_ip="127.0.0.21", call_id="leg-1")
    assert nodes.has_left(fake.ksr, request.call_id) is moved, "the node that goes rings nobody for it any more"


def test_every_end_that_is_told_of_a_call_says_how_often_it_had_moved(fake: FakeKsr, request_of: Make) -> None:
    request = called_by(fake, request_of, "p1")
    fake.message.status = 503
    panel_calls.on_failure(fake.ksr, request.settings)
    assert ("X-Entryphone-Moves", "1") in fake.message.headers
    panel_calls.on_failure(fake.ksr, request.settings)
    _, *told = events(fake)
    assert [(event["event"], event["moves"]) for event in told] == [("moved", 1), ("moved", 2), ("refused", 2)]
    assert told[0] | {"at_ms": 0} == {
        "event": "moved", "call_id": request.call_id, "at_ms": 0, "panel": "p1", "dialled": "12",
        "reason": "node 127.0.0.21:5060 answered 503", "moves": 1,
    }  # fmt: skip
    story.ended(fake.ksr, story.End(request.call_id, "answered"))
    story.hung_up(fake.ksr, story.EmergencyCall(request.call_id, "p1", "112"))
    assert [event["moves"] for event in events(fake)[-2:]] == [2, 2]


@pytest.mark.parametrize("back", [False, True])
def test_an_emergency_call_that_moves_says_so_and_whose_it_is(fake: FakeKsr, request_of: Make, *, back: bool) -> None:
    fake.message.ruri = "sip:call-back@entryphone.test" if back else "sip:112@entryphone.test"
    request = request_of(fake)
    request.emergency, request.account = True, "line" if back else "p1"
    request.kind = "trunk" if back else "panel"
    panel_calls.send_to_node(fake.ksr, request)
    fake.message.status = 503
    panel_calls.on_failure(fake.ksr, request.settings)
    (step,) = (event for event in events(fake) if event["event"] == "emergency")
    whose = {"direction": "back"} if back else {"direction": "out", "panel": "p1", "dialled": "112"}
    assert step | {"at_ms": 0} == {
        "event": "emergency", "step": "moved", "call_id": request.call_id, "at_ms": 0,
        "detail": "node 127.0.0.21:5060 answered 503", "moves": 1, **whose,
    }  # fmt: skip
    assert [event["event"] for event in events(fake)].count("moved") == int(not back), "a call back has no record"


@pytest.mark.parametrize("status", [180, 183, 200])
@pytest.mark.parametrize("canceled", [1, -1])
def test_a_call_can_be_freed_for_a_dispatcher_from_its_ringing_to_its_end(
    fake: FakeKsr, request_of: Make, status: int, canceled: int
) -> None:
    fake.message.from_user = "p10001"
    request = request_of(fake)
    panel_calls.send_to_node(fake.ksr, request)
    assert panel_talks.of(fake.ksr, "p10001") is None
    fake.message.status = status
    panel_calls.on_reply(fake.ksr, request.settings)
    assert panel_talks.of(fake.ksr, "p10001") == panel_talks.Talk("127.0.0.21:5060", request.call_id)
    fake.results["tm.t_is_canceled"] = canceled
    fake.message.status = 480
    panel_calls.on_failure(fake.ksr, request.settings)
    assert panel_talks.of(fake.ksr, "p10001") is None


def test_above_the_rate_calls_are_refused_but_not_emergency_calls(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(time, "monotonic_ns", lambda: 1_000_500_000_000)
    for _ in range(400):
        assert admission.check_load(fake.ksr, request_of(fake)) is NEXT
        admission.take_token(fake.ksr, request_of(fake))
    assert admission.check_load(fake.ksr, request_of(fake)) is DONE
    assert fake.replies == [(503, "Overloaded")]
    assert fake.reply_headers == ["Retry-After: 2\r\n"]
    fake.message.ruri = "sip:112@entryphone.test"
    assert admission.check_load(fake.ksr, request_of(fake)) is NEXT


def test_a_node_without_a_route_gives_way_at_once(fake: FakeKsr, request_of: Make) -> None:
    request = request_of(fake)
    request.account, request.kind = "p1", "panel"
    fake.unreachable = {"sip:127.0.0.21:5060"}
    panel_calls.send_to_node(fake.ksr, request)
    assert fake.relayed == ["sip:127.0.0.21:5060", "sip:127.0.0.22:5060"]
    assert fake.replies == []
    assert nodes.panel_leg(fake.ksr, request.call_id) is not None


def test_without_a_route_to_any_node_the_visitor_is_told_when_to_come_back(fake: FakeKsr, request_of: Make) -> None:
    request = request_of(fake)
    request.account, request.kind = "p1", "panel"
    fake.unreachable = {f"sip:127.0.0.{host}:5060" for host in (21, 22, 24)}
    panel_calls.send_to_node(fake.ksr, request)
    assert fake.replies == [(503, "Service Unavailable")]
    assert nodes.panel_leg(fake.ksr, request.call_id) is None
