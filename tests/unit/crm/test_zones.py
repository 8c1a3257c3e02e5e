"""Time zones are those of the pinned data; one that cannot be read keeps nobody else from anything."""

from __future__ import annotations

import subprocess
import sys
from datetime import UTC, date, datetime
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest
from structlog.testing import capture_logs

from crm_api.domain.probe_hours import Hours
from crm_api.domain.waking import waking_moment
from crm_api.services.timetable import Timetable

if TYPE_CHECKING:
    from pathlib import Path

    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

NO_ZONE = "Entryphone/Nowhere"
NOON_MS = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 1000
ASKED = (
    "import zoneinfo, datetime as d; print(d.datetime(2026, 1, 1, tzinfo=zoneinfo.ZoneInfo('Europe/Kyiv')).utcoffset())"
)


@pytest.mark.parametrize("module", ["crm_api.config", "crm_api.domain.quiet_hours", "scheduler.process"])
def test_zones_of_the_host_are_not_read(tmp_path: Path, module: str) -> None:
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Kyiv").write_bytes(files("tzdata").joinpath("zoneinfo", "UTC").read_bytes())
    told = subprocess.run(
        [sys.executable, "-c", f"import {module}; {ASKED}"],
        env={"PYTHONTZPATH": str(tmp_path)}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert told.stdout.strip() == "2:00:00"


@pytest.mark.parametrize("name", ["localtime", "Factory", "posixrules", "Europe", "../etc/passwd", "europe/moscow", ""])
def test_what_is_no_place_is_no_zone_of_a_city_a_job_or_a_campaign(town: Town, context: Context, name: str) -> None:
    Timetable(context).fill()
    (job, *_) = town.platform("GET", "/v1/scheduled-jobs")["items"]
    town.platform("PATCH", f"/v1/scheduled-jobs/{job['id']}", {"zone": name}, expect=422)
    town.platform("PATCH", "/v1/cities/1", {"time_zone": name}, expect=422)
    campaign = {"company_id": town.company, "name": "All", "hours": [{"day": "mon", "from": "10:00", "until": "13:00"}]}
    town.platform("POST", "/v1/probe-campaigns", {**campaign, "zone": name}, expect=422)


@pytest.fixture
def nowhere(town: Town, database: CrmDatabase) -> Town:
    """A town whose city has a zone that nobody can read."""
    database.rows("UPDATE cities SET time_zone = ?", (NO_ZONE,))
    return town


@pytest.mark.usefixtures("nowhere")
def test_a_job_whose_zone_cannot_be_read_keeps_no_other_from_running(
    context: Context, clock: Clock, database: CrmDatabase
) -> None:
    clock.now = NOON_MS
    table = Timetable(context)
    table.fill()
    with capture_logs() as logs:
        table.look()
        clock.now += 86_400_000
        assert table.look() == 2
    assert {kind for (kind,) in database.rows("SELECT kind FROM job_runs")} == {"clean_up", "billing"}
    assert [NO_ZONE in line["reason"] for line in logs] == [True]
    database.rows("UPDATE cities SET time_zone = 'Europe/Moscow'")
    table.look()
    clock.now += 7 * 86_400_000
    assert table.look() == 3


def test_a_job_whose_zone_cannot_be_read_can_be_given_another(nowhere: Town, context: Context) -> None:
    Timetable(context).fill()
    job = next(one for one in nowhere.platform("GET", "/v1/scheduled-jobs")["items"] if one["kind"] == "access_codes")
    address = f"/v1/scheduled-jobs/{job['id']}"
    nowhere.platform("PATCH", address, {"cron": "0 6 * * 1"}, expect=422)
    assert nowhere.platform("PATCH", address, {"zone": "Europe/Moscow"})["next_slot"]


def test_who_keeps_quiet_hours_rings_where_the_zone_cannot_be_read(
    nowhere: Town, clock: Clock, database: CrmDatabase
) -> None:
    clock.now = NOON_MS
    nowhere.platform("PATCH", "/v1/accounts/h12", {"quiet_from": "10:00", "quiet_until": "14:00"})
    with capture_logs() as logs:
        targets = nowhere.plan("p1", "12")["stages"][0]["targets"]
    assert [(target["account"], "quiet" in target) for target in targets] == [("h12", False), ("a12", False)]
    assert [NO_ZONE in line["reason"] for line in logs] == [True]
    database.rows(
        "INSERT INTO call_records (call_id, company_id, apartment_id, panel, dialled, started_at_ms, result) "
        "VALUES ('c', ?, ?, 'p1', '12', ?, 'no_answer')",
        (nowhere.company, nowhere.apartment, NOON_MS),
    )
    assert "quiet" not in nowhere.platform("GET", "/v1/calls/c/why/h12")["sentence"]


def test_entries_are_told_in_utc_where_the_zone_cannot_be_read(nowhere: Town, clock: Clock) -> None:
    clock.now = NOON_MS
    nowhere.platform("POST", "/v1/key-uses", {"panel": "p1", "number": "00C688AC", "opened": True})
    (entry,) = nowhere.platform("GET", f"/v1/reports/entries?from_ms=0&to_ms={NOON_MS + 60_000}")["items"]
    assert entry["at"] == "2026-11-20T12:00:00+00:00"


def test_where_the_zone_cannot_be_read_nobody_is_probed_and_messages_go_by_utc() -> None:
    assert list(Hours(NO_ZONE, {4: ((0, 1440),)}, frozenset[date]()).windows(NOON_MS)) == []
    assert waking_moment(NOON_MS, NO_ZONE, 9, 20) == NOON_MS
