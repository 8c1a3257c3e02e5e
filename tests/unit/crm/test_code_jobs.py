"""The job of every Monday as the scheduler runs it: billing is asked first, then customers get their codes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.adapters.billing import HttpBilling
from crm_api.services.timetable import Timetable
from lab.billing import ReferenceBilling
from scheduler.jobs import make_jobs
from scheduler.work import Telling

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town

WEEK_MS = 7 * 86_400_000
CUSTOMER = {"billing_id": "10045", "name": "Homes", "active": True, "contract": "2026-117"}


@pytest.fixture
def billing(town: Town) -> Iterator[ReferenceBilling]:
    town.platform("PATCH", f"/v1/companies/{town.company}", {"billing_id": "10045"})
    with ReferenceBilling("a token of billing", [dict(CUSTOMER)]) as made:
        yield made


@pytest.fixture
def monday(town: Town, services: Services, billing: ReferenceBilling) -> Callable[[], dict[str, Any]]:
    """Run the job as it is due; return what it says of itself."""
    context = services.jobs.context
    jobs = make_jobs(context, HttpBilling(billing.url, "a token of billing"))
    Timetable(context).fill()
    path = f"/v1/scheduled-jobs?kind=access_codes&company_id={town.company}"
    job = town.platform("GET", path)["items"][0]

    def run() -> dict[str, Any]:
        town.platform("POST", f"/v1/scheduled-jobs/{job['id']}/start")
        taken = services.job_runs.take("here")
        assert taken is not None
        services.job_runs.end(taken, jobs[taken.kind](Telling(taken, services.job_runs, threading.Event())))
        last: dict[str, Any] = town.platform("GET", path)["items"][0]["last_run"]
        assert last["state"] == "done"
        result: dict[str, Any] = last["result"]
        return result

    return run


def codes(services: Services) -> int:
    row = services.access_codes.database.row("SELECT count(*) FROM access_codes")
    assert row is not None
    return int(row[0])


def test_every_entrance_of_a_customer_gets_a_code(
    services: Services, billing: ReferenceBilling, monday: Callable[[], dict[str, Any]]
) -> None:
    told = monday()
    assert (told["billing"]["ok"], told["entrances"], told["codes"]) == (True, 2, 2)
    assert (billing.asked, codes(services)) == (1, 2)


def test_whom_billing_has_no_more_as_a_customer_gets_none(
    services: Services, billing: ReferenceBilling, monday: Callable[[], dict[str, Any]], clock: Clock
) -> None:
    monday()
    clock.now += WEEK_MS
    billing.companies[0]["active"] = False
    told = monday()
    assert (told["codes"], told["why"]) == (0, "the company is not active")
    assert codes(services) == 2
    clock.now += WEEK_MS
    billing.companies[0]["active"] = True
    assert monday()["codes"] == 2, "a customer who is back gets his"


@pytest.mark.parametrize("active", [True, False])
def test_with_billing_down_last_weeks_state_counts_and_the_run_says_so(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, billing: ReferenceBilling, monday: Callable[[], dict[str, Any]], clock: Clock,
    active: bool,
) -> None:  # fmt: skip
    billing.companies[0]["active"] = active
    known_at_ms = monday()["billing"]["state_of_ms"]
    before = codes(services)
    clock.now += WEEK_MS
    billing.fault = 503
    told = monday()
    assert (told["billing"]["ok"], told["billing"]["state_of_ms"]) == (False, known_at_ms)
    assert "503" in told["billing"]["reason"]
    assert codes(services) - before == (2 if active else 0)
    assert town.platform("GET", f"/v1/companies/{town.company}")["active"] is active
