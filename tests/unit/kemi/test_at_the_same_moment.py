"""Two workers of Kamailio have the same call in hand: its end is told once, and it is lost to nobody."""

from __future__ import annotations

from contextlib import closing
from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kemi_routes import (
    admission,
    dialogs,
    headers,
    node_life,
    nodes,
    panel_calls,
    panel_talks,
    settings,
    stage_calls,
    talks,
)
from kemi_routes.pipeline import Request
from tests.unit.kemi import ksr_functions
from tests.unit.kemi.conftest import example_defines
from tests.unit.kemi.fake_ksr import FakeKsr
from tests.unit.kemi.sip_message import Message
from tests.unit.kemi.steps import events
from tests.unit.kemi.workers import Worker, side_by_side

if TYPE_CHECKING:
    from collections.abc import Callable

_ORDERS = st.lists(st.integers(0, 1), max_size=24)
_PHONE, _PANEL, _CALL = "leg-1", "call-1", "p1,12"


def _before() -> FakeKsr:
    fake = FakeKsr()
    fake.defines = example_defines()
    return fake


def _bye(call_id: str, source_ip: str, reason: str = "") -> tuple[Message, Callable[[FakeKsr], object]]:
    headers = [("Reason", reason)] if reason else []
    message = Message(
        method="BYE", ruri="sip:x@127.0.0.21:5060", to_tag=True, call_id=call_id, source_ip=source_ip, headers=headers,
        from_user="p1", to_user="p1",
    )  # fmt: skip

    def pass_on(fake: FakeKsr) -> None:
        from_node = fake.ksr.dispatcher.ds_is_from_list(node_life.SET) > 0
        request = Request(settings.read(fake.ksr), "BYE", call_id, source_ip, "x", in_dialog=True, from_node=from_node)
        dialogs.pass_in_dialog(fake.ksr, request)

    return message, pass_on


def _at_once(fake: FakeKsr, order: list[int], *works: tuple[Message, Callable[[FakeKsr], object]]) -> None:
    side_by_side([(Worker(message, fake), work) for message, work in works], iter(order))


@given(_ORDERS)
def test_panel_and_asterisk_hang_up_the_panels_leg_at_once(order: list[int]) -> None:
    fake = _before()
    talks.begins(fake.ksr, _PANEL, _PHONE, _CALL)
    _at_once(fake, order, _bye(_PANEL, "127.0.1.1"), _bye(_PANEL, "127.0.0.21"))
    assert [event["event"] for event in events(fake)] == ["ended"]
    assert _PANEL not in fake.tables["talking"]


@given(_ORDERS)
def test_panel_and_phone_hang_up_at_once(order: list[int]) -> None:
    """The phone's worker must not put back what the panel's has taken: Asterisk's BYE would end it again."""
    fake = _before()
    talks.begins(fake.ksr, _PANEL, _PHONE, _CALL)
    _at_once(fake, order, _bye(_PANEL, "127.0.1.1"), _bye(_PHONE, "127.0.2.1"))
    _at_once(fake, [], _bye(_PANEL, "127.0.0.21"))
    assert [event["hung_up_by"] for event in events(fake)] == ["caller"]
    assert not fake.tables["talking"]


@given(_ORDERS)
def test_both_legs_end_for_lack_of_media_at_once(order: list[int]) -> None:
    fake = _before()
    talks.begins(fake.ksr, _PANEL, _PHONE, _CALL)
    stopped = "Q.850;cause=44"
    _at_once(fake, order, _bye(_PHONE, "127.0.0.21", stopped), _bye(_PANEL, "127.0.0.21", stopped))
    told = events(fake)
    assert len([event for event in told if event["talk_ms"] is not None]) == 1
    assert {event["reason"] for event in told} == {talks.NO_MEDIA}
    assert not fake.tables["talking"]


@given(_ORDERS)
def test_the_visitor_leaves_and_a_bye_comes_at_once(order: list[int]) -> None:
    fake = _before()
    talks.begins(fake.ksr, _PANEL, _PHONE, _CALL)

    def cancelled(worker: FakeKsr) -> None:
        worker.results["tm.t_is_canceled"] = 1
        panel_calls.on_failure(worker.ksr, settings.read(worker.ksr))

    _at_once(fake, order, (Message(status=487, call_id=_PANEL), cancelled), _bye(_PANEL, "127.0.0.21"))
    assert len(events(fake)) == 1
    assert _PANEL not in fake.tables["talking"]


@given(_ORDERS)
def test_a_panel_ends_one_talk_and_begins_another_at_once(order: list[int]) -> None:
    """A dispatcher who calls back must find the talk that the panel is in."""
    fake = _before()
    panel_talks.begins(fake.ksr, "p1", panel_talks.Talk("127.0.0.21:5060", "call-1"))

    def begins(worker: FakeKsr) -> None:
        panel_talks.begins(worker.ksr, "p1", panel_talks.Talk("127.0.0.22:5060", "call-2"))

    _at_once(fake, order, _bye("call-1", "127.0.1.1"), (Message(), begins))
    assert fake.tables["talks"] == {"p1": "127.0.0.22:5060 call-2"}


@given(_ORDERS)
def test_the_panel_hangs_up_as_it_is_to_give_way(order: list[int]) -> None:
    fake = _before()
    talks.begins(fake.ksr, _PANEL, _PHONE, _CALL)
    _at_once(fake, order, _bye(_PANEL, "127.0.1.1"), (Message(), lambda worker: talks.gives_way(worker.ksr, _PANEL)))
    _at_once(fake, [], _bye(_PANEL, "127.0.0.21"))
    assert len(events(fake)) == 1
    assert _PANEL not in fake.tables["talking"]


_A, _B = "127.0.0.21", "127.0.0.22"


def _sent_to_node(state: str = nodes.SENT) -> FakeKsr:
    fake = _before()
    leg = nodes.PanelLeg(f"{_A}:5060", state, admission.setup_begins(fake.ksr))
    if state != nodes.SENT:
        admission.setup_ends(fake.ksr, leg.sent_ms)
    nodes.keep_panel_leg(fake.ksr, _PANEL, leg)
    return fake


def _in_setup(fake: FakeKsr) -> int:
    return sum(value for value in fake.tables["silent"].values() if isinstance(value, int))


def _place(fake: FakeKsr) -> tuple[str, str] | None:
    """Where the call is, and how far."""
    leg = nodes.panel_leg(fake.ksr, _PANEL)
    return None if leg is None else (leg.node, leg.state)


def _dials(leg_id: str = "leg-1") -> tuple[Message, Callable[[FakeKsr], object]]:
    return Message(call_id=leg_id, source_ip=_A), lambda worker: admission.node_dials(worker.ksr, _PANEL)


def _said_nothing() -> tuple[Message, Callable[[FakeKsr], object]]:
    """The node has not said a word for two seconds: the call goes on to the next one."""

    def fails(worker: FakeKsr) -> None:
        worker.results |= {"tm.t_branch_timeout": 1, "tm.t_branch_replied": -1}
        worker.next_nodes = [f"sip:{_B}:5060"]
        panel_calls.on_failure(worker.ksr, settings.read(worker.ksr))

    return Message(status=408, call_id=_PANEL), fails


def _says(status: int) -> tuple[Message, Callable[[FakeKsr], object]]:
    def replies(worker: FakeKsr) -> None:
        panel_calls.on_reply(worker.ksr, settings.read(worker.ksr))

    return Message(status=status, call_id=_PANEL, source_ip=_A), replies


def _node_is_lost() -> tuple[Message, Callable[[FakeKsr], object]]:
    def watch(worker: FakeKsr) -> None:
        worker.queues[nodes.QUEUE].append((f"sip:{_A}:5060", nodes.STARTED))
        with closing(nodes.NodeWatch(settings.read(worker.ksr))) as node_watch:
            node_watch.tick(worker.ksr)

    return Message(), watch


@given(_ORDERS)
def test_two_phones_of_a_stage_are_dialled_at_once(order: list[int]) -> None:
    fake = _sent_to_node()
    _at_once(fake, order, _dials("leg-1"), _dials("leg-2"))
    assert _in_setup(fake) == 0, "others would be let in above the bound"
    assert list(fake.tables["dialled_calls"].values()) == [1]


@given(_ORDERS)
def test_a_node_dials_as_it_is_given_up(order: list[int]) -> None:
    """Or else what the next node rings is refused, and the answer that this one brings is hung up."""
    fake = _sent_to_node()
    _at_once(fake, order, _dials(), _said_nothing())
    assert _place(fake) == (f"{_B}:5060", nodes.SENT)
    assert _in_setup(fake) == 1


@given(_ORDERS)
def test_a_node_dials_as_the_call_is_over(order: list[int]) -> None:
    fake = _sent_to_node()
    _at_once(fake, order, _dials(), _says(200))
    assert _place(fake) is None
    assert _in_setup(fake) == 0


@given(_ORDERS)
def test_a_node_is_found_dead_as_it_is_given_up(order: list[int]) -> None:
    fake = _sent_to_node(nodes.DIALS)
    _at_once(fake, order, _said_nothing(), _node_is_lost())
    assert _place(fake) == (f"{_B}:5060", nodes.SENT)


@given(_ORDERS)
def test_a_node_is_found_dead_as_its_ringing_arrives(order: list[int]) -> None:
    """The 503 that it gets in the node's name then sends it on; one that rings would end."""
    fake = _sent_to_node(nodes.DIALS)
    _at_once(fake, order, _node_is_lost(), _says(180))
    assert _place(fake) == (f"{_A}:5060", nodes.LOST)


@given(_ORDERS)
def test_a_node_is_found_dead_as_its_call_is_over(order: list[int]) -> None:
    fake = _sent_to_node(nodes.DIALS)
    _at_once(fake, order, _node_is_lost(), _says(200))
    assert _place(fake) is None, "nobody would ever take it away"


@given(_ORDERS)
def test_a_stage_is_cancelled_as_it_is_put_to_wait_for_a_sleeper(order: list[int]) -> None:
    fake = _before()
    cancelled: list[int] = []

    def invite(worker: FakeKsr) -> None:
        number = headers.STAGE_USER
        request = Request(settings.read(worker.ksr), "INVITE", _PHONE, _A, number, in_dialog=False, from_node=True)
        stage_calls.ring_stage(worker.ksr, request)

    def cancel(worker: FakeKsr) -> None:
        request = Request(settings.read(worker.ksr), "CANCEL", _PHONE, _A, "stage", in_dialog=False, from_node=True)
        dialogs.pass_cancel(worker.ksr, request)

    def relay(_fake: FakeKsr) -> int:
        cancelled.append(1)
        return 1

    asked = Message(call_id=_PHONE, source_ip=_A, headers=[(headers.STAGE, "1 ~a1 call-1,p1,12")])
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(ksr_functions.HANDLERS, "tm.t_relay", relay)
        patch.setitem(ksr_functions.HANDLERS, "tm.t_is_canceled", lambda _fake: 1 if cancelled else -1)
        _at_once(fake, order, (asked, invite), (Message(method="CANCEL", call_id=_PHONE, source_ip=_A), cancel))
    left = {name: rows for name, rows in fake.tables.items() if rows}
    assert not left, "an app that wakes would be rung for nobody"
