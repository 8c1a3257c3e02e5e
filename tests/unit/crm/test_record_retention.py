"""What a company no longer wants kept leaves the records, and nothing else does."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crm_api.services.call_recording import CallRecording
from crm_api.services.record_retention import BATCH, DAY_MS, RecordRetention
from tests.unit.crm.test_call_records import entry, story

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town


def keep(town: Town, company: int, **days: int | None) -> None:
    town.platform("PATCH", f"/v1/companies/{company}", days)


def test_old_calls_leave_the_records(town: Town, context: Context, clock: Clock, database: CrmDatabase) -> None:
    recording = CallRecording(context)
    recording.record([entry(1, story("old"))])
    clock.now += 40 * DAY_MS
    recording.record([entry(2, [{**event, "at_ms": event["at_ms"] + 40 * DAY_MS} for event in story("new")][:9])])
    assert RecordRetention(context).prune() == 0, "a company that says nothing keeps them"
    keep(town, town.company, calls_kept_days=30)
    assert RecordRetention(context).prune() == 1
    assert database.rows("SELECT call_id FROM call_records") == [("new",)]
    assert database.rows("SELECT call_id FROM call_branches WHERE call_id = 'old'") == []


def test_old_access_records_leave_in_batches_those_of_one_company_alone(
    town: Town, context: Context, clock: Clock, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    old = [(company, clock.now - 40 * DAY_MS, "p1", "opened") for company in (town.company, other)]
    rows = [old[0]] * (2 * BATCH + 1) + [old[1]] + [(town.company, clock.now - 20 * DAY_MS, "p1", "refused")]
    with database.transaction():
        database.many("INSERT INTO access_records (company_id, at_ms, panel, result) VALUES (?, ?, ?, ?)", rows)
    keep(town, town.company, calls_kept_days=1)
    assert RecordRetention(context).prune() == 0, "calls are kept for another time than openings"
    keep(town, town.company, calls_kept_days=None, access_records_kept_days=30)
    batches: list[int] = []
    plain = database.many

    def counted(statement: str, values: list[tuple[object, ...]]) -> object:
        batches.append(len(values))
        return plain(statement, values)

    monkeypatch.setattr(database, "many", counted)
    assert RecordRetention(context).prune() == 2 * BATCH + 1
    assert batches == [BATCH, BATCH, 1]
    left = database.rows("SELECT company_id, result FROM access_records ORDER BY company_id")
    assert left == [(town.company, "refused"), (other, "opened")]


@pytest.mark.parametrize("days", [0, 3661, "30", 1.5])
def test_days_that_cannot_be(town: Town, days: object) -> None:
    problem = town.platform("PATCH", f"/v1/companies/{town.company}", {"access_records_kept_days": days}, 422)
    assert problem["errors"][0]["field"] == "access_records_kept_days"
