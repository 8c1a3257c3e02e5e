"""Apps that sleep: who is waited for, who joins whom, and that nothing of a leg is left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from kemi_routes import headers, settings, stage_calls, story, waking
from kemi_routes.pipeline import DONE
from tests.unit.kemi import ksr_functions
from tests.unit.kemi.sip_message import Contact, Saved

if TYPE_CHECKING:
    from collections.abc import Callable

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]

LEG = "call-1"  # Call-ID of the stage's INVITE in the fake


@pytest.fixture
def stage(fake: FakeKsr) -> FakeKsr:
    """An Asterisk node rings h1, and a1 and a2 that may wake."""
    fake.message.source_ip = "127.0.0.21"
    fake.message.ruri = "sip:stage@127.0.0.10"
    fake.message.headers = [(headers.STAGE, "0 h1,~a1,~a2 panel-call,p1,12")]
    return fake


def told(fake: FakeKsr) -> list[tuple[str, str, int | None]]:
    lines = [json.loads(f"[{text}]") for _, text in fake.queues[story.QUEUE]]
    return [(event["account"], event["outcome"], event["branch"]) for events in lines for event in events]


def register(fake: FakeKsr, account: str, uri: str, ruid: str) -> None:
    fake.saved = [Saved(uri, ruid, 600)]
    fake.location[account] = [Contact(uri, ruid)]
    waking.registered(fake.ksr, settings.read(fake.ksr), account, waking.waiting(fake.ksr, account))


def test_with_nobody_there_the_stage_rings_on_and_waits(stage: FakeKsr, request_of: Make) -> None:
    assert stage_calls.ring_stage(stage.ksr, request_of(stage)) is DONE
    assert stage.relayed == []
    assert stage.called("tm.t_send_reply") == [(180, "Ringing")]
    assert len(stage.called("tmx.t_suspend")) == 1
    leg = waking.find(stage.ksr, LEG)
    assert leg is not None
    assert (leg.accounts, leg.call_id, leg.contacts) == (("a1", "a2"), "panel-call", [])
    register(stage, "a1", "sip:a1@10.0.0.1", "r1")
    assert stage.called("tmx.t_continue")[0][2] == waking.ON_RESUME
    assert told(stage)[-1] == ("a1", "invited", 0)


def test_one_that_wakes_is_added_once_to_those_who_ring(stage: FakeKsr, request_of: Make) -> None:
    stage.location["h1"] = [Contact("sip:h1@10.0.0.9", "r9")]
    stage_calls.ring_stage(stage.ksr, request_of(stage))
    assert stage.relayed == ["sip:h1@10.0.0.9"]
    register(stage, "a2", "sip:a2@10.0.0.2", "r2")
    register(stage, "a2", "sip:a2@10.0.0.2", "r2")  # a refresh
    assert len(stage.called("tsilo.ts_append_to_uri")) == 1
    assert told(stage)[-1] == ("a2", "invited", 1)


def test_tm_is_asked_for_a_branch_while_nobody_is_kept_from_the_entry(stage: FakeKsr, request_of: Make) -> None:
    # A reply of the same call has the transaction's lock, which tm wants, and wants the entry.
    stage_calls.ring_stage(stage.ksr, request_of(stage))
    register(stage, "a1", "sip:a1@10.0.0.1", "r1")
    register(stage, "a2", "sip:a2@10.0.0.2", "r2")
    held: set[object] = set()
    asked = []
    for name, arguments in stage.calls:
        if name == "htable.sht_lock":
            held.add(arguments[0])
        elif name == "htable.sht_unlock":
            held.discard(arguments[0])
        elif name in ("tmx.t_continue", "tsilo.ts_append_to_uri"):
            asked.append((name, set(held)))
    assert asked == [("tmx.t_continue", {"wake_turns"}), ("tsilo.ts_append_to_uri", {"wake_turns"})]


def while_it_is_added(monkeypatch: pytest.MonkeyPatch, happens: Callable[[], None], result: int) -> None:
    def append(_fake: FakeKsr, *_arguments: object) -> int:
        happens()
        return result

    monkeypatch.setitem(ksr_functions.HANDLERS, "tsilo.ts_append_to_uri", append)


def test_all_refuse_while_one_is_added_it_rings_all_the_same(
    stage: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.location["h1"] = [Contact("sip:h1@10.0.0.9", "r9")]
    stage_calls.ring_stage(stage.ksr, request_of(stage))

    def refuse() -> None:
        stage.message.status = 486
        stage_calls.on_failure(stage.ksr, settings.read(stage.ksr))

    while_it_is_added(monkeypatch, refuse, -1)  # tm: it is there already
    register(stage, "a1", "sip:a1@10.0.0.1", "r1")
    assert stage.relayed == ["sip:h1@10.0.0.9", "sip:a1@10.0.0.1"]
    assert stage.called("tmx.t_suspend") == []
    assert told(stage)[-1] == ("a1", "invited", 1)


def test_one_that_is_added_in_the_moment_of_the_answer_is_cancelled(
    stage: FakeKsr, request_of: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.location["h1"] = [Contact("sip:h1@10.0.0.9", "r9")]
    stage_calls.ring_stage(stage.ksr, request_of(stage))

    def answer() -> None:
        stage.message.status = 200
        stage.pvs["$T_reply_ruid"] = "r9"
        stage_calls.on_reply(stage.ksr, settings.read(stage.ksr))

    while_it_is_added(monkeypatch, answer, 1)
    register(stage, "a1", "sip:a1@10.0.0.1", "r1")
    assert [call[0] for call in stage.called("tmx.t_cancel_callid")] == [LEG]
    assert told(stage)[-1] == ("a1", "cancelled", 1)
    assert (stage.tables["wake"], stage.tables["wake_legs"]) == ({}, {})


def test_a_reply_of_one_that_woke_is_told_and_named(stage: FakeKsr, request_of: Make) -> None:
    stage.location["h1"] = [Contact("sip:h1@10.0.0.9", "r9")]
    stage_calls.ring_stage(stage.ksr, request_of(stage))
    register(stage, "a1", "sip:a1@10.0.0.1", "r1")
    stage.message.status = 200
    stage.pvs["$T_reply_ruid"] = "r1"
    stage_calls.on_reply(stage.ksr, settings.read(stage.ksr))
    assert told(stage)[-2:] == [("a1", "answered", 1), ("h1", "cancelled", 0)]
    assert (headers.ANSWERED_BY, "a1") in stage.message.headers
    assert waking.find(stage.ksr, LEG) is None
    assert stage.tables["wake"] == {}
    register(stage, "a2", "sip:a2@10.0.0.2", "r2")  # after the answer: nothing
    assert len(stage.called("tsilo.ts_append_to_uri")) == 1


def test_when_all_refuse_a_sleeper_is_waited_for_and_then_no_more(stage: FakeKsr, request_of: Make) -> None:
    stage.location["h1"] = [Contact("sip:h1@10.0.0.9", "r9")]
    stage_calls.ring_stage(stage.ksr, request_of(stage))
    stage.message.status = 486
    stage_calls.on_failure(stage.ksr, settings.read(stage.ksr))
    assert len(stage.called("tmx.t_suspend")) == 1
    stage.message.status = 408  # nobody woke in time
    stage_calls.on_failure(stage.ksr, settings.read(stage.ksr))
    assert stage.replies[-1] == (480, "Nobody Woke")
    assert (stage.tables["wake"], stage.tables["wake_legs"]) == ({}, {})


def says(fake: FakeKsr, ruid: str, status: int) -> None:
    fake.message.status, fake.pvs["$T_reply_ruid"] = status, ruid
    stage_calls.on_reply(fake.ksr, settings.read(fake.ksr))


@pytest.mark.parametrize(("status", "is_rung"), [(603, False), (607, False), (486, True), (480, True), (408, True)])
@pytest.mark.parametrize("all_have_refused", [False, True])
def test_who_has_declined_on_one_device_is_not_rung_on_another_that_wakes(
    stage: FakeKsr, request_of: Make, status: int, *, is_rung: bool, all_have_refused: bool
) -> None:
    stage.location["a1"] = [Contact("sip:tablet@10.0.0.9", "r9")]
    stage_calls.ring_stage(stage.ksr, request_of(stage))
    says(stage, "r9", 180)
    says(stage, "r9", status)
    says(stage, "r9", 180)  # repeated on its way, and late
    if all_have_refused:
        stage.message.status = status
        stage_calls.on_failure(stage.ksr, settings.read(stage.ksr))
        assert len(stage.called("tmx.t_suspend")) == 1, "a2 may still wake"
    register(stage, "a1", "sip:phone@10.0.0.1", "r1")
    assert (("a1", "invited", 1) in told(stage)) is is_rung
    register(stage, "a2", "sip:a2@10.0.0.2", "r2")
    assert told(stage)[-1] == ("a2", "invited", 2 if is_rung else 1), "somebody else is"


def test_a_cancelled_leg_takes_nobody_and_keeps_its_list_until_the_end(stage: FakeKsr, request_of: Make) -> None:
    stage.location["h1"] = [Contact("sip:h1@10.0.0.9", "r9")]
    stage_calls.ring_stage(stage.ksr, request_of(stage))
    waking.close(stage.ksr, LEG)
    register(stage, "a1", "sip:a1@10.0.0.1", "r1")
    assert stage.called("tsilo.ts_append_to_uri") == []
    stage.message.status = 487
    stage.pvs["$T_reply_ruid"] = "r9"
    stage_calls.on_reply(stage.ksr, settings.read(stage.ksr))
    assert told(stage)[-1] == ("h1", "cancelled", 0)
    stage.results["tm.t_is_canceled"] = 1
    stage_calls.on_failure(stage.ksr, settings.read(stage.ksr))
    assert (stage.tables["wake"], stage.tables["wake_legs"]) == ({}, {})


def test_a_suspended_leg_that_is_cancelled_leaves_nothing(stage: FakeKsr, request_of: Make) -> None:
    stage_calls.ring_stage(stage.ksr, request_of(stage))
    waking.close(stage.ksr, LEG)
    assert (stage.tables["wake"], stage.tables["wake_legs"], stage.tables["setup"]) == ({}, {}, {})


def test_two_calls_wait_for_one_account(stage: FakeKsr, request_of: Make) -> None:
    stage_calls.ring_stage(stage.ksr, request_of(stage))
    stage.message.call_id = "call-2"
    stage.message.headers = [(headers.STAGE, "0 ~a1 other-call,p2,12")]
    stage_calls.ring_stage(stage.ksr, request_of(stage))
    assert stage.tables["wake"]["a1"] == "call-1 call-2"
    register(stage, "a1", "sip:a1@10.0.0.1", "r1")
    assert len(stage.called("tmx.t_continue")) == 2
    waking.end(stage.ksr, "call-1")
    assert stage.tables["wake"] == {"a1": "call-2"}
