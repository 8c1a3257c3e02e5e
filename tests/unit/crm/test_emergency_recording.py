"""What the steps of emergency calls leave: records and ends of leases; and the worker that sends their notices."""

from __future__ import annotations

import itertools
import json
import threading
from concurrent.futures import ThreadPoolExecutor
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import peewee
import pytest

from crm_api import emergency
from crm_api.domain.call_record import Event
from crm_api.domain.problems import ReferredError
from crm_api.emergency import worker
from crm_api.services.call_recording import CallRecording
from crm_api.services.city_numbers import CityNumbers
from crm_api.services.emergency_checks import EmergencyChecks
from crm_api.services.emergency_recording import EmergencyRecording
from crm_api.services.emergency_tests import EmergencyTests
from crm_api.services.number_leases import LONGEST_CALL_MS, Leasing
from tests.unit.crm.test_emergency import centre, city_of, number

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

AT_MS = 1_790_000_000_000


def step(name: str, at_ms: int, **more: Any) -> dict[str, Any]:
    return {"event": "emergency", "call_id": "c1", "at_ms": AT_MS + at_ms, "step": name, **more}


OUT = [
    step("number", 5, panel="p1", dialled="112", number="+74951110001", number_source="leased", detail="leased, crm",
         started_at_ms=AT_MS),
    step("dial", 7, panel="p1", number="+74951110001", detail="city-line 112"),
    step("rings", 40, panel="p1", number="+74951110001", detail="city-line 180"),
    step("answered", 900, panel="p1", number="+74951110001", detail="city-line 112"),
    step("ended", 5000, panel="p1", dialled="112", result="answered", direction="out", talk_ms=4100, detail="x"),
]  # fmt: skip


def told(context: Context, *events: dict[str, Any]) -> None:
    CallRecording(context).record([("1-1", json.dumps(list(events)).encode())])


def calls(town: Town) -> list[dict[str, Any]]:
    return list(town.platform("GET", "/v1/emergency-calls")["items"])


def test_the_steps_become_one_record_in_any_order_and_any_number_of_times(
    town: Town, database: CrmDatabase, context: Context
) -> None:
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
    for event in (OUT[3], OUT[1], OUT[4], OUT[0], OUT[2], *OUT):
        told(context, event)
    (call,) = calls(town)
    assert [s["step"] for s in call["steps"]] == ["number", "dial", "rings", "answered", "ended"]
    assert (call["started_at_ms"], call["answered_at_ms"], call["ended_at_ms"]) == (AT_MS, AT_MS + 900, AT_MS + 5000)
    assert (call["panel"], call["company_id"], call["city_id"], call["result"], call["route"]) == (
        "p1", town.company, city_of(database), "answered", "city-line 112",
    )  # fmt: skip
    (row,) = town.platform("GET", "/v1/city-numbers")["items"]
    assert (row["status"], row["held_until_ms"]) == ("kept", AT_MS + 5000 + 86_400_000)


LEFT = step("ended", 3000, panel="p1", dialled="112", result="failed", direction="out", detail="failed, cause 0")
MOVED = step("moved", 2990, panel="p1", dialled="112", direction="out", detail="node n1 going", moves=1)
AFTER = OUT[4] | {"moves": 1}


@pytest.mark.parametrize("answered", [0, 1, 2])
@pytest.mark.parametrize("events", list(itertools.permutations((LEFT, MOVED, AFTER))))
def test_the_end_that_a_node_tells_counts_no_more_once_its_call_has_moved(
    town: Town, database: CrmDatabase, context: Context, events: tuple[dict[str, Any], ...], answered: int
) -> None:
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
    steps = list(events)
    steps.insert(answered, OUT[3])
    seen = set()
    for event in (OUT[0], OUT[1], *steps):
        told(context, event)
        seen.add(json.dumps(event))
        ((call,), (row,)) = calls(town), town.platform("GET", "/v1/city-numbers")["items"]
        if json.dumps(AFTER) in seen:
            assert (call["result"], call["ended_at_ms"]) == ("answered", AT_MS + 5000)
            assert row["status"] == "kept"
        elif json.dumps(MOVED) in seen:
            assert (call["result"], call["ended_at_ms"]) == ("answered" if json.dumps(OUT[3]) in seen else None, None)


@pytest.mark.parametrize(
    ("cuts", "renewed_before"), [((), None), ((1,), None), ((1,), 1), ((2,), 2), ((1, 2), 0), ((1, 2), 1)]
)
@pytest.mark.parametrize("events", list(itertools.permutations((LEFT, MOVED, AFTER))))
def test_a_call_that_goes_on_holds_its_number_whatever_end_the_node_before_has_told(
    town: Town,
    database: CrmDatabase,
    context: Context,
    clock: Clock,
    *,
    events: tuple[dict[str, Any], ...],
    cuts: tuple[int, ...],
    renewed_before: int | None,
) -> None:
    centre(town, database, keep_s=60)
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
    told(context, OUT[0], OUT[1], OUT[3])
    clock.now = AT_MS + 2995
    moments = []
    for first, end in zip((0, *cuts), (*cuts, len(events)), strict=True):
        if renewed_before == first and AFTER not in events[:first]:  # the new node has asked before it can tell an end
            town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
        told(context, *events[first:end])
        (row,) = town.platform("GET", "/v1/city-numbers")["items"]
        (lease,) = town.platform("GET", "/v1/number-leases")["items"]
        assert lease["held_until_ms"] == row["held_until_ms"]
        if AFTER in events[:end]:
            assert (row["status"], row["held_until_ms"]) == ("kept", AFTER["at_ms"] + 60_000)
        elif MOVED in events[:end]:
            assert row["status"] == "in_call"
            moments.append(row["held_until_ms"] - 60_000 - LONGEST_CALL_MS)
    assert all(MOVED["at_ms"] <= moment <= MOVED["at_ms"] + 100 for moment in moments)


def test_nobody_else_gets_the_number_of_a_call_that_has_moved_and_goes_on(
    town: Town, database: CrmDatabase, context: Context, clock: Clock
) -> None:
    centre(town, database, keep_s=60)
    number(town, database, "+74951110001")
    lease = {"panel": "p1", "call_id": "c1"}
    town.service("POST", "/v1/emergency-leases", lease)
    town.service("POST", "/v1/emergency-leases", lease)  # the new node's, before the old one's word is recorded
    told(context, *OUT[:2], LEFT)
    told(context, MOVED, OUT[3])
    clock.now = AT_MS + 120_000
    other = town.service("POST", "/v1/emergency-leases", {"panel": "p2", "call_id": "c2"})
    assert other["number"] is None
    back = town.service("POST", "/v1/emergency-call-backs", {"number": "+74951110001", "call_id": "back"})
    assert back["panel"] == "p1"


def test_a_call_that_moves_late_takes_no_number_from_who_has_it_now(
    town: Town, database: CrmDatabase, context: Context, clock: Clock
) -> None:
    centre(town, database, keep_s=60)
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
    told(context, *OUT[:2], LEFT)
    clock.now = AT_MS + 120_000
    town.service("POST", "/v1/emergency-leases", {"panel": "p2", "call_id": "c2"})
    before = town.platform("GET", "/v1/city-numbers")["items"]
    told(context, MOVED)
    assert town.platform("GET", "/v1/city-numbers")["items"] == before
    assert before[0]["panel"] == "p2"


def test_a_call_that_nobody_could_lease_for_is_recorded_with_the_shared_number(
    town: Town, database: CrmDatabase, context: Context
) -> None:
    number(town, database, "+74951119999", shared=True)
    late = step("number", 5, panel="p1", dialled="112", number="+74951119999", number_source="shared",
                detail="shared, told by nobody")  # fmt: skip
    told(context, late)
    told(context, late)
    told(context, step("ended", 700, panel="p1", result="answered", direction="out", detail="x"))
    (lease,) = town.platform("GET", "/v1/number-leases")["items"]
    assert (lease["panel"], lease["number"], lease["end_reason"], lease["ended_at_ms"]) == (
        "p1", "+74951119999", "shared", AT_MS + 700,
    )  # fmt: skip


def test_without_fastagi_kamailios_steps_are_a_record_all_the_same(town: Town, context: Context) -> None:
    told(context, OUT[1], OUT[3])
    (call,) = calls(town)
    assert (call["panel"], call["number"], call["result"], call["ended_at_ms"]) == (
        "p1", "+74951110001", "answered", None,
    )  # fmt: skip
    told(context, step("hung_up", 4000, panel="p1", detail="x"))
    (call,) = calls(town)
    assert (call["result"], call["ended_at_ms"]) == ("answered", AT_MS + 4000)


@pytest.mark.parametrize(
    ("steps", "told_by_agi", "result"),
    [
        (["no_way"], "no_answer", "no_way"),
        (["no_way"], None, "no_way"),
        (["dial", "way_failed", "trunk_failed"], "no_answer", "failed"),
        (["dial", "way_failed", "dial", "rings"], "no_answer", "no_answer"),
        (["dial", "way_failed"], "caller_hung_up", "caller_hung_up"),
        (["dial", "way_failed", "dial", "rings", "answered"], "answered", "answered"),
        (["dial"], "busy", "busy"),
    ],
)
@pytest.mark.parametrize("agi_first", [False, True])
def test_a_call_that_no_line_has_taken_is_not_one_that_nobody_answered(
    town: Town, context: Context, *, steps: list[str], told_by_agi: str | None, result: str, agi_first: bool
) -> None:
    by_kamailio = [step(name, 10 + at, panel="p1", detail="line") for at, name in enumerate(steps)]
    by_agi = [step("ended", 900, panel="p1", direction="out", result=told_by_agi, detail="x")] if told_by_agi else []
    for events in (by_agi, by_kamailio) if agi_first else (by_kamailio, by_agi):
        told(context, *events)
    (call,) = calls(town)
    assert call["result"] == result


def test_without_fastagi_the_use_of_the_shared_number_is_in_the_history_once(
    town: Town, database: CrmDatabase, context: Context
) -> None:
    number(town, database, "+74951119999", shared=True)
    dial = step("dial", 7, panel="p1", number="+74951119999", detail="city-line 112")
    told(context, dial, {**dial, "at_ms": AT_MS + 1600, "detail": "second-line 112"})
    told(context, step("hung_up", 700, panel="p1", detail="x"))
    (lease,) = town.platform("GET", "/v1/number-leases")["items"]
    assert (lease["panel"], lease["call_id"], lease["end_reason"], lease["ended_at_ms"]) == (
        "p1", "c1", "shared", AT_MS + 700,
    )  # fmt: skip


def test_a_number_is_kept_from_the_first_end_that_is_told(town: Town, database: CrmDatabase, context: Context) -> None:
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
    told(context, *OUT[:4], step("hung_up", 4990, panel="p1", detail="x"))
    for _ in range(2):
        (row,) = town.platform("GET", "/v1/city-numbers")["items"]
        assert (row["status"], row["held_until_ms"]) == ("kept", AT_MS + 4990 + 86_400_000)
        told(context, OUT[4])
    (call,) = calls(town)
    assert (call["ended_at_ms"], call["result"]) == (AT_MS + 4990, "answered")


@pytest.mark.parametrize("late", [False, True])
def test_what_was_leased_for_a_test_is_free_when_it_is_over(
    town: Town, database: CrmDatabase, context: Context, clock: Clock, *, late: bool
) -> None:
    """Two workers of FastAGI tell of lease and end: the lease may come after the end."""
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
    leased, ended = ({**event, "dialled": "*112*"} for event in (OUT[0], OUT[4]))
    for event in (ended, leased) if late else (leased, ended):
        told(context, event)
    clock.now = AT_MS + 5001
    (row,) = town.platform("GET", "/v1/city-numbers")["items"]
    assert (row["status"], row["held_until_ms"]) == ("free", None)


@pytest.mark.parametrize("told_by", ["redis", "last_known"])
def test_a_number_that_its_panel_used_without_the_crm_is_kept_after_that_call(
    town: Town, database: CrmDatabase, context: Context, clock: Clock, told_by: str
) -> None:
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c0"})
    Leasing(context).ended("c0", clock.now)
    again_ms = clock.now + 86_000_000  # some minutes before it would be free
    used = {"event": "emergency", "call_id": "c1", "panel": "p1", "number": "+74951110001"}
    first = {**used, "at_ms": again_ms, "step": "number", "detail": f"leased, told by {told_by}"}
    told(context, first)
    told(context, first)
    (row,) = town.platform("GET", "/v1/city-numbers")["items"]
    assert (row["status"], row["panel"]) == ("in_call", "p1")
    told(context, {**used, "at_ms": again_ms + 60_000, "step": "ended", "direction": "out", "detail": "x"})
    clock.now = again_ms + 3_600_000  # the CRM is back
    Leasing(context).expire()
    (row,) = town.platform("GET", "/v1/city-numbers")["items"]
    assert (row["status"], row["held_until_ms"]) == ("kept", again_ms + 60_000 + 86_400_000)
    (lease,) = town.platform("GET", "/v1/number-leases")["items"]
    assert (lease["calls"], lease["call_id"], lease["ended_at_ms"]) == (2, "c1", None)


def test_a_number_that_its_panel_does_not_hold_any_more_is_not_given_to_it_by_a_late_step(
    town: Town, database: CrmDatabase, context: Context, clock: Clock
) -> None:
    number(town, database, "+74951110001")
    town.service("POST", "/v1/emergency-leases", {"panel": "p2", "call_id": "c0"})
    late = {"event": "emergency", "call_id": "c1", "panel": "p1", "number": "+74951110001", "step": "number"}
    before = town.platform("GET", "/v1/city-numbers")["items"]
    told(context, {**late, "at_ms": clock.now + 5, "detail": "leased, told by redis"})
    assert town.platform("GET", "/v1/city-numbers")["items"] == before
    assert before[0]["panel"] == "p2"


def test_steps_that_are_told_at_one_moment_are_all_kept(town: Town, context: Context) -> None:
    """The worker of test calls and that of call events write one record, and the desks' pushes mark it."""
    call = town.platform("POST", "/v1/emergency-test-calls", {"panel": "p1"})
    tests, recording = EmergencyTests(context), EmergencyRecording(context)
    together = threading.Barrier(4)

    def note(teller: int) -> None:
        try:
            together.wait(60)
            for number in range(10):
                if teller % 2:
                    tests._note(call["call_id"], f"told {teller} {number}", "")
                    continue
                told = Event("emergency", call["call_id"], AT_MS, panel="p1", step=f"told {teller} {number}", detail="")
                with context.database.transaction():
                    recording.write([told])
        finally:
            context.database.forget_connection()

    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(note, range(4))) == [None] * 4
    (kept,) = calls(town)
    assert len(kept["steps"]) == 1 + 40


def test_a_daily_check_that_the_database_prevented_is_done_as_soon_as_it_is_back(
    town: Town, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert town.company
    checked = 0

    def check(_: EmergencyChecks) -> int:
        nonlocal checked
        checked += 1
        if checked == 1:
            raise peewee.OperationalError("away")
        return 0

    monkeypatch.setattr(EmergencyChecks, "check", check)
    work = worker(context, {}, None)
    with pytest.raises(peewee.OperationalError):
        work()
    work()
    work()
    assert checked == 2


@pytest.mark.parametrize("what", [(EmergencyChecks, "check"), (Leasing, "expire"), (CityNumbers, "pools")])
def test_a_fault_beside_the_notices_keeps_none_of_them_and_is_tried_again_in_a_minute(
    town: Town, database: CrmDatabase, context: Context, monkeypatch: pytest.MonkeyPatch, what: tuple[type, str]
) -> None:
    centre(town, database, email="duty@112.example")
    sent: list[str] = []
    tried = 0

    class Sender:
        def send(self, destination: str, *_: Any) -> None:
            sent.append(destination)

    def fault(*_: Any) -> None:
        nonlocal tried
        tried += 1
        raise ReferredError("the panel is gone")

    monkeypatch.setattr(*what, fault)
    clock = SimpleNamespace(now=1000.0)
    monkeypatch.setattr(emergency, "time", SimpleNamespace(monotonic=lambda: clock.now))
    work = worker(context, {"email": Sender()}, None)
    work()
    told(context, OUT[0])
    work()
    assert (tried, sent) == (1, ["duty@112.example"])
    clock.now += 61.0
    work()
    assert tried == 2


def test_an_event_of_before_is_still_understood() -> None:
    assert Event("ended", "c", 1).step is None
