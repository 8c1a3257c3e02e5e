"""The API's worker is ready before its first request: every thread is warm, and a lost database does not stop it."""

from __future__ import annotations

import io
import threading
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import peewee
import pytest

from crm_api.turns import Turns
from crm_api.worker import ReadyWorker, warm_up_threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.bootstrap import Services
    from crm_api.services.planning import Planned
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town

THREADS = 3


@pytest.fixture
def pool() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(THREADS) as pool:
        yield pool


def test_each_thread_is_made_and_warmed_up_once(pool: ThreadPoolExecutor) -> None:
    warm: list[int] = []
    warm_up_threads(pool, THREADS, lambda: warm.append(threading.get_ident()))
    assert len(warm) == len(set(warm)) == THREADS
    assert {pool.submit(threading.get_ident).result() for _ in range(20)} <= set(warm)


def test_a_database_that_is_away_does_not_keep_the_api_from_starting(pool: ThreadPoolExecutor) -> None:
    tried: list[int] = []

    def away() -> None:
        tried.append(1)
        raise peewee.OperationalError("connection refused")

    warm_up_threads(pool, THREADS, away)
    assert len(tried) == THREADS


def test_a_fault_of_ours_is_told(pool: ThreadPoolExecutor) -> None:
    def fault() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        warm_up_threads(pool, THREADS, fault)


@dataclass
class Waiting:
    """A connection on which a part of a request has come."""

    file: int
    timeout: float = 0.0
    initialized: bool = True
    closed: bool = False

    @property
    def sock(self) -> Any:
        return SimpleNamespace(fileno=lambda: self.file)

    @property
    def parser(self) -> Any:
        return SimpleNamespace(unreader=SimpleNamespace(buf=io.BytesIO(b"POST")))

    def close(self) -> None:
        self.closed = True


def test_a_connection_that_is_closed_while_it_waits_for_its_turn_loses_its_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    worker: Any = ReadyWorker.__new__(ReadyWorker)
    worker._idle, worker._begun, worker._turns = {}, {}, Turns(1)
    monkeypatch.setattr(ReadyWorker, "most_begun", 2)
    offered: list[int] = []
    worker._ready = SimpleNamespace(modify=lambda file, _: offered.append(file))
    long = [Waiting(file) for file in range(10, 15)]
    assert [worker._turns.take(connection, worker._wait_for_turn) for connection in long] == [True, *[False] * 4]
    assert [connection.closed for connection in long] == [False, True, True, False, False]
    worker._turns.give(worker._serve_at_once)
    assert offered == [13]


def test_the_warm_up_reads_a_plan_of_the_town_and_needs_none(
    town: Town, services: Services, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    planned: list[tuple[str, str]] = []
    plan = services.planning.planned

    def listen(panel: str, dialled: str) -> Planned:
        planned.append((panel, dialled))
        return plan(panel, dialled)

    monkeypatch.setattr(services.planning, "planned", listen)
    services.planning.warm_up()
    assert set(planned) == {("p1", "12")}
    planned.clear()
    for panel in town.platform("GET", "/v1/panels")["items"]:
        town.platform("DELETE", f"/v1/panels/{panel['id']}")
    services.planning.warm_up()
    assert planned == []
    assert database.row("SELECT count(*) FROM panels") == (0,)


def test_a_plan_of_an_apartment_costs_two_statements_and_one_where_each_is_a_round_trip(
    town: Town, services: Services, database: CrmDatabase, statements: list[str]
) -> None:
    assert services.planning.planned("p1", "12").plan.outcome == "ring"
    each = 1 if database.dialect == "postgresql" else 2
    assert len(statements) == each
    town.plan("p1", "12")
    statements.clear()
    for _ in range(3):
        town.plan("p1", "12")
    assert len(statements) == each * 3, "the call path's token is looked up once a second only"
