"""Test calls to 112: placed once and in time, few at once, and nothing waits for one that rings."""

from __future__ import annotations

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.emergency import worker
from crm_api.services.emergency_tests import EmergencyTests
from tests.unit.crm.test_emergency import centre
from tests.unit.crm.test_emergency_recording import OUT, calls, told

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town


def test_a_test_call_is_placed_by_one_of_several_processes(town: Town, context: Context) -> None:
    town.platform("POST", "/v1/emergency-test-calls", {"panel": "p1"})
    together = threading.Barrier(4)

    def take(_: int) -> bool:
        try:
            together.wait(60)
            return EmergencyTests(context).take() is not None
        finally:
            context.database.forget_connection()

    with ThreadPoolExecutor(4) as threads:
        assert sum(threads.map(take, range(4))) == 1


def more_panels(town: Town, *names: str) -> None:
    for name in names:
        town.platform("POST", "/v1/accounts", {"account": name, "kind": "panel", "company_id": town.company})
        place = {"account": name, "name": name, "places": [{"house_id": town.house, "code": name[1:] + "1"}]}
        town.platform("POST", "/v1/panels", place)


def test_a_panel_has_one_test_call_at_once_and_a_company_a_few(town: Town, context: Context, clock: Clock) -> None:
    def ask(panel: str, expect: int = 202) -> Any:
        return town.platform("POST", "/v1/emergency-test-calls", {"panel": panel}, expect=expect)

    more_panels(town, "p3", "p4", "p5", "p6")
    told(context, {**OUT[0], "dialled": "*112*", "started_at_ms": clock.now, "at_ms": clock.now})  # by hand: of p1
    first = ask("p1")
    assert "a test call of p1 is under way" in ask("p1", 409)["detail"]
    for panel in ("p2", "p3", "p4", "p5"):
        ask(panel)
    assert "5 test calls of company" in ask("p6", 409)["detail"]
    EmergencyTests(context)._note(first["call_id"], "result", "rang", result="rang")
    ask("p6")
    clock.now += 181_000
    ask("p2")


def test_a_test_call_that_nobody_places_in_time_ends_failed(
    town: Town, database: CrmDatabase, context: Context, clock: Clock
) -> None:
    tests = EmergencyTests(context)
    more_panels(town, "p3")
    for panel in ("p1", "p2"):
        town.platform("POST", "/v1/emergency-test-calls", {"panel": panel})
    told(context, {**OUT[0], "dialled": "*112*", "started_at_ms": clock.now, "at_ms": clock.now})  # by hand
    assert tests.take().panel == "p1"
    clock.now += 119_000
    assert (tests.give_up(), tests.take().panel) == (0, "p2")
    town.platform("POST", "/v1/emergency-test-calls", {"panel": "p3"})
    clock.now += 62_000
    assert tests.give_up() == 2, "their process has died"
    assert {call["result"] for call in calls(town) if call["dialled"] == "*112*" and call["id"] < 3} == {"failed"}
    clock.now += 59_000
    assert (tests.give_up(), tests.take()) == (1, None)
    late = calls(town)[0]
    assert [(step["step"], step["detail"]) for step in late["steps"]][1:] == [
        ("failed", "nobody was free to place it for 120 s")
    ]
    assert (late["result"], late["ended_at_ms"] is not None) == ("failed", True)
    assert [call["result"] for call in calls(town)] == ["failed", None, "failed", "failed"]
    since_ms, late_ms = tests._settled_ms, context.now_ms()
    assert database.rows(tests._late, (since_ms, late_ms)) == [], "what a panel has dialled is not looked at for ever"
    assert EmergencyTests(context).give_up() == 0


def test_the_look_for_test_calls_that_nobody_places_reads_an_index(database: CrmDatabase, context: Context) -> None:
    if database.dialect != "sqlite":
        pytest.skip("how PostgreSQL reads a table depends on what is in it")
    told = database.rows(f"EXPLAIN QUERY PLAN {EmergencyTests(context)._late}", (0, 1))
    assert "emergency_calls_asked" in str(told)
    assert "SCAN" not in str(told)


def test_the_process_that_places_test_calls_gives_them_up(town: Town, context: Context, clock: Clock) -> None:
    town.platform("POST", "/v1/emergency-test-calls", {"panel": "p1"})
    clock.now += 121_000
    worker(context, {}, None)()
    assert calls(town)[0]["result"] == "failed"


def test_a_test_call_that_rings_for_long_keeps_no_notice_waiting(
    town: Town, database: CrmDatabase, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    sent = threading.Event()
    rings, was_sent = threading.Event(), []

    class Sender:
        def send(self, _destination: str, _body: dict[str, Any], _secret: str | None) -> None:
            sent.set()

    def ring(*_: Any) -> None:
        rings.set()
        was_sent.append(sent.wait(60))

    monkeypatch.setattr(EmergencyTests, "place_one", ring)
    town.platform("POST", "/v1/emergency-test-calls", {"panel": "p1"})
    centre(town, database, email="duty@112.example")
    work = worker(context, {"email": Sender()}, None)
    work()
    assert rings.wait(60)
    told(context, OUT[1])
    work()
    assert sent.is_set()
    deadline_s = time.monotonic() + 60
    while not was_sent and time.monotonic() < deadline_s:
        sent.wait(0.01)
    assert was_sent == [True]
