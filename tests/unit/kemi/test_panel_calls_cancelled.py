"""Calls of panels that are cancelled: no node is tried any more, and who tells their end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import nodes, panel_calls
from tests.unit.kemi.sip_message import Message
from tests.unit.kemi.steps import RELAY, called_by, cancelled_while, events

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


def test_a_cancelled_call_is_left_alone(fake: FakeKsr, request_of: Make) -> None:
    panel_calls.send_to_node(fake.ksr, request_of(fake))
    fake.results["tm.t_is_canceled"] = 1
    fake.message.status = 503
    panel_calls.on_failure(fake.ksr, request_of(fake).settings)
    assert len(fake.relayed) == 1


def ends(fake: FakeKsr) -> list[tuple[object, ...]]:
    return [
        tuple(event.get(name) for name in ("event", "result", "panel", "dialled", "hung_up_by"))
        for event in events(fake)
        if event["event"] in ("ended", "refused")
    ]


@pytest.mark.parametrize(
    ("state", "status", "timed_out", "is_told"),
    [
        (nodes.SENT, 408, True, True),  # the node has said nothing
        (nodes.RINGS, 408, True, True),  # it has died since, and does not say 487
        (nodes.LOST, 503, False, True),
        (nodes.LOST, 487, False, False),  # it only stood still
        (nodes.SENT, 503, False, True),  # it takes no calls
        (nodes.SENT, 488, False, True),
        (nodes.SENT, 420, False, True),
        (nodes.SENT, 487, False, False),  # its dialplan tells the end
        (nodes.DIALS, 487, False, False),
        (nodes.RINGS, 480, False, False),
        (nodes.DIALS, 503, False, False),
    ],
)
def test_the_end_of_a_cancelled_call_is_told_where_no_dialplan_does(
    fake: FakeKsr, request_of: Make, state: str, status: int, *, timed_out: bool, is_told: bool
) -> None:
    request = called_by(fake, request_of, "p1", "*40719")
    leg = nodes.panel_leg(fake.ksr, request.call_id)
    assert leg is not None
    nodes.keep_panel_leg(fake.ksr, request.call_id, leg._replace(state=state))
    fake.results |= {"tm.t_is_canceled": 1, "tm.t_branch_timeout": 1 if timed_out else -1}
    fake.message.status = status
    panel_calls.on_failure(fake.ksr, request.settings)
    assert ends(fake) == [("ended", "caller_hung_up", "p1", "access_code", "caller")] * is_told
    assert len(fake.relayed) == 1
    fake.message = Message(source_ip="127.0.0.21", call_id="leg-1")
    may_ring_nobody = timed_out or (state == nodes.LOST and is_told)
    assert nodes.has_left(fake.ksr, request.call_id) is may_ring_nobody, "it may go on after it stood still"


def test_a_call_that_is_cancelled_as_its_node_fails_is_not_refused(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    """tm sends nothing to the next node, which could be reached."""
    fake.next_nodes = ["sip:127.0.0.21:5060", "sip:127.0.0.22:5060", "sip:127.0.0.24:5060"]
    request = called_by(fake, request_of, "p1")
    cancelled_while(monkeypatch, RELAY)
    fake.message.status = 503
    panel_calls.on_failure(fake.ksr, request.settings)
    assert ends(fake) == [("ended", "caller_hung_up", "p1", "12", "caller")]
    assert fake.replies == []
    assert not any("cannot be reached" in line or "no node left" in line for line in fake.logs)
    assert nodes.panel_leg(fake.ksr, request.call_id) is None


def test_a_call_that_is_cancelled_before_any_node_has_it_is_not_refused(
    fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled_while(monkeypatch, RELAY)
    called_by(fake, request_of, "p1")
    assert ends(fake) == [("ended", "caller_hung_up", "p1", "12", "caller")]
    assert fake.replies == [(487, "Request Terminated")]
    assert fake.logs == []


def test_a_cancelled_call_back_has_no_record_that_ends(fake: FakeKsr, request_of: Make) -> None:
    request = request_of(fake)
    request.account, request.kind = "city-line", "trunk"
    panel_calls.send_to_node(fake.ksr, request)
    fake.results |= {"tm.t_is_canceled": 1, "tm.t_branch_timeout": 1}
    panel_calls.on_failure(fake.ksr, request.settings)
    assert events(fake) == []
