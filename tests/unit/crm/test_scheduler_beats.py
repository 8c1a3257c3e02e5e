"""A beat of the scheduler: what there is to do begins at once, and where there is nothing to do, nothing begins."""

from __future__ import annotations

import functools
import threading
from typing import TYPE_CHECKING, Any, cast

import peewee
import pytest

from crm_api.services.code_notices import CodeNotices
from crm_api.services.panel_codes import PanelCodes
from crm_api.services.panels_seen import PanelsSeen
from crm_api.services.scheduler_lease import SchedulerLease
from scheduler import code_steps
from scheduler.code_steps import TellPanels, TellResidents
from scheduler.panel_rounds import LookForPanels
from scheduler.probe_loading import Callers
from scheduler.probe_runner import RunProbes
from scheduler.process import SchedulerProcess
from tests.unit.crm.probe_world import FakeLines, FakeNode
from tests.unit.crm.query_plans import reads_of

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from crm_api.services.context import Context
    from scheduler.asterisk_manager import AsteriskManager
    from scheduler.panel_lines import PanelLines
    from scheduler.work import Step
    from tests.unit.crm.fakes import FakeRegistrar

WITHIN_S = 30.0


class FakeStep:
    """Something that is due when it is said to be."""

    name = "fake"

    def __init__(self, *, due: bool) -> None:
        self.due = due
        self.ran = threading.Event()

    def is_due(self) -> bool:
        return self.due

    def step(self, stopped: threading.Event) -> None:
        del stopped
        self.ran.set()


def process_of(context: Context, steps: Sequence[Step]) -> SchedulerProcess:
    process = SchedulerProcess(
        context, SchedulerLease(context, "here"), jobs={}, steps=steps, stopped=threading.Event()
    )
    process.start()
    return process


@pytest.fixture
def opened(context: Context, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the threads that open a connection from now on."""
    made: list[str] = []
    connect = context.database.peewee._connect

    def noted() -> Any:
        made.append(threading.current_thread().name)
        return connect()

    monkeypatch.setattr(context.database.peewee, "_connect", noted)
    return made


@pytest.fixture
def steps(context: Context, registrar: FakeRegistrar, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Step]:
    """Return the real steps, when they have done what they do first."""
    monkeypatch.setattr(code_steps, "SWEEP_EVERY_S", 3600.0)
    callers = Callers([cast("AsteriskManager", FakeNode())], "127.0.0.10:5060", tmp_path)
    steps: list[Step] = [
        RunProbes(context, cast("PanelLines", FakeLines()), callers, {}),
        LookForPanels(PanelsSeen(context, registrar), 300, lambda _: None),
        TellPanels(PanelCodes(context), {}, 10),
        TellResidents(CodeNotices(context), {}),
    ]
    for step in steps:
        step.step(threading.Event())
    return steps


def test_where_nothing_is_to_be_done_nothing_begins(context: Context, steps: list[Step], opened: list[str]) -> None:
    process = process_of(context, steps)
    process.beat()
    assert process._threads.busy == frozenset()
    process.stop()
    assert opened == [], "each would have cost as much as all else in that second"


def test_no_second_reads_a_whole_table_that_grows(context: Context, steps: list[Step]) -> None:
    """Runs stay for a year, and notices of three months are a row for every phone and week."""
    process = process_of(context, steps)

    def second() -> None:
        process.beat()
        for step in steps:
            step.step(threading.Event())

    read = reads_of(context.database, second)
    process.stop()
    assert read.isdisjoint({"SCAN job_runs", "SCAN code_notices", "SCAN n"})
    assert any("code_notices_due" in words for words in read)
    assert any("job_runs_open" in words for words in read)


def test_what_is_due_begins_with_the_next_beat(context: Context) -> None:
    step = FakeStep(due=False)
    process = process_of(context, [step])
    process.beat()
    step.due = True
    process.beat()
    assert step.ran.wait(WITHIN_S)
    process.stop()


def test_a_scheduler_that_stands_by_begins_nothing(context: Context) -> None:
    assert SchedulerLease(context, "another").keep()
    step = FakeStep(due=True)
    process = process_of(context, [step])
    process.beat()
    process.stop()
    assert not step.ran.is_set()


def test_a_thread_keeps_its_connection_until_a_step_fails(context: Context) -> None:
    process, step = process_of(context, []), FakeStep(due=True)
    process.stop()  # else it waits for a second after a failure

    def work(_: threading.Event, fault: Exception | None) -> None:
        context.database.ping()
        if fault is not None:
            raise fault

    for fault in (None, peewee.OperationalError("the server has gone"), None, ValueError("a bug")):
        step.step = functools.partial(work, fault=fault)  # type: ignore[method-assign]
        process._step(step)
        assert context.database.peewee.is_closed() == (fault is not None)
