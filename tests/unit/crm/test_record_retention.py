"""What a company no longer wants kept leaves the records, and nothing else does."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from crm_api.services.call_recording import CallRecording
from crm_api.services.record_retention import BATCH, DAY_MS, RecordRetention
from crm_api.tables import phone_rows
from tests.unit.crm.test_call_records import entry, story
from tests.unit.crm.test_trunks import leg

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town


def keep(town: Town, company: int, **days: int | None) -> None:
    town.platform("PATCH", f"/v1/companies/{company}", days)


def moment(year: int, month: int, day: int, hour: int = 0) -> int:
    return int(datetime(year, month, day, hour, tzinfo=UTC).timestamp() * 1000)


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


def test_phones_are_counted_for_the_whole_month_however_short_calls_are_kept(
    town: Town, context: Context, clock: Clock, database: CrmDatabase
) -> None:
    def statement(month: str) -> int:
        path = f"/v1/companies/{town.company}/phone-statement?month={month}"
        return sum(line["billed_s"] for line in town.platform("GET", path)["trunks"])

    def pruned_at(year: int, month: int, day: int, hour: int = 0) -> int:
        clock.now = moment(year, month, day, hour)
        return RecordRetention(context).prune()

    keep(town, town.company, calls_kept_days=1, phone_minutes=3)
    clock.now = moment(2026, 11, 2)
    calls = {"october": moment(2026, 10, 31), "first": moment(2026, 11, 1), "second": moment(2026, 11, 2)}
    for number, (call, at_ms) in enumerate(calls.items()):
        CallRecording(context).record([entry(number, [leg(call, 100_000, at_ms)])])
    CallRecording(context).record([entry(9, [{**event, "at_ms": clock.now} for event in story("no phone")][:5])])
    assert pruned_at(2026, 11, 30, 23) == 1
    assert database.rows("SELECT call_id FROM call_records WHERE call_id = 'no phone'") == []
    assert phone_rows.limits(database, town.company, town.apartment, clock.now).is_used_up
    assert (statement("2026-10"), statement("2026-11")) == (100, 200)
    assert pruned_at(2026, 12, 1, 12) == 0, "west of Greenwich it is November"
    assert pruned_at(2026, 12, 2) == 1
    assert pruned_at(2026, 12, 31) == 0
    assert (statement("2026-10"), statement("2026-11")) == (0, 200)
    assert pruned_at(2027, 1, 2) == 2
    assert database.rows("SELECT * FROM phone_legs") == []


def test_old_calls_leave_around_those_that_stay(
    town: Town, context: Context, clock: Clock, database: CrmDatabase
) -> None:
    keep(town, town.company, calls_kept_days=1)
    rows = [(f"c{n}", town.company, clock.now - 2 * DAY_MS + n // 3) for n in range(2 * BATCH + 7)]
    with database.transaction():
        database.many("INSERT INTO call_records (call_id, company_id, started_at_ms) VALUES (?, ?, ?)", rows)
        database.many(
            "INSERT INTO phone_legs (call_id, stage, account, branch, company_id, trunk, ended_at_ms, phone_ms, "
            "billed_s, cost_micros, currency, connected) VALUES (?, 0, 'f', 0, ?, 't', ?, 1, 1, 1, 'USD', ?)",
            [(*row, True) for row in rows[::4]],
        )
    assert RecordRetention(context).prune() == len(rows) - len(rows[::4])
    left = database.rows("SELECT call_id FROM call_records ORDER BY started_at_ms, id")
    assert left == [row[:1] for row in rows[::4]]


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
