from __future__ import annotations

from typing import Any

import pytest

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
