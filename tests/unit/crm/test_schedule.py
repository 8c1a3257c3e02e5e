from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.timetable import Timetable

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town


@pytest.fixture
def job(town: Town, services: Services) -> dict[str, Any]:
    table = Timetable(services.jobs.context)
    table.fill()
    table.look()
    found: dict[str, Any] = town.platform("GET", "/v1/scheduled-jobs?kind=clean_up")["items"][0]
    return found


def test_a_job_says_when_it_is_due_and_how_it_went(town: Town, services: Services, job: dict[str, Any]) -> None:
    assert job["zone_in_use"] == "UTC"
    assert job["next_at_ms"] > services.jobs.context.now_ms()
    started = town.platform("POST", f"/v1/scheduled-jobs/{job['id']}/start")
    assert started["last_run"]["state"] == "waiting"
    assert started["last_run"]["started_by"] == "test"
    town.platform("POST", f"/v1/scheduled-jobs/{job['id']}/start", expect=409)
    run = services.job_runs.take("here")
    assert run is not None
    services.job_runs.tell(run, 1, 2)
    services.job_runs.end(run, {"removed": 0})
    last = town.platform("GET", f"/v1/scheduled-jobs/{job['id']}")["last_run"]
    assert (last["state"], last["done"], last["total"], last["result"]) == ("done", 1, 2, {"removed": 0})
    assert last["duration_ms"] >= 0
    listed = town.platform("GET", f"/v1/job-runs?job_id={job['id']}")["items"]
    assert [run["state"] for run in listed] == ["done"]


def test_the_office_changes_when_a_job_is_due(town: Town, job: dict[str, Any]) -> None:
    path = f"/v1/scheduled-jobs/{job['id']}"
    changed = town.platform("PATCH", path, {"cron": "0 5 * * 1", "zone": "Asia/Yekaterinburg"})
    assert changed["next_slot"].endswith("T05:00")
    assert changed["next_at_ms"] % 86_400_000 == 0, "five o'clock there is midnight here"
    stopped = town.platform("PATCH", path, {"enabled": False})
    assert stopped["next_at_ms"] is None
    assert town.platform("PATCH", path, {"enabled": True})["next_slot"] == changed["next_slot"]


def test_a_slot_of_today_is_not_lost_when_its_hour_has_passed_in_the_new_zone(
    town: Town, services: Services, clock: Clock
) -> None:
    clock.now = int(datetime.fromisoformat("2026-11-22T22:00Z").timestamp()) * 1000
    town.platform("PATCH", "/v1/cities/1", {"time_zone": "Asia/Yekaterinburg"})  # Monday, 03:00
    table = Timetable(services.jobs.context)
    table.fill()
    table.look()
    job = town.platform("GET", "/v1/scheduled-jobs?kind=access_codes")["items"][0]
    path = f"/v1/scheduled-jobs/{job['id']}"
    assert job["next_slot"] == "2026-11-23T05:00"
    changed = town.platform("PATCH", path, {"zone": "Asia/Vladivostok"})  # 08:00
    assert changed["next_slot"] == "2026-11-23T05:00"
    assert table.look() == 1
    assert table.look() == 0
    # It is 01:00 of Monday there: the slot is to come once more, and has run.
    town.platform("PATCH", path, {"zone": "Europe/Moscow"})
    for _ in range(20):
        table.look()
        clock.now += 3_600_000
    runs = town.platform("GET", f"/v1/job-runs?job_id={job['id']}")["items"]
    assert [run["slot"] for run in runs] == ["2026-11-23T05:00"]
    assert town.platform("GET", path)["next_slot"] == "2026-11-30T05:00"


def test_other_times_are_not_made_up_for(town: Town, services: Services, clock: Clock) -> None:
    """Whoever says when a job is due from now on does not have it run now."""
    clock.now = int(datetime.fromisoformat("2026-11-23T06:00Z").timestamp()) * 1000
    table = Timetable(services.jobs.context)
    table.fill()
    table.look()
    job = town.platform("GET", "/v1/scheduled-jobs?kind=access_codes")["items"][0]
    path = f"/v1/scheduled-jobs/{job['id']}"
    town.platform("PATCH", path, {"cron": "0 7 * * 1"})
    assert town.platform("PATCH", path, {"cron": "0 4 * * 1"})["next_slot"] == "2026-11-30T04:00"
    town.platform("PATCH", path, {"enabled": False})
    assert town.platform("PATCH", path, {"enabled": True, "zone": "Asia/Tokyo"})["next_slot"] == "2026-11-30T04:00"
    assert table.look() == 0


@pytest.mark.parametrize(
    ("cron", "run"),
    [
        ("0 6 * * 1", ("2026-11-23T06:00", 1)),
        ("0 9 * * 1", ("2026-11-23T05:00", 0)),
        ("0 4 * * 1", ("2026-11-23T05:00", 0)),
    ],
)
def test_a_slot_that_was_missed_is_not_lost_when_the_job_gets_another_hour(
    town: Town, services: Services, clock: Clock, cron: str, run: tuple[str, int]
) -> None:
    clock.now = int(datetime.fromisoformat("2026-11-20T12:00Z").timestamp()) * 1000
    table = Timetable(services.jobs.context)
    table.fill()
    table.look()
    job = town.platform("GET", "/v1/scheduled-jobs?kind=access_codes")["items"][0]
    clock.now = int(datetime.fromisoformat("2026-11-23T06:30Z").timestamp()) * 1000  # no scheduler ran at 05:00
    changed = town.platform("PATCH", f"/v1/scheduled-jobs/{job['id']}", {"cron": cron})
    assert changed["next_slot"] == "2026-11-23T05:00"
    table.look()
    (made,) = town.platform("GET", f"/v1/job-runs?job_id={job['id']}")["items"]
    assert (made["slot"], made["slots_missed"]) == run


@pytest.mark.parametrize(
    "body",
    [{"cron": "0 5 * * 9"}, {"cron": "0 5 31 2 *"}, {"cron": "0 5 1 1 1"}, {"zone": "Nowhere/City"}, {"kind": "x"}],
)
def test_what_is_no_time(town: Town, job: dict[str, Any], body: dict[str, Any]) -> None:
    town.platform("PATCH", f"/v1/scheduled-jobs/{job['id']}", body, 422)
    assert town.platform("GET", f"/v1/scheduled-jobs/{job['id']}") == job
