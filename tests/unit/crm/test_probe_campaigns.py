from __future__ import annotations

import contextlib
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import date, timedelta
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.tables.database import CrmDatabase
from scheduler.probe_loading import Loading
from tests.unit.crm.conftest import seen_by_postgres

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town

HOURS = [{"day": day, "from": "10:00", "until": "12:00"} for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")]


# 250,000 apartments in 5000 entrances of 100 houses, a panel at each entrance.
CITY = (
    (
        "INSERT INTO houses (company_id, city_id, address, search_text)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 100)"
        " SELECT h.company_id, h.city_id, 'Long street ' || n.i, 'long' FROM n CROSS JOIN houses h WHERE h.id = {house}"
    ),
    (
        "INSERT INTO entrances (company_id, house_id, number)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)"
        " SELECT h.company_id, h.id, n.i FROM n CROSS JOIN houses h WHERE h.search_text = 'long'"
    ),
    (
        "INSERT INTO apartments (company_id, house_id, entrance_id, number)"
        " WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50)"
        " SELECT e.company_id, e.house_id, e.id, e.number * 50 + n.i"
        " FROM entrances e JOIN houses h ON h.id = e.house_id CROSS JOIN n WHERE h.search_text = 'long'"
    ),
    (
        "INSERT INTO accounts (company_id, account, kind, ha1, enabled, created_at_ms)"
        " SELECT e.company_id, 'q' || e.id, 'panel', '00000000000000000000000000000000', {true}, 1"
        " FROM entrances e JOIN houses h ON h.id = e.house_id WHERE h.search_text = 'long'"
    ),
    (
        "INSERT INTO panels (company_id, account_id, name, driver, search_text)"
        " SELECT a.company_id, a.id, a.account, 'generic', a.account FROM accounts a"
        " WHERE substr(a.account, 1, 1) = 'q'"
    ),
    (
        "INSERT INTO panel_places (company_id, panel_id, house_id, entrance_id, code)"
        " SELECT e.company_id, p.id, e.house_id, e.id, '' FROM panels p JOIN entrances e ON p.name = 'q' || e.id"
    ),
)


def draft(town: Town, **more: Any) -> Any:
    return town.platform(
        "POST", "/v1/probe-campaigns", {"company_id": town.company, "name": "x", "hours": HOURS, **more}
    )


def act(town: Town, campaign: Any, verb: str, expect: int = 200) -> Any:
    return town.platform("POST", f"/v1/probe-campaigns/{campaign['id']}/{verb}", expect=expect)


def test_a_draft_tells_what_it_would_do_and_does_nothing(town: Town, clock: Clock) -> None:
    clock.now = 1_795_428_000_000  # 2026-11-23 10:00 UTC
    town.platform("PATCH", f"/v1/apartments/{town.neighbour}", {"probes_refused": True})
    campaign = draft(town)
    told = town.platform("GET", f"/v1/probe-campaigns/{campaign['id']}/forecast")
    assert told["apartments"] == 3
    assert told["left_out"] == {"the residents said no": 1, "no panel reaches it": 1}
    assert [(call["apartment_id"], call["panel"]) for call in told["first"]] == [(town.apartment, "p1")]
    assert told["ends_at_ms"] - told["begins_at_ms"] == 30_000
    assert town.platform("GET", "/v1/probe-calls")["items"] == []
    assert town.platform("GET", f"/v1/probe-campaigns/{campaign['id']}")["state"] == "draft"


def test_from_draft_to_stop(town: Town) -> None:
    campaign = draft(town)
    act(town, campaign, "pause", 409)
    started = act(town, campaign, "start")
    assert (started["state"], started["progress"]["waiting"], started["progress"]["left_out"]) == ("running", 2, 1)
    act(town, campaign, "start", 409)
    path = f"/v1/probe-campaigns/{campaign['id']}"
    town.platform("PATCH", path, {"calls_at_once": 3}, 409)
    act(town, campaign, "pause")
    assert town.platform("PATCH", path, {"calls_at_once": 3})["calls_at_once"] == 3
    assert act(town, campaign, "resume")["state"] == "running"
    town.platform("DELETE", path, expect=409)
    stopped = act(town, campaign, "stop")
    assert stopped["state"] == "stopped"
    assert stopped["finished_at_ms"]
    act(town, campaign, "resume", 409)
    town.platform("DELETE", path)


def test_a_campaign_over_nobody_is_done_at_once(town: Town) -> None:
    town.platform("PATCH", f"/v1/apartments/{town.apartment}", {"probes_refused": True})
    campaign = draft(town, selection={"apartment_ids": [town.apartment]})
    assert act(town, campaign, "start")["state"] == "done"


@pytest.mark.parametrize(
    "hours",
    [
        {"hours": [{"day": "mon", "from": "10:00", "until": "10:01"}]},
        {"hours": [{"day": "fri", "from": "10:00", "until": "12:00"}], "holidays": None},
    ],
)
def test_a_campaign_whose_hours_never_come_is_not_started(town: Town, clock: Clock, hours: Any) -> None:
    if hours.get("holidays", ()) is None:
        clock.now = 1_795_428_000_000  # 2026-11-23, a Monday
        first = date(2026, 11, 20)
        hours = {**hours, "holidays": [(first + timedelta(weeks=week)).isoformat() for week in range(60)]}
    campaign = draft(town, **hours)
    told = town.platform("GET", f"/v1/probe-campaigns/{campaign['id']}/forecast")
    assert (told["calls"], told["ends_at_ms"]) == (0, None)
    assert "never come" in act(town, campaign, "start", 409)["detail"]
    assert town.platform("GET", f"/v1/probe-campaigns/{campaign['id']}")["state"] == "draft"


def test_started_twice_at_once_it_is_started_once(town: Town, services: Services) -> None:
    campaign = draft(town)
    path = f"/v1/probe-campaigns/{campaign['id']}"
    together = threading.Barrier(2)

    def start() -> int:
        together.wait()
        try:
            return int(town.client.simulate_post(f"{path}/start", headers=town.platform._headers).status_code)
        finally:
            services.jobs.database.forget_connection()

    with ThreadPoolExecutor(2) as threads:
        statuses = [future.result() for future in [threads.submit(start), threads.submit(start)]]
    assert sorted(statuses) in ([200, 409], [200, 412])
    assert town.platform("GET", path)["progress"]["waiting"] == 2
    entries = town.platform("GET", "/v1/audit?noun=probe%20campaign&action=start")["items"]
    assert len(entries) == 1


@pytest.mark.timeout(600)
def test_a_quarter_of_a_million_apartments(town: Town, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Forecast, start, and the plan of a scheduler: none asks for one apartment, or one panel, after the other.

    How long each takes is printed, not judged.
    """
    apartments = 250_000
    database = services.jobs.database
    true = "true" if database.dialect == "postgresql" else "1"
    with database.transaction():
        for statement in CITY:
            database.rows(statement.format(house=town.house, true=true))
        if database.dialect == "postgresql":  # as after a table was emptied: it then plans as if it were empty still
            database.rows("SET LOCAL allow_system_table_mods = on")
            database.rows("UPDATE pg_class SET reltuples = 0, relpages = 50 WHERE relname = 'apartments'")
    took: dict[str, str] = {}
    asked: dict[str, int] = {}
    statements: list[str] = []
    rows = CrmDatabase.rows

    def listen(self: CrmDatabase, sql: str, *more: Any) -> Any:
        statements.append(sql)
        return rows(self, sql, *more)

    monkeypatch.setattr(CrmDatabase, "rows", listen)

    @contextlib.contextmanager
    def timed(what: str) -> Iterator[None]:
        statements.clear()
        begun_s = time.monotonic()
        yield
        asked[what] = len(statements)
        took[what] = f"{time.monotonic() - begun_s:.1f} s, {asked[what]} statements"

    campaign = draft(town, calls_at_once=1000, kind=3)
    path = f"/v1/probe-campaigns/{campaign['id']}"
    with timed("start"):
        started = act(town, campaign, "start")
    assert started["progress"]["waiting"] >= apartments
    assert (seen_by_postgres(database, "apartments") or apartments) > 0.9 * apartments
    with timed("read"):
        town.platform("GET", path)
    with timed("plan"):
        loading = Loading(services.jobs.context)
        plan = loading.plan(loading.running_rows()[campaign["id"]])
    assert plan.waiting == started["progress"]["waiting"]
    with timed("stop"):
        act(town, campaign, "stop")
    again = draft(town, calls_at_once=1000, kind=3, panel_pause_s=0, entrance_calls_per_minute=60)
    with timed("forecast"):
        told = town.platform("GET", f"/v1/probe-campaigns/{again['id']}/forecast")
    assert told["calls"] == plan.waiting
    sys.stdout.write(f"\n{apartments} apartments: " + "; ".join(f"{what} {cost}" for what, cost in took.items()) + "\n")
    most = {"start": apartments // 500 + 50, "read": 50, "plan": 50, "stop": 50, "forecast": 50}
    assert {what: count for what, count in asked.items() if not 0 < count <= most[what]} == {}


def test_hours_that_never_come_are_told(town: Town) -> None:
    days = [f"2026-{month:02}-{day:02}" for month in (9, 10) for day in range(1, 31)]
    campaign = draft(town, hours=[HOURS[0]], holidays=days)
    told = town.platform("GET", f"/v1/probe-campaigns/{campaign['id']}/forecast")
    assert told["begins_at_ms"] > 1_793_000_000_000, "the first Monday that is no holiday"


@pytest.mark.parametrize(
    "body",
    [
        {"hours": []},
        {"hours": [{"day": "mon", "from": "12:00", "until": "10:00"}]},
        {"hours": [{"day": "someday", "from": "10:00", "until": "12:00"}]},
        {"zone": "Nowhere"},
        {"kind": 4},
        {"selection": {"house_ids": [0]}},
        {"calls_at_once": 0},
        {"holidays": ["yesterday"]},
    ],
)
def test_what_is_no_campaign(town: Town, body: dict[str, Any]) -> None:
    whole = {"company_id": town.company, "name": "x", "hours": HOURS, **body}
    town.platform("POST", "/v1/probe-campaigns", whole, 422)
    assert town.platform("GET", "/v1/probe-campaigns")["items"] == []
