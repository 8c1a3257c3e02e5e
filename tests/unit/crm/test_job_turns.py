"""Which job a worker takes up next: a lost one has one finder, companies take turns, and so many may wait."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.jobs import ATTEMPTS, MOST_WAITING, SILENT_MS
from tests.unit.crm.conftest import must_be_as_declared
from tests.unit.crm.test_imports import counted, send

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town


@pytest.mark.parametrize(
    "found",
    [
        (attempts, meanwhile)
        for attempts in (1, ATTEMPTS)
        for meanwhile in ("attempts = 9", "state = 'done', finished_at_ms = 1")
    ],
)
def test_of_two_who_find_a_lost_job_one_has_it(
    town: Town, services: Services, clock: Clock, monkeypatch: pytest.MonkeyPatch, found: tuple[int, str]
) -> None:
    """As PostgreSQL orders it: between this worker's look and its write another has taken the job, or ended it."""
    attempts, meanwhile = found
    job = send(town, "houses", "address\nNew 1\n", "&background=true", expect=202)["id"]
    database = services.jobs.database
    assert services.jobs.take() is not None
    database.rows("UPDATE jobs SET attempts = ?", (attempts,))
    clock.now += SILENT_MS
    rows = database.rows

    def looked(sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        seen = rows(sql, parameters)
        if sql.strip().startswith("SELECT id, attempts, result FROM jobs"):
            rows(f"UPDATE jobs SET {meanwhile}, heartbeat_at_ms = ? WHERE id = ?", (clock.now, job))  # noqa: S608
        return seen

    monkeypatch.setattr(database, "rows", looked)
    assert services.jobs.take() is None
    state = "done" if "done" in meanwhile else "running"
    assert rows("SELECT state FROM jobs") == [(state,)]


def test_a_job_of_a_clock_that_was_put_back_is_taken_up(town: Town, services: Services, clock: Clock) -> None:
    send(town, "houses", "address\nNew 1\n", "&background=true", expect=202)
    assert services.jobs.take() is not None
    clock.now -= 24 * 3_600_000
    assert services.job_work.work(threading.Event())
    assert counted(services)["houses"] == 3


def waits(town: Town, company: int, expect: int = 202) -> Any:
    """An import of one house that is left to the worker."""
    answer = town.client.simulate_post(
        "/v1/imports/houses",
        query_string=f"company_id={company}&background=true",
        body=b"address\nSadovaya 3\n",
        headers={**town.platform._headers, "Content-Type": "text/csv"},
    )
    assert answer.status_code == expect, answer.text
    must_be_as_declared(town.client, "POST", "/v1/imports/houses", answer)
    return answer.json


def test_jobs_of_one_company_keep_no_other_companys_waiting(town: Town, services: Services) -> None:
    others = [town.platform("POST", "/v1/companies", {"name": name})["id"] for name in ("Second", "Third")]
    for company in [town.company] * 3 + others + others[:1]:
        waits(town, company)
    order = []
    while (taken := services.jobs.take()) is not None:
        order.append(taken.company_id)
    assert order == [town.company, *others, town.company, others[0], town.company]


def test_an_import_that_is_done_at_once_is_no_turn(town: Town, services: Services) -> None:
    other = town.platform("POST", "/v1/companies", {"name": "Second"})["id"]
    for company in (other, town.company, other):
        waits(town, company)
    assert [taken.company_id for taken in [services.jobs.take()] if taken is not None] == [other]
    send(town, "houses", "address\nSadovaya 4\n")
    assert [taken.company_id for taken in [services.jobs.take()] if taken is not None] == [town.company]


def test_twenty_jobs_of_a_company_wait_and_no_more(town: Town, services: Services) -> None:
    other = town.platform("POST", "/v1/companies", {"name": "Second"})["id"]
    first, *_ = [waits(town, town.company) for _ in range(MOST_WAITING)]
    refused = waits(town, town.company, expect=409)
    assert "DELETE /v1/jobs/{id}" in refused["detail"]
    waits(town, other)
    assert send(town, "houses", "address\nSadovaya 4\n")["state"] == "done", "it waits for nobody"
    town.platform("DELETE", f"/v1/jobs/{first['id']}")
    waits(town, town.company)
    assert services.jobs.take() is not None
    waits(town, town.company)
