from __future__ import annotations

from typing import Any, get_args

import pytest

from crm_api.domain import told_plan
from crm_api.domain.ring_plan import LeftOut
from crm_api.domain.why import AccountFacts, why

T = 1_790_000_000_000
APP = AccountFacts(True, "app", 7)


def call(result: str, *branches: dict[str, Any], answered_by: str | None = None, story: Any = ()) -> dict[str, Any]:
    return {
        "started_at_ms": T, "result": result, "answered_by": answered_by, "apartment_id": 7,
        "branches": list(branches), "story": list(story),
    }  # fmt: skip


def branch(outcome: str, *, contact: str | None = "sip:a@1", status: int | None = None, rang: int | None = None) -> Any:
    return {
        "stage": 0, "account": "a12", "branch": "0", "contact": contact, "outcome": outcome, "sip_status": status,
        "ringing_at_ms": None if rang is None else T + rang, "ended_at_ms": T + 5000,
    }  # fmt: skip


def push(outcome: str, reason: str | None = None) -> dict[str, Any]:
    return {"event": "push", "at_ms": T, "account": "a12", "outcome": outcome, "platform": "fcm", "reason": reason}


def plan(*stages: list[str], stage: int = 0, stops: bool = False, left_out: Any = None) -> dict[str, Any]:
    told = [{"ring_timeout_s": 30, "accounts": accounts} for accounts in stages]
    if stops:
        told[0]["on_refusal"] = "stop"
    return {
        "event": "plan", "at_ms": T, "outcome": "ring", "plan_source": "redis", "issued_at_ms": T, "stage": stage,
        "ring_limit_s": 45, "stages": told, "left_out": left_out or {},
    }  # fmt: skip


def of_h12(outcome: str) -> Any:
    return {**branch(outcome, rang=1), "account": "h12"}


def ended_stage(result: str) -> dict[str, Any]:
    return {"event": "stage", "at_ms": T + 1, "stage": 0, "result": result}


NOW_OFF = AccountFacts(False, "app", 7)


@pytest.mark.parametrize("why_left_out", [*get_args(LeftOut), told_plan.QUIET, told_plan.NO_TRUNK])
def test_whom_the_plan_left_out_it_says_why(why_left_out: str) -> None:
    document = call(
        "answered", of_h12("answered"), answered_by="h12", story=[plan(["h12"], left_out={why_left_out: ["a12"]})]
    )
    assert why(document, "a12", NOW_OFF).sentence == f"a12 was not called: {told_plan.SENTENCES[why_left_out]}."


def test_a_reason_of_a_newer_release_is_told_by_its_name() -> None:
    document = call("no_answer", story=[plan(["h12"], left_out={"too_shy": ["a12"]})])
    assert why(document, "a12", APP).sentence == "a12 was not called: the plan left it out (too_shy)."


@pytest.mark.parametrize(
    ("document", "facts", "reason"),
    [
        pytest.param(
            call("answered", of_h12("answered"), answered_by="h12", story=[plan(["h12"], ["a12"])]),
            NOW_OFF,
            "its turn, stage 2, did not come, as h12 answered in stage 1",
            id="switched off after the call",
        ),
        pytest.param(
            call("caller_hung_up", of_h12("cancelled"), story=[plan(["h12"], ["a12"])]),
            APP,
            "its turn, stage 2, did not come, as the visitor hung up in stage 1",
            id="the visitor leaves in the first stage",
        ),
        pytest.param(
            call("no_answer", of_h12("declined"), story=[plan(["h12"], ["a12"], stops=True), ended_stage("declined")]),
            APP,
            "its turn, stage 2, did not come, as all of stage 1 refused and the plan ends there",
            id="refused",
        ),
        pytest.param(
            call("no_answer", of_h12("cancelled"), story=[plan(["h12"], ["a12"]), ended_stage("no_answer")]),
            APP,
            "its turn, stage 2, did not come, as the call had rung for the 45 s that it may",
            id="no time left",
        ),
        pytest.param(
            call("failed", of_h12("cancelled"), story=[plan(["h12"], ["a12"])]),
            APP,
            "its turn, stage 2, did not come, as the call ended in stage 1",
            id="a server failed",
        ),
        pytest.param(
            call("caller_hung_up", story=[plan(["a12"])]),
            APP,
            "the visitor hung up before anybody was rung",
            id="the visitor leaves at once",
        ),
        pytest.param(
            call("no_answer", of_h12("cancelled"), story=[plan(["h12", "a12"])]),
            APP,
            (
                "it was to ring in stage 1, and was not called when that began: its quiet hours had begun, "
                "the plan was another by then, or the call was over"
            ),
            id="the plan has changed",
        ),
        pytest.param(
            call(
                "answered",
                {**of_h12("answered"), "account": "c1"},
                {**of_h12("answered"), "stage": 100},
                answered_by="c1",
                story=[plan(["c1"], ["a12"]), plan(["h12"], stage=100)],
            ),
            APP,
            "its turn, stage 2, did not come, as c1 answered in stage 1",
            id="passed on to another apartment",
        ),
        pytest.param(
            call("answered", {**of_h12("answered"), "account": "c1"}, answered_by="c1",
                 story=[plan(["c1"]), plan(["h12"], stage=100, left_out={"disabled": ["a12"]})]),
            APP,
            "it was switched off",
            id="switched off where it was passed on to",
        ),
        pytest.param(
            call("answered", of_h12("answered"), story=[plan(["h12"])]),
            AccountFacts(True, "app", 7, created_at_ms=T + 1),
            "it was made after this call",
            id="made after the call",
        ),
        pytest.param(
            call("answered", of_h12("answered"), story=[plan(["h12"])]),
            AccountFacts(False, "app", 7, quiet=True, created_at_ms=T - 1),
            "the ring plan of this call did not name it",
            id="what it is now does not count",
        ),
        pytest.param(
            call("answered", story=[plan(["h12"])]),
            None,
            "there is no account of this name",
            id="no account",
        ),
        pytest.param(
            call("answered", story=[plan(["h12"])]),
            AccountFacts(True, "app", 8),
            "it belongs to another apartment",
            id="of a neighbour",
        ),
        pytest.param(
            call("blocked", story=[{"event": "plan", "at_ms": T, "outcome": "blocked", "stage": 0}]),
            APP,
            "calls to this apartment were blocked",
            id="blocked",
        ),
    ],
)  # fmt: skip
def test_who_was_not_called_hears_it_from_the_plan_of_that_call(
    document: dict[str, Any], facts: AccountFacts | None, reason: str
) -> None:
    answer = why(document, "a12", facts)
    assert (answer.rang, answer.sentence) == (False, f"a12 was not called: {reason}.")


def test_a_phone_that_no_trunk_dials_is_not_said_to_be_unregistered() -> None:
    document = call("no_answer", branch("offline", contact=None), story=[plan([], left_out={"no_trunk": ["a12"]})])
    assert why(document, "a12", AccountFacts(True, "phone", 7)).sentence == (
        "a12 was not called: no trunk dialled the phones of this house."
    )


@pytest.mark.parametrize(
    ("document", "facts", "sentence"),
    [
        (
            call("answered", branch("cancelled", rang=1500), answered_by="h12"),
            APP,
            "a12 did ring, 1.5 s after the call began: it stopped because h12 answered.",
        ),
        (
            call("no_answer", branch("declined", status=603, rang=100)),
            APP,
            "a12 did ring, 0.1 s after the call began: it declined.",
        ),
        (
            call("no_answer", branch("invited")),
            APP,
            "a12 was called at sip:a@1, which never replied: the device is registered there and cannot be reached.",
        ),
        (
            call("no_answer", branch("busy", status=486)),
            APP,
            "a12 was called at sip:a@1, which answered at once: busy (SIP status 486).",
        ),
        (
            call("caller_hung_up", branch("cancelled")),
            APP,
            "a12 was called at sip:a@1 and had not begun to ring when the visitor hung up.",
        ),
        (
            call("no_answer", branch("offline", contact=None)),
            APP,
            "a12 was to ring, but no device of it was registered, and none has a push token that could wake it.",
        ),
        (
            call("no_answer", branch("offline", contact=None), story=[push("queued"), push("accepted")]),
            APP,
            (
                "a12 was to ring, but no device of it was registered; a push was taken by fcm, but no device woke "
                "and registered in time."
            ),
        ),
        (
            call("no_answer", branch("offline", contact=None), story=[push("refused", "UNREGISTERED")]),
            APP,
            "a12 was to ring, but no device of it was registered, and the push was refused by fcm: UNREGISTERED.",
        ),
        (call("blocked"), APP, "a12 was not called: calls to this apartment were blocked."),
        (call("answered"), None, "a12 was not called: there is no account of this name."),
        (call("answered"), AccountFacts(True, "app", 8), "a12 was not called: it belongs to another apartment."),
        (call("answered"), AccountFacts(False, "app", 7), "a12 was not called: it is switched off."),
        (
            call("answered"),
            AccountFacts(True, "app", 7, quiet=True),
            "a12 was not called: it keeps quiet hours at that time of day.",
        ),
        (
            call("answered", {**branch("answered", rang=1), "account": "h12"}, answered_by="h12"),
            APP,
            "a12 was not called: its turn did not come, as h12 answered in stage 1.",
        ),
    ],
)
def test_one_sentence_says_why(document: dict[str, Any], facts: AccountFacts | None, sentence: str) -> None:
    answer = why(document, "a12", facts)
    assert answer.sentence == sentence
    assert answer.rang is ("did ring" in sentence)
