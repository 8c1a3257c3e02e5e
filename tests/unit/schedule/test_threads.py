"""What is begun runs, whenever it is begun."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from scheduler.threads import Threads

if TYPE_CHECKING:
    from collections.abc import Iterator

WITHIN_S = 30.0


@pytest.fixture
def threads() -> Iterator[Threads]:
    threads = Threads()
    threads.start()
    yield threads
    threads.stop()


def test_of_one_name_one_runs(threads: Threads) -> None:
    begun, ends = threading.Event(), threading.Event()

    def work() -> None:
        begun.set()
        ends.wait(WITHIN_S)

    assert threads.begin("step", work)
    assert begun.wait(WITHIN_S)
    assert not threads.begin("step", work)
    assert threads.busy == {"step"}
    ends.set()


def test_what_is_begun_just_before_the_stop_runs_to_its_end() -> None:
    for _ in range(20):
        threads, ran = Threads(), threading.Event()
        threads.start()
        assert threads.begin("run 1", ran.set)
        threads.stop()
        assert ran.is_set()


def test_what_is_begun_as_the_last_one_has_just_ended_runs(threads: Threads, monkeypatch: pytest.MonkeyPatch) -> None:
    """APScheduler hears a moment later that something is over; what it did not begin then was never begun again."""
    executor: Any = threads._scheduler._lookup_executor("default")
    hears = executor._run_job_success
    over, may_hear, runs_again = threading.Event(), threading.Event(), threading.Event()

    def heard_late(*arguments: Any) -> None:
        over.set()
        may_hear.wait(WITHIN_S)
        hears(*arguments)

    def work() -> None:
        with threads._scheduler._jobstores_lock:  # held while this was begun: it is over only after that
            pass

    monkeypatch.setattr(executor, "_run_job_success", heard_late)
    assert threads.begin("step", work)
    assert over.wait(WITHIN_S)
    assert threads.begin("step", runs_again.set)
    ran = runs_again.wait(WITHIN_S)
    may_hear.set()
    assert ran, "it was left out"
