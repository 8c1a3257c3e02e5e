"""What comes within a dialog, and the end of calls."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import dialogs, panel_calls, router, settings, stage_calls, talks
from kemi_routes.pipeline import DONE, NEXT, Outcome
from tests.unit.kemi.sip_message import Contact, Message
from tests.unit.kemi.steps import events, stage

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]


def bye(fake: FakeKsr, request_of: Make, call_id: str = "call-1", to_user: str = "12") -> None:
    fake.message = Message(
        method="BYE", ruri="sip:x@127.0.0.21:5060", to_tag=True, call_id=call_id, from_user="p1", to_user=to_user
    )
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))


def answered(fake: FakeKsr, request_of: Make, plan_source: str) -> None:
    stage(fake, "h2")
    fake.message.headers = [("X-Entryphone-Stage", f"1 h2 call-1,p1,12 {plan_source}".strip())]
    fake.location = {"h2": [Contact("sip:a@1", "r1")]}
    stage_calls.ring_stage(fake.ksr, request_of(fake))
    fake.message.status = 200
    fake.pvs["$T_reply_ruid"] = "r1"
    stage_calls.on_reply(fake.ksr, settings.read(fake.ksr))
    stage_calls.on_reply(fake.ksr, settings.read(fake.ksr))  # its 200 once more
    fake.queues["story"].clear()


def test_a_bye_ends_an_answered_call_once(fake: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    now_ns = 10**18
    monkeypatch.setattr("kemi_routes.clock.time.monotonic_ns", lambda: now_ns)
    answered(fake, request_of, "redis")
    now_ns += 15 * 10**8
    bye(fake, request_of, "leg-1", stage_calls.USER)
    assert events(fake) == []
    bye(fake, request_of)
    told = [(event["event"], event["call_id"], event["result"], event["talk_ms"]) for event in events(fake)]
    assert told == [("ended", "call-1", "answered", 1500)]
    assert not fake.tables["talking"]


@pytest.mark.parametrize(
    ("legs", "by"),
    [
        ([("device", "leg-1"), ("node", "call-1")], "callee"),
        ([("device", "call-1"), ("node", "leg-1")], "caller"),
        ([("node", "call-1"), ("node", "leg-1")], "platform"),
        ([("node", "leg-1"), ("node", "call-1")], "platform"),
        ([("device", "leg-1"), ("device", "call-1")], "caller"),
    ],
)
def test_who_hung_up_is_told(fake: FakeKsr, request_of: Make, legs: list[tuple[str, str]], by: str) -> None:
    answered(fake, request_of, "redis")
    for side, call_id in legs:
        if side == "device":
            bye(fake, request_of, call_id)
        else:
            bye_of_node(fake, request_of, call_id, "16")
    assert [event["hung_up_by"] for event in events(fake)] == [by]
    assert not fake.tables["talking"]


def test_a_talk_that_gave_way_to_a_dispatcher_says_so(fake: FakeKsr, request_of: Make) -> None:
    answered(fake, request_of, "redis")
    talks.gives_way(fake.ksr, "call-1")
    bye_of_node(fake, request_of, "call-1", "16")
    assert [(event["hung_up_by"], event["reason"], event["cause"]) for event in events(fake)] == [
        ("platform", talks.GAVE_WAY, 16)
    ]


def test_a_call_cancelled_in_the_moment_of_the_answer_never_was(fake: FakeKsr, request_of: Make) -> None:
    fake.results["tm.t_is_canceled"] = 1
    for plan_source, told in (("redis", ["caller_hung_up"]), ("", [])):
        answered(fake, request_of, plan_source)
        fake.message = Message(status=487, source_ip="127.0.0.21")
        panel_calls.on_failure(fake.ksr, settings.read(fake.ksr))
        assert [event["result"] for event in events(fake)] == told
        assert [event["hung_up_by"] for event in events(fake)] == ["caller"] * len(told)
        assert "call-1" not in fake.tables["talking"]


def bye_of_node(fake: FakeKsr, request_of: Make, call_id: str, cause: str) -> None:
    reason = ("Reason", f"Q.850;cause={cause}")
    fake.message = Message(method="BYE", source_ip="127.0.0.21", to_tag=True, call_id=call_id, headers=[reason])
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))


@pytest.mark.parametrize(("cause", "reason"), [("16", None), ("44", talks.NO_MEDIA)])
def test_a_call_whose_panel_is_silent_says_so(fake: FakeKsr, request_of: Make, cause: str, reason: str | None) -> None:
    answered(fake, request_of, "redis")
    bye_of_node(fake, request_of, "call-1", cause)
    bye_of_node(fake, request_of, "leg-1", "16")
    assert [(event["cause"], event["reason"]) for event in events(fake)] == [(int(cause), reason)]
    assert not fake.tables["talking"]


@pytest.mark.parametrize("order", [("leg-1", "call-1"), ("call-1", "leg-1")])
def test_a_call_whose_phone_is_silent_says_so_whichever_bye_is_first(
    fake: FakeKsr, request_of: Make, order: tuple[str, str]
) -> None:
    answered(fake, request_of, "redis")
    for call_id in order:
        bye_of_node(fake, request_of, call_id, "44" if call_id == "leg-1" else "16")
    told = events(fake)
    assert {event["call_id"] for event in told} == {"call-1"}
    assert [event["reason"] for event in told if event["reason"]] == [talks.NO_MEDIA]
    assert len([event for event in told if event["talk_ms"] is not None]) == 1
    assert not fake.tables["talking"]


def test_the_end_of_a_call_that_is_not_ordinary_is_left_to_fastagi(fake: FakeKsr, request_of: Make) -> None:
    answered(fake, request_of, "")
    assert not fake.tables["talking"]


def test_cancel_of_nothing_is_481(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method = "CANCEL"
    fake.results["tm.t_check_trans"] = -1
    dialogs.pass_cancel(fake.ksr, request_of(fake))
    assert fake.replies[0][0] == 481


def test_refer_is_405(fake: FakeKsr, request_of: Make) -> None:
    fake.message.method, fake.message.to_tag = "REFER", True
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))
    assert fake.replies[0][0] == 405


def test_a_device_reaches_only_nodes_in_a_dialog(fake: FakeKsr, request_of: Make) -> None:
    fake.message = Message(method="BYE", ruri="sip:x@203.0.113.1", to_tag=True)
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))
    assert fake.replies[0][0] == 403
    fake.message = Message(method="BYE", ruri="sip:x@127.0.0.21:5060", to_tag=True)
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))
    assert fake.relayed == ["sip:x@127.0.0.21:5060"]


def test_a_stray_ack_is_dropped_without_an_answer(fake: FakeKsr, request_of: Make) -> None:
    fake.message = Message(method="ACK", to_tag=True)
    fake.results = {"rr.loose_route": -1, "tm.t_check_trans": -1}
    assert dialogs.pass_ack(fake.ksr, request_of(fake)) is DONE
    assert fake.relayed == []


def test_the_ack_of_a_refusal_is_taken_although_the_route_of_its_invite_leads_nowhere(
    fake: FakeKsr, request_of: Make
) -> None:
    """A device with an outbound proxy set repeats its Route here (RFC 3261, 17.1.1.3); the route ends at us."""
    fake.message = Message(method="ACK", to_tag=True)
    fake.results = {"rr.loose_route": 1, "tm.t_check_trans": 0}
    assert dialogs.pass_ack(fake.ksr, request_of(fake)) is DONE
    assert len(fake.called("tm.t_check_trans")) == 1
    fake.results["tm.t_check_trans"] = 1  # of a 2xx, perhaps: no way to anybody but a node
    dialogs.pass_ack(fake.ksr, request_of(fake))
    assert fake.relayed == []


@pytest.mark.parametrize("method", ["INVITE", "UPDATE"])
def test_where_a_device_behind_nat_says_it_is_is_noted_in_its_answer_to_a_change_of_the_session(
    fake: FakeKsr, request_of: Make, method: str
) -> None:
    """Its Contact is the remote target from then on (RFC 3261, 12.2.1.2): Asterisk sends the BYE there."""
    made = router.build(fake.ksr, first=False)
    fake.message = Message(method=method, ruri="sip:a@10.0.0.1", source_ip="127.0.0.21", to_tag=True)
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))
    ((armed,),) = fake.called("tm.t_on_reply")
    for contact in ("<sip:a@127.0.1.1>", "<sip:a@192.168.1.5>"):
        fake.message = Message(status=200, headers=[("Contact", contact)])
        getattr(made, str(armed))(None)
    assert len(fake.called("nathelper.set_contact_alias_trim")) == 1
    fake.message = Message(method="BYE", ruri="sip:a@10.0.0.1", source_ip="127.0.0.21", to_tag=True)
    dialogs.pass_in_dialog(fake.ksr, request_of(fake))
    assert len(fake.called("tm.t_on_reply")) == 1, "nothing else changes it"


def test_a_repeated_invite_is_absorbed(fake: FakeKsr, request_of: Make) -> None:
    fake.results["tm.t_check_trans"] = 0
    assert dialogs.absorb_retransmission(fake.ksr, request_of(fake)) is DONE


@pytest.mark.parametrize(("method", "outcome"), [("INVITE", DONE), ("BYE", DONE), ("INFO", DONE), ("CANCEL", NEXT)])
def test_what_another_worker_has_in_hand_is_not_looked_for(
    fake: FakeKsr, request_of: Make, method: str, outcome: Outcome
) -> None:
    fake.results["tmx.t_precheck_trans"] = 1
    fake.message.method = method
    assert dialogs.absorb_double(fake.ksr, request_of(fake)) is outcome
    assert not fake.called("tm.t_check_trans")
