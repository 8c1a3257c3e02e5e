from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.timetable import Timetable

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town


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


@pytest.mark.parametrize(
    "body",
    [{"cron": "0 5 * * 9"}, {"cron": "0 5 31 2 *"}, {"cron": "0 5 1 1 1"}, {"zone": "Nowhere/City"}, {"kind": "x"}],
)
def test_what_is_no_time(town: Town, job: dict[str, Any], body: dict[str, Any]) -> None:
    town.platform("PATCH", f"/v1/scheduled-jobs/{job['id']}", body, 422)
    assert town.platform("GET", f"/v1/scheduled-jobs/{job['id']}") == job
