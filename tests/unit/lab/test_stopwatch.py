"""The stopwatch of the stories stands still while the machine keeps us from running, and else it does not."""

from __future__ import annotations

import multiprocessing
import os
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Iterator


def _work(until_s: float) -> None:
    while time.monotonic() < until_s:
        pass


@contextmanager
def _one_processor() -> Iterator[None]:
    """Ourselves and whom we start have one processor together."""
    usual = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(usual)})
    try:
        yield
    finally:
        os.sched_setaffinity(0, usual)


def test_what_others_took_of_the_processor_is_not_counted() -> None:
    with _one_processor():
        until_s = time.monotonic() + 1.0
        other = multiprocessing.get_context("fork").Process(target=_work, args=(until_s,))
        other.start()
        watch = Stopwatch()
        _work(until_s)
        passed_s, took_s = time.monotonic() - watch.began_s, watch.took_s
        other.join()
    assert took_s < passed_s - 0.2


def test_no_more_than_two_seconds_are_taken_off() -> None:
    watch = Stopwatch()
    watch.began_s -= 3.0
    assert watch.took_s >= 1.0
