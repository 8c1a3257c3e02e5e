"""Two workers of Kamailio have the same call in hand: its end is told once, whoever is quicker."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hypothesis import given
from hypothesis import strategies as st

from kemi_routes import dialogs, node_life, panel_calls, panel_talks, settings, talks
from kemi_routes.pipeline import Request
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
