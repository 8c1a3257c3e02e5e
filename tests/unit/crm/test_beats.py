"""Background processes beat whenever they get on, however long a pass lasts, and not while they do not."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from crm_api import emergency, jobs, webhooks
from crm_api.background import repeat
from crm_api.services.record_retention import BATCH, DAY_MS
from crm_api.tables.database import DatabaseErrors
from tests.unit.crm.test_imports import send

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

    Pass = Callable[[Context, Callable[[], None]], Callable[[], None]]

PASSES: dict[str, Pass] = {
    "emergency": lambda context, beat: emergency.worker(context, {}, None, beat),
    "jobs": lambda context, beat: jobs.worker(context, threading.Event(), beat),
    "webhooks": lambda context, beat: webhooks.teller(context, "", (), beat),
}


class Beats:
    """Counts them."""

    def __init__(self) -> None:
        self.count = 0

    def __call__(self) -> None:
        self.count += 1


@pytest.mark.parametrize("name", PASSES)
def test_each_pass_that_finds_nothing_to_do_is_a_beat(context: Context, name: str) -> None:
    beats = Beats()
    work = PASSES[name](context, beats)
    work()
    first = beats.count
    work()
    assert 0 < first < beats.count


@pytest.mark.parametrize("name", PASSES)
def test_who_has_no_database_falls_silent(context: Context, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    beats, stopped, tried = Beats(), threading.Event(), Beats()

    def away(*_: object) -> None:
        tried()
        if tried.count == 3:
            stopped.set()
        raise DatabaseErrors[0]("away")

    work = PASSES[name](context, beats)
    for method in ("row", "rows", "transaction"):
        monkeypatch.setattr(context.database, method, away)
    repeat(work, context.database, stopped, 0.0)
    assert (tried.count, beats.count) == (3, 0)


def test_a_long_job_beats_as_often_as_it_tells_how_far_it_is(town: Town, context: Context) -> None:
    beats = Beats()
    work = jobs.worker(context, threading.Event(), beats)
    work()
    idle = beats.count
    text = "address\n" + "".join(f"Long street name number {number}\n" for number in range(5000))
    assert send(town, "houses", text, expect=202)["state"] == "waiting"
    beats.count = 0
    work()
    assert beats.count >= idle + 5
    assert town.platform("GET", "/v1/jobs?state=done")["items"]


def test_a_long_tidying_beats_with_each_batch(
    town: Town, context: Context, clock: Clock, database: CrmDatabase
) -> None:
    beats = Beats()
    town.platform("PATCH", f"/v1/companies/{town.company}", {"calls_kept_days": 1})
    rows = [(f"c{n}", town.company, clock.now - 2 * DAY_MS + n) for n in range(3 * BATCH)]
    with database.transaction():
        database.many("INSERT INTO call_records (call_id, company_id, started_at_ms) VALUES (?, ?, ?)", rows)
    jobs.worker(context, threading.Event(), beats)()
    assert beats.count > 3
    assert database.rows("SELECT count(*) FROM call_records") == [(0,)]
