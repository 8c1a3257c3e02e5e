from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any
from urllib.parse import quote
from uuid import uuid4

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from crm_api.domain.call_record import NO_MEDIA
from crm_api.services.call_recording import CallRecording
from crm_api.services.unfinished_calls import LOST
from crm_api.tables import ring_plan_facts
from tests.unit.crm.conftest import OF_A_WHOLE_TOWN

if TYPE_CHECKING:
    from crm_api.domain.numbering import Candidate
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town

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
            "event": "door", "call_id": call, "at_ms": T + 5000, "account": "a12", "panel": "p1", "dialled": "12",
            "door_id": 1, "key": "#", "method": "dtmf", "result": "sent", "reason": "",
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
        database.rows(
            "SELECT account, result, method, company_id, apartment_id, house_id, panel, panel_id IS NOT NULL "
            "FROM access_records WHERE call_id = ?",
            (call,),
        ),
    )


def expected(town: Town) -> Any:
    return (
        [(town.company, town.apartment, "p1", "12", T, T + 9000, 6000, "a12", "answered", 16, "redis")],
        [
            ("a12", "1", "answered", 200, T + 10, T + 21, T + 3000),
            ("h12", "0", "cancelled", 487, T + 10, T + 20, T + 3001),
            ("x12", "", "offline", None, None, None, T + 11),
        ],
        [("a12", "sent", "dtmf", town.company, town.apartment, town.house, "p1", True)],
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


@pytest.mark.parametrize("call_id", ["a/b", "/", "a%2Fb", '+%(<:\\"/[?{@x'])
def test_a_call_is_found_by_any_call_id(town: Town, recording: CallRecording, call_id: str) -> None:
    """RFC 3261, 25.1: a slash may be in it, which a WSGI server has decoded before the path is cut."""
    recording.record([entry(1, story(call_id))])
    path = f"/v1/calls/{quote(call_id, safe='')}"
    assert town.platform("GET", path)["call_id"] == call_id
    assert "a12" in town.platform("GET", f"{path}/why/a12")["sentence"]


@given(data=st.data())
@settings(max_examples=40, suppress_health_check=OF_A_WHOLE_TOWN)
def test_any_order_any_batches_any_redelivery_give_the_same_record(
    town: Town, recording: CallRecording, database: CrmDatabase, data: st.DataObject
) -> None:
    call = f"c{uuid4()}"
    events = story(call)
    again = data.draw(st.lists(st.sampled_from(events), max_size=6))
    order = data.draw(st.permutations(events + again))
    cuts = sorted(data.draw(st.sets(st.integers(1, len(order) - 1), max_size=4)))
    for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
        recording.record([entry(start, order[start:end])])
    assert written(database, call) == expected(town)


def words_about_an_end(call: str) -> list[dict[str, Any]]:
    """All that may be told of how one call ended, be it by servers that do not agree."""

    def ended(after_ms: int, result: str, cause: int | None, **more: Any) -> dict[str, Any]:
        return {"event": "ended", "call_id": call, "at_ms": T + after_ms, "result": result, "cause": cause, **more}

    def refused(after_ms: int, reason: str, status: int) -> dict[str, Any]:
        return {"event": "refused", "call_id": call, "at_ms": T + after_ms, "reason": reason, "sip_status": status}

    return [
        ended(9000, "answered", 16, talk_ms=6000),
        ended(9000, "answered", 44, talk_ms=None, reason=NO_MEDIA),
        ended(8999, "answered", 44, talk_ms=None, reason=NO_MEDIA),
        ended(9500, "caller_hung_up", 16, talk_ms=0),
        ended(9500, "caller_hung_up", 0, talk_ms=0),
        ended(9500, "caller_hung_up", None),
        ended(9500, "no_answer", 19, talk_ms=0, reason="the panel was called back by a dispatcher"),
        ended(4000, "failed", None, reason=LOST),
        refused(2000, "flood", 503),
        refused(2001, "busy", 600),
        refused(9000, "flood", 403),
        {"event": "moved", "call_id": call, "at_ms": T + 9100, "reason": "node n1 going", "moves": 1},
        ended(9501, "caller_hung_up", 0, talk_ms=0, moves=1),
        ended(9900, "answered", 16, talk_ms=7000, moves=1),
        refused(9950, "no Asterisk node left", 503) | {"moves": 1},
        {"event": "moved", "call_id": call, "at_ms": T + 9200, "reason": "node n2 lost", "moves": 2},
        ended(1000, "no_answer", 19, moves=2),
    ]


def ending(database: CrmDatabase, call: str) -> Any:
    columns = "started_at_ms, ended_at_ms, talk_ms, result, reason, cause"
    return database.row(f"SELECT {columns} FROM call_records WHERE call_id = ?", (call,))  # noqa: S608 - constants


@pytest.mark.usefixtures("town")
@given(data=st.data())
@settings(max_examples=150, suppress_health_check=OF_A_WHOLE_TOWN)
def test_who_disagrees_about_an_end_gives_the_same_record_in_any_order_and_batches(
    recording: CallRecording, database: CrmDatabase, data: st.DataObject
) -> None:
    told = data.draw(st.sets(st.integers(0, len(words_about_an_end("")) - 1), min_size=1))
    ends = []
    for _ in range(2):
        call = f"c{uuid4()}"  # not drawn: hypothesis repeats itself, and a call of two examples is no call
        words = [words_about_an_end(call)[which] for which in sorted(told)]
        again = data.draw(st.lists(st.sampled_from(words), max_size=3))
        order = data.draw(st.permutations(words + again))
        cuts = sorted(data.draw(st.sets(st.integers(1, len(order)), max_size=4)))
        for start, end in zip([0, *cuts], [*cuts, len(order)], strict=True):
            recording.record([entry(start, order[start:end])])
        ends.append(ending(database, call))
    assert ends[0] == ends[1]


@pytest.mark.usefixtures("town")
@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("swapped", [False, True])
@pytest.mark.parametrize(
    ("told", "record"),
    [
        # The panel's BYE is told, then that the other side had sent no media.
        ((0, 1), (T + 9000, 6000, "answered", NO_MEDIA, 44)),
        ((0, 2), (T + 8999, 6000, "answered", NO_MEDIA, 44)),
        ((0, 3), (T + 9000, 6000, "answered", None, 16)),
        ((0, 7), (T + 4000, 6000, "failed", LOST, None)),
        ((0, 8), (T + 9000, 6000, "answered", "flood", 16)),
        ((8, 10), (T + 2000, None, "refused", "flood", 503)),
        # The node that the call has left tells an end, before or after Kamailio tells that it has moved.
        ((3, 11), (None, None, None, None, None)),
        ((1, 11), (None, None, None, None, None)),
        ((1, 13), (T + 9900, 7000, "answered", None, 16)),
        ((0, 12), (T + 9501, 0, "caller_hung_up", None, 0)),
        ((6, 13), (T + 9900, 7000, "answered", None, 16)),
        ((9, 12), (T + 9501, 0, "caller_hung_up", None, 0)),
        ((3, 13), (T + 9900, 7000, "answered", None, 16)),
        ((4, 14), (T + 9950, None, "refused", "no Asterisk node left", 503)),
        ((11, 12), (T + 9501, 0, "caller_hung_up", None, 0)),
        ((13, 15), (None, None, None, None, None)),
        ((13, 14), (T + 9900, 7000, "answered", "no Asterisk node left", 16)),
        ((15, 16), (T + 1000, None, "no_answer", None, 19)),
    ],
)
def test_of_two_words_about_an_end_the_first_counts_and_lack_of_media_is_its_cause(
    recording: CallRecording,
    database: CrmDatabase,
    told: tuple[int, int],
    record: tuple[object, ...],
    *,
    at_once: bool,
    swapped: bool,
) -> None:
    words = [words_about_an_end("c1")[which] for which in (reversed(told) if swapped else told)]
    for batch in [words] if at_once else [[word] for word in words]:
        recording.record([entry(1, batch)])
    assert ending(database, "c1")[1:] == record


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


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize("swapped", [True, False])
@pytest.mark.parametrize(("pressed_after_ms", "answered_by"), [(4000, "a12"), (2000, "f12")])
def test_a_phone_has_answered_when_its_key_was_pressed_in_any_order_and_batches(
    town: Town, recording: CallRecording, pressed_after_ms: int, answered_by: str, *, at_once: bool, swapped: bool
) -> None:
    """It was picked up a second after the call, and the app answered after three."""
    phone = {
        "event": "phone", "call_id": "c1", "at_ms": T + 8000, "stage": 0, "branch": 0, "account": "f12",
        "trunk": "carrier-a", "phone_ms": 7000, "confirmed": "yes", "connected_ms": 8000 - pressed_after_ms,
    }  # fmt: skip
    words = [story("c1")[6], phone]
    words = words[::-1] if swapped else words
    for batch in [words] if at_once else [[word] for word in words]:
        recording.record([entry(1, batch)])
    assert town.platform("GET", "/v1/calls")["items"][0]["answered_by"] == answered_by


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


@pytest.mark.parametrize("order", [(0, 1, 2), (1, 0, 2), (0, 2, 1), (2, 0, 1)])
def test_a_call_that_moved_is_told_to_have_ended_when_it_has(
    town: Town, recording: CallRecording, database: CrmDatabase, order: tuple[int, int, int]
) -> None:
    """To whoever listens; also when Kamailio tells that it has moved after the end of the node before."""
    town.platform("POST", "/v1/webhooks", {"company_id": town.company, "url": "https://homes.example/hook"})
    words = [words_about_an_end("c1")[which] | {"panel": "p1", "dialled": "12"} for which in (3, 11, 13)]
    (begun,) = story("c1")[:1]
    waiting = "SELECT count(*) FROM webhook_deliveries WHERE subject = 'c1'"
    recording.record([entry(1, [begun])])
    told: set[int] = set()
    for which in order:
        recording.record([entry(2, [words[which]])])
        told.add(which)
        assert database.rows(waiting) == [(int(2 in told or told == {0}),)]
