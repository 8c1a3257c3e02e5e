"""A probe on its way to the panel, and the state of panels that is kept for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import probe_calls
from kemi_routes.panel_states import PanelStates
from kemi_routes.pipeline import DONE
from tests.unit.kemi.sip_message import Contact, Message

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


def probe(fake: FakeKsr, target: str) -> None:
    fake.message = Message(
        ruri="sip:probe@127.0.0.10",
        source_ip="127.0.0.21",
        call_id="leg-1",
        headers=[("X-Entryphone-Target", target)],
    )


def test_a_probe_goes_to_its_panel_and_asks_for_the_handset(fake: FakeKsr, request_of: Make) -> None:
    probe(fake, "handset p1 12 header 7")
    fake.location = {"p1": [Contact("sip:p1@10.0.0.1", "r1")]}
    assert probe_calls.ring_handset(fake.ksr, request_of(fake)) is DONE
    assert fake.relayed == ["sip:p1@10.0.0.1"]
    assert fake.message.headers == [("X-Entryphone-Target", "handset;apartment=12")]
    assert "story" not in fake.queues, "no visitor calls"


def test_a_panel_whose_maker_wants_the_apartment_called_is_called_by_it(fake: FakeKsr, request_of: Make) -> None:
    probe(fake, "handset p1 12 user 7")
    fake.location = {"p1": [Contact("sip:p1@10.0.0.1", "r1")]}
    assert probe_calls.ring_handset(fake.ksr, request_of(fake)) is DONE
    assert fake.relayed == ["sip:12@10.0.0.1"]
    assert fake.message.headers == []


def test_a_panel_without_contact_is_480(fake: FakeKsr, request_of: Make) -> None:
    probe(fake, "handset p1 12 header 7")
    probe_calls.ring_handset(fake.ksr, request_of(fake))
    assert fake.replies == [(480, "Panel Not Registered")]


def test_a_probe_that_was_on_its_way_when_a_visitor_came_does_not_reach_the_panel(
    fake: FakeKsr, request_of: Make
) -> None:
    probe(fake, "handset p1 12 header 7")
    fake.location = {"p1": [Contact("sip:p1@10.0.0.1", "r1")]}
    request = request_of(fake)
    probe_calls.give_way(fake.ksr, request.settings, "p1")
    assert probe_calls.ring_handset(fake.ksr, request) is DONE
    assert (fake.relayed, fake.replies) == ([], [(486, "Panel Taken")])


@pytest.mark.parametrize(
    "target",
    [
        "",
        "handset p1",
        "app p1 12 user 7",
        "handset p1;x 12 user 7",
        "handset p1 1a user 7",
        "handset p1 12 3 7",
        "handset p1 12 user",
        "handset p1 12 user x",
        "handset p1 12 user 7 8",
    ],
)
def test_what_is_no_target(fake: FakeKsr, request_of: Make, target: str) -> None:
    probe(fake, target)
    probe_calls.ring_handset(fake.ksr, request_of(fake))
    assert fake.replies == [(400, "Bad Target")]


def test_a_probe_gives_way_once_on_the_node_that_makes_it(fake: FakeKsr, request_of: Make) -> None:
    probe(fake, "handset p1 12 header 7")
    fake.pvs["$sp"] = 5060
    fake.location = {"p1": [Contact("sip:p1@10.0.0.1", "r1")]}
    request = request_of(fake)
    probe_calls.ring_handset(fake.ksr, request)
    probe_calls.give_way(fake.ksr, request.settings, "p2")
    assert fake.called("tm.t_uac_send") == []
    for _ in range(2):
        probe_calls.give_way(fake.ksr, request.settings, "p1")
    ((method, uri, *_, told, _),) = fake.called("tm.t_uac_send")
    assert (method, uri) == ("INVITE", "sip:end-probe@127.0.0.21:5060")
    assert "X-Entryphone-Target: probe 7\r\n" in str(told)
    assert all(name in str(told) for name in ("From: ", "To: ", "Contact: "))


def test_a_node_that_cannot_be_told_costs_no_visitor(fake: FakeKsr, request_of: Make) -> None:
    probe(fake, "handset p1 12 header 7")
    fake.pvs["$sp"] = 5060
    request = request_of(fake)
    fake.location = {"p1": [Contact("sip:p1@10.0.0.1", "r1")]}
    probe_calls.ring_handset(fake.ksr, request)
    fake.results["tm.t_uac_send"] = -1
    probe_calls.give_way(fake.ksr, request.settings, "p1")
    assert "probe 7 of panel p1" in fake.logs[-1]


DIALLED = '{"event":"dialled","call_id":"c1","at_ms":1,"panel":"p1","dialled":"12"}'
REFUSED = '{"event":"refused","call_id":"c1","at_ms":2,"reason":"r","sip_status":503}'
BRANCH = '{"event":"branch","call_id":"c1"},{"event":"branch","call_id":"c1"}'


def test_a_call_takes_its_panel_and_a_refused_one_gives_it_back() -> None:
    states = PanelStates()
    taken = states.command([BRANCH, DIALLED])
    assert taken[2:] == ("2", "ep:panel_call:p1", "ep:call_over:c1", "900", "ep:panels_seen_at_ms", "+c1")
    freed = states.command([REFUSED])
    assert freed[2:] == ("2", "ep:panel_call:p1", "ep:call_over:c1", "900", "ep:panels_seen_at_ms", "-c1")


def test_an_answered_call_that_is_over_gives_its_panel_back() -> None:
    states = PanelStates()
    states.command([DIALLED])
    assert states.command(['{"event":"ended","call_id":"c1","at_ms":3}'])[-1] == "-c1"


def test_a_call_that_moved_says_so_of_its_own_panel() -> None:
    moved = '{"event":"moved","call_id":"c1","at_ms":2,"panel":"p1","dialled":"12","reason":"r","moves":2}'
    assert PanelStates().command([moved])[2:] == (
        "2", "ep:panel_call:p1", "ep:call_over:c1", "900", "ep:panels_seen_at_ms", "m2 c1",
    )  # fmt: skip


def test_a_call_that_nobody_knows_frees_nothing_and_silence_is_told() -> None:
    assert PanelStates().command([REFUSED])[2:] == ("0", "900", "ep:panels_seen_at_ms")
    assert PanelStates().command([])[2:] == ("0", "900", "ep:panels_seen_at_ms")


def test_a_device_that_nobody_knows_is_no_panel() -> None:
    dialled = '{"event":"dialled","call_id":"c1","at_ms":1,"panel":"stranger","dialled":"112"}'
    ended = '{"event":"ended","call_id":"c1","at_ms":2,"result":"answered"}'
    assert PanelStates().command([dialled, ended])[2:] == ("0", "900", "ep:panels_seen_at_ms")


def test_a_call_to_a_panel_takes_it_unless_it_is_in_a_call() -> None:
    states = PanelStates()
    called = '{"event":"panel_called","call_id":"c1","at_ms":1,"panel":"p2"}'
    taken = states.command(['{"event":"dialled","call_id":"c1","at_ms":1,"panel":"a1","dialled":"p2"}', called])
    assert taken[3:7] == ("ep:panel_call:a1", "ep:call_over:c1", "ep:panel_call:p2", "ep:call_over:c1")
    assert taken[-2:] == ("+c1", "*c1")
    freed = states.command([REFUSED])
    assert freed[3:7] == taken[3:7]
    assert freed[-2:] == ("-c1", "-c1")


def test_while_redis_is_away_a_batch_comes_again_and_grows_nothing() -> None:
    states = PanelStates()
    for _ in range(3):
        states.command([DIALLED])
    assert states.command([REFUSED])[2] == "2"


def test_a_talk_begun_many_calls_ago_gives_its_panel_back() -> None:
    ended = '{"event":"ended","call_id":"c9","at_ms":3,"panel":"p9","dialled":"12"}'
    assert PanelStates().command([ended])[3:] == (
        "ep:panel_call:p9", "ep:call_over:c9", "900", "ep:panels_seen_at_ms", "-c9",
    )  # fmt: skip


def test_a_panels_contact_that_nothing_can_be_sent_to_hides_no_other(fake: FakeKsr, request_of: Make) -> None:
    probe(fake, "handset p1 12 header 7")
    fake.location = {"p1": [Contact("mailto:a@b.c", "r0"), Contact("sip:p1@10.0.0.1", "r1")]}
    assert probe_calls.ring_handset(fake.ksr, request_of(fake)) is DONE
    assert fake.relayed == ["sip:p1@10.0.0.1"]
