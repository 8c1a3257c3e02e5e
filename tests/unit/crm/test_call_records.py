from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from crm_api.services import unfinished_calls
from crm_api.services.call_recording import CallRecording
from crm_api.services.unfinished_calls import LONGEST_CALL_MS, LOST, UnfinishedCalls
from crm_api.tables import ring_plan_facts

if TYPE_CHECKING:
    from crm_api.domain.numbering import Candidate
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

T = 1_790_000_000_000


def story(call: str) -> list[dict[str, Any]]:
    """Two phones ring, one answers, opens, hangs up; one account is offline."""

    def branch(after_ms: int, branch: int | None, account: str, outcome: str, status: int | None) -> dict[str, Any]:
        return {
            "event": "branch", "call_id": call, "at_ms": T + after_ms, "stage": 0, "branch": branch,
            "account": account, "contact": None if branch is None else f"sip:{account}@127.0.2.1",
            "outcome": outcome, "sip_status": status,
        }  # fmt: skip

    return [
        {"event": "dialled", "call_id": call, "at_ms": T, "panel": "p1", "dialled": "12"},
        branch(10, 0, "h12", "invited", None),
        branch(10, 1, "a12", "invited", None),
        branch(11, None, "x12", "offline", None),
        branch(20, 0, "h12", "ringing", 180),
        branch(21, 1, "a12", "ringing", 180),
        branch(3000, 1, "a12", "answered", 200) | {"plan_source": "redis"},
        branch(3001, 0, "h12", "cancelled", 487),
        {
            "event": "door", "call_id": call, "at_ms": T + 5000, "account": "a12", "panel": "p1", "door_id": 1,
            "key": "#", "method": "dtmf", "result": "sent", "reason": "",
        },
        {"event": "ended", "call_id": call, "at_ms": T + 9000, "result": "answered", "cause": 16, "talk_ms": 6000},
        # Both hang up: the other BYE, of which nobody knows anything any more.
        {"event": "ended", "call_id": call, "at_ms": T + 9005, "result": "answered", "cause": 16, "talk_ms": None},
    ]  # fmt: skip


def entry(number: int, events: list[dict[str, Any]]) -> tuple[str, bytes]:
    return f"{number}-0", json.dumps(events).encode()


@pytest.fixture
def recording(context: Context) -> CallRecording:
    return CallRecording(context)


def written(database: CrmDatabase, call: str) -> Any:
    return (
        database.rows(
            "SELECT company_id, apartment_id, panel, dialled, started_at_ms, ended_at_ms, talk_ms, answered_by, "
            "result, cause, plan_source FROM call_records WHERE call_id = ?",
            (call,),
        ),
        database.rows(
            "SELECT account, branch, outcome, sip_status, invited_at_ms, ringing_at_ms, ended_at_ms "
            "FROM call_branches WHERE call_id = ? ORDER BY account",
            (call,),
        ),
        database.rows("SELECT account, result, method FROM access_records WHERE call_id = ?", (call,)),
    )


def expected(town: Town) -> Any:
    return (
        [(town.company, town.apartment, "p1", "12", T, T + 9000, 6000, "a12", "answered", 16, "redis")],
        [
            ("a12", "1", "answered", 200, T + 10, T + 21, T + 3000),
            ("h12", "0", "cancelled", 487, T + 10, T + 20, T + 3001),
            ("x12", "", "offline", None, None, None, T + 11),
        ],
        [("a12", "sent", "dtmf")],
    )


def test_a_call_becomes_one_record_with_its_branches(
    town: Town, recording: CallRecording, database: CrmDatabase
) -> None:
    recording.record([entry(1, story("c1"))])
    assert written(database, "c1") == expected(town)
    shown = town.platform("GET", "/v1/calls/c1")
    assert [b["account"] for b in shown["branches"]] == ["a12", "h12", "x12"]
    listed = town.platform("GET", f"/v1/calls?apartment_id={town.apartment}")["items"]
    assert [c["call_id"] for c in listed] == ["c1"]
    panel = town.platform("GET", f"/v1/panels?account={shown['panel']}")["items"][0]
    assert panel["last_seen_at_ms"] == shown["started_at_ms"]
    assert town.platform("GET", f"/v1/panels?silent_since_ms={shown['started_at_ms']}")["items"] == [
        other for other in town.platform("GET", "/v1/panels")["items"] if other["id"] != panel["id"]
    ]


@given(data=st.data())
@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_any_order_any_batches_any_redelivery_give_the_same_record(
    town: Town, recording: CallRecording, database: CrmDatabase, data: st.DataObject
) -> None:
    call = f"c{data.draw(st.uuids())}"
    events = story(call)
    again = data.draw(st.lists(st.sampled_from(events), max_size=6))
    order = data.draw(st.permutations(events + again))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=4)))
    for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        recording.record([entry(start, order[start:end])])
    assert written(database, call) == expected(town)


def test_a_call_that_never_ends_has_a_record(town: Town, recording: CallRecording, database: CrmDatabase) -> None:
    recording.record([entry(1, story("c1")[:5])])
    assert database.rows("SELECT result, ended_at_ms, apartment_id FROM call_records") == [(None, None, town.apartment)]


@pytest.mark.usefixtures("town")
def test_a_refused_call_has_a_record_and_ended_has_the_last_word(
    recording: CallRecording, database: CrmDatabase
) -> None:
    refused = {"event": "refused", "call_id": "c1", "at_ms": T, "reason": "flood", "sip_status": 503}
    recording.record([entry(1, [refused])])
    assert database.rows("SELECT result, reason, cause FROM call_records") == [("refused", "flood", 503)]
    recording.record([entry(2, [story("c1")[-1]])])
    recording.record([entry(3, [refused])])
    assert database.rows("SELECT result FROM call_records") == [("answered",)]


def test_the_device_that_answered_first_is_who_answered(town: Town, recording: CallRecording) -> None:
    late = {**story("c1")[6], "at_ms": T + 3002, "account": "h12", "branch": 0}
    recording.record([entry(1, [late, *story("c1")])])
    assert town.platform("GET", "/v1/calls")["items"][0]["answered_by"] == "a12"


def test_the_opening_that_the_crm_granted_is_completed_not_doubled(
    town: Town, recording: CallRecording, context: Context
) -> None:
    body = {"call_id": "c1", "panel": "p1", "dialled": "12", "account": "a12"}
    town.service("POST", "/v1/door-openings", body)
    door = story("c1")[8] | {"at_ms": context.now_ms() + 5}
    for _ in range(2):
        recording.record([entry(1, [door])])
    assert [r["result"] for r in town.platform("GET", "/v1/access-records")["items"]] == ["sent"]
    recording.record([entry(2, [door | {"at_ms": door["at_ms"] + 2500}])])
    assert [r["result"] for r in town.platform("GET", "/v1/access-records")["items"]] == ["sent", "sent"]


def test_what_is_broken_is_left_out_and_the_rest_is_kept(
    town: Town, recording: CallRecording, database: CrmDatabase
) -> None:
    nameless = story("c3")[0] | {"call_id": 7}
    too_big = story("c4")[0] | {"at_ms": 2**70}
    recording.record(
        [
            ("1-0", b"not json"),
            ("2-0", b"[1, {}]"),
            entry(3, [*story("c1"), nameless, {"event": "branch", "call_id": "c1", "at_ms": T, "outcome": "exploded"}]),
            entry(4, [too_big]),
            entry(5, story("c2")),
        ]
    )
    assert written(database, "c1") == expected(town)
    assert written(database, "c2") == expected(town)
    assert database.rows("SELECT count(*) FROM call_records") == [(2,)]


def test_whose_a_call_is_is_looked_up_once(
    town: Town, recording: CallRecording, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[object] = []

    def ask(database: CrmDatabase, meant: Candidate) -> int | None:
        asked.append(meant)
        return found(database, meant)

    found = ring_plan_facts.apartment_id
    monkeypatch.setattr(ring_plan_facts, "apartment_id", ask)
    for number, event in enumerate(story("c1")):
        recording.record([entry(number, [event])])
    assert written(database, "c1") == expected(town)
    assert len(asked) == 1


def test_an_apartment_that_comes_to_be_has_its_next_call(
    town: Town, recording: CallRecording, database: CrmDatabase
) -> None:
    (before,) = database.rows("SELECT number, entrance_id FROM apartments WHERE id = ?", (town.apartment,))
    database.rows("UPDATE apartments SET number = 4711 WHERE id = ?", (town.apartment,))
    recording.record([entry(1, story("c1"))])
    database.rows("UPDATE apartments SET number = ? WHERE id = ?", (before[0], town.apartment))
    recording.record([entry(2, story("c2"))])
    of = "SELECT apartment_id FROM call_records WHERE call_id = ?"
    assert (database.rows(of, ("c1",)), database.rows(of, ("c2",))) == ([(None,)], [(town.apartment,)])


def test_the_call_of_an_apartment_that_is_gone_is_recorded_all_the_same(
    town: Town, recording: CallRecording, database: CrmDatabase
) -> None:
    recording.record([entry(1, story("c1"))])
    database.rows("DELETE FROM apartments WHERE id = ?", (town.apartment,))
    recording.record([entry(2, story("c2"))])
    of = "SELECT company_id, apartment_id, result FROM call_records WHERE call_id = ?"
    assert database.rows(of, ("c2",)) == [(town.company, None, "answered")]


def test_an_unknown_panel_is_nobodys_call(town: Town, recording: CallRecording, database: CrmDatabase) -> None:
    recording.record([entry(1, [{"event": "dialled", "call_id": "c1", "at_ms": T, "panel": "nope", "dialled": "1"}])])
    assert database.rows("SELECT company_id, panel FROM call_records") == [(None, "nope")]
    assert town.platform("GET", "/v1/calls")["items"][0]["panel"] == "nope"


def test_a_call_whose_end_nobody_told_gets_one(
    recording: CallRecording, context: Context, clock: Clock, database: CrmDatabase
) -> None:
    clock.now = T + 60_000
    recording.record([entry(1, [*story("lost")[:8], *story("rung")[:5], *story("whole")])])
    unfinished = UnfinishedCalls(context)
    assert unfinished.end() == 0  # somebody may still be talking
    clock.now = T + LONGEST_CALL_MS + 1
    assert unfinished.end() == 2
    assert unfinished.end() == 0
    known = "SELECT call_id, result, reason, answered_by, ended_at_ms, talk_ms FROM call_records ORDER BY call_id"
    assert database.rows(known) == [
        ("lost", "answered", LOST, "a12", T + 3001, None),
        ("rung", "failed", LOST, None, T + 20, None),
        ("whole", "answered", None, "a12", T + 9000, 6000),
    ]


def test_more_calls_than_a_batch_get_their_end(
    recording: CallRecording, context: Context, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(unfinished_calls, "BATCH", 2)
    recording.record([entry(1, [event for number in range(5) for event in story(f"lost-{number}")[:3]])])
    clock.now = T + LONGEST_CALL_MS + 1
    assert UnfinishedCalls(context).end() == 5
    assert UnfinishedCalls(context).end() == 0
