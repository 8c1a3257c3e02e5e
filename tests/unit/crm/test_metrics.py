"""Metrics tell what the API and the alarms tell, in a form that Prometheus' own parser reads."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import falcon.testing
import pytest
from prometheus_client.openmetrics.parser import text_string_to_metric_families as open_metrics
from prometheus_client.parser import text_string_to_metric_families

from crm_api.adapters.redis_queues import PanelsFound, Waiting
from crm_api.app import create_app
from crm_api.bootstrap import make_services
from crm_api.emergency import worker
from crm_api.services.metrics import Metrics
from tests.unit.crm.conftest import Api
from tests.unit.crm.test_emergency import centre, city_of, number
from tests.unit.crm.test_emergency_recording import OUT, step, told

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

DAY_MS = 86_400_000
Told = dict[tuple[str, tuple[tuple[str, str], ...]], float]


def told_by(text: str) -> Told:
    families = text_string_to_metric_families(text)
    samples = [sample for family in families for sample in family.samples]
    return {(s.name, tuple(sorted(s.labels.items()))): s.value for s in samples}


def scraped(town: Town) -> Told:
    return told_by(town.client.simulate_get("/metrics", headers=town.platform._headers).text)


def of(found: Told, name: str, **labels: str) -> float | None:
    return found.get((f"entryphone_{name}", tuple(sorted(labels.items()))))


def riverside(database: CrmDatabase) -> dict[str, str]:
    return {"city": "Riverside", "city_id": str(city_of(database))}


def test_a_pool_is_told_as_the_api_tells_it(town: Town, database: CrmDatabase) -> None:
    for index in range(4):
        number(town, database, f"+749511100{index:02}")
    number(town, database, "+74951119999", shared=True)
    assert of(scraped(town), "number_pool_empty_in_hours", **riverside(database)) == math.inf
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
    (pool,) = town.platform("GET", "/v1/number-pools")["items"]
    found, city = scraped(town), riverside(database)
    assert of(found, "number_pool_numbers", **city, state="held") == pool["held"] == 1
    assert of(found, "number_pool_numbers", **city, state="free") == pool["free"] == 3
    assert of(found, "number_pool_free_ratio", **city) == 0.75
    assert of(found, "number_pool_peak_held", **city) == 1
    assert of(found, "number_pool_running_out", **city) == 0
    assert of(found, "number_pool_empty_in_hours", **city) == pytest.approx(24 * pool["gone_in_days"])
    assert of(found, "shared_number_calls_total", **city) == 0


def test_the_forecast_and_the_alarm_are_those_of_log_and_webhook(
    town: Town, database: CrmDatabase, context: Context, clock: Clock, capsys: pytest.CaptureFixture[str]
) -> None:
    """One panel more each day: two of nine numbers are left, and the line through the days says when they are gone."""
    centre(town, database, low_percent=1, webhook_url="https://112.example/hook")
    for index in range(9):
        number(town, database, f"+749511100{index:02}")
    city_id = city_of(database)
    ids = [row[0] for row in database.rows("SELECT id FROM city_numbers ORDER BY id")]
    for day in range(7):
        for held in range(day + 1):
            since_ms = clock.now - (7 - day) * DAY_MS + 3_600_000
            database.rows(
                "INSERT INTO number_leases (number_id, city_id, number, panel, leased_at_ms, calls, call_id, "
                "held_until_ms, ended_at_ms, end_reason) VALUES (?, ?, '+7', 'p1', ?, 1, 'c', ?, ?, 'expired')",
                (ids[held], city_id, since_ms, since_ms + 3_600_000, since_ms + 3_600_000),
            )
    (pool,) = town.platform("GET", "/v1/number-pools")["items"]
    assert (pool["free_percent"], pool["gone_in_days"], pool["running_out"]) == (100, 2.0, True)
    found, city = scraped(town), riverside(database)
    assert of(found, "number_pool_empty_in_hours", **city) == 48
    assert of(found, "number_pool_running_out", **city) == 1
    assert of(found, "emergency_notices", state="waiting") == 0
    worker(context, {}, None)()
    (notice,) = town.platform("GET", "/v1/emergency-notices")["items"]
    assert (notice["kind"], notice["channel"]) == ("pool_running_out", "webhook")
    logged = capsys.readouterr()
    assert "pool of numbers is running out" in logged.out + logged.err
    assert of(scraped(town), "emergency_notices", state="waiting") == 1


def test_calls_are_counted_by_how_they_ended(town: Town, database: CrmDatabase, context: Context, clock: Clock) -> None:
    number(town, database, "+74951119999", shared=True)
    told(context, *OUT)
    failed = [
        {**step("number", 5, panel="p1", number="+74951119999", number_source="shared"), "call_id": "c2"},
        {**step("ended", 50, panel="p1", result="failed", direction="out"), "call_id": "c2"},
    ]
    told(context, *failed)
    told(context, {**step("dial", 5, panel="p2", detail="city-line 112"), "call_id": "c3", "at_ms": clock.now})
    found = scraped(town)
    assert of(found, "emergency_calls_total", direction="out", test="false", result="answered") == 1
    assert of(found, "emergency_calls_total", direction="out", test="false", result="failed") == 1
    assert of(found, "emergency_calls_going_on", direction="out") == 1
    assert of(found, "emergency_calls_going_on", direction="back") == 0
    assert of(found, "shared_number_calls_total", **riverside(database)) == 1
    clock.now += 5 * 3_600_000
    assert of(scraped(town), "emergency_calls_going_on", direction="out") == 0


def test_what_waits_and_what_failed_is_told(town: Town, database: CrmDatabase, context: Context, clock: Clock) -> None:
    database.rows("DELETE FROM outbox")
    assert of(scraped(town), "outbox_rows") == 0
    due_ms = clock.now - 7000
    database.rows("INSERT INTO outbox (due_at_ms, scope, payload) VALUES (?, 'company', '1')", (due_ms,))
    worker(context, {}, None)()  # the daily check
    found = scraped(town)
    assert of(found, "outbox_rows") == 1
    assert of(found, "outbox_oldest_seconds") == pytest.approx(7, abs=0.1)
    for age_ms in (9_000, 8_000):  # changes that somebody has made
        row = (-(clock.now - age_ms), "company", "1")
        database.rows("INSERT INTO outbox (due_at_ms, scope, payload) VALUES (?, ?, ?)", row)
    assert of(scraped(town), "outbox_oldest_seconds") == pytest.approx(9, abs=0.1)
    assert of(found, "emergency_findings", problem="no_centre") == 2
    assert of(found, "emergency_findings", problem="no_city") == 0
    assert of(found, "jobs", state="failed") == 0
    assert of(found, "webhook_deliveries", state="dead") == 0


class Queues:
    """Stands for Redis; None: it does not answer."""

    def __init__(self) -> None:
        self.found: Waiting | None = None

    def waiting(self) -> Waiting | None:
        return self.found


def test_what_waits_in_redis_is_told_while_redis_answers(
    town: Town, services: Services, context: Context, cache: Any, clock: Clock
) -> None:
    queues = Queues()
    client = falcon.testing.TestClient(create_app(make_services(context, queues=queues), context.database, cache))

    def found() -> Told:
        return told_by(client.simulate_get("/metrics", headers=town.platform._headers).text)

    assert services is not None
    away = found()
    assert of(away, "redis_up") == 0
    assert of(away, "call_events_waiting") is None
    queues.found = Waiting(12, clock.now - 3000, None, 3, {"outbox": clock.now - 500})
    there = found()
    assert (of(there, "redis_up"), of(there, "call_events_waiting")) == (1, 12)
    assert of(there, "call_events_oldest_seconds") == pytest.approx(3, abs=0.1)
    assert of(there, "heartbeat_age_seconds", process="outbox") == pytest.approx(0.5, abs=0.1)
    assert of(there, "heartbeat_age_seconds", process="scheduler") is None
    assert of(there, "pushes_waiting") is None
    assert of(there, "voice_calls_waiting") == 3
    assert of(there, "panels", state="registered") is None
    queues.found = queues.found._replace(panels=PanelsFound(22_000, 21_990))
    there = found()
    assert (of(there, "panels", state="enabled"), of(there, "panels", state="registered")) == (22_000, 21_990)


def test_only_those_who_see_every_company_may_look(town: Town, services: Services) -> None:
    assert town.client.simulate_get("/metrics").status_code == 401
    Api(town.client, services.tokens.create("operator", "operator", "Homes"))("GET", "/metrics", expect=403)
    made = town.platform("POST", "/v1/service-accounts", {"name": "watch", "role": "read_only", "all_companies": True})
    token = town.platform("POST", "/v1/tokens", {"service_account_id": made["id"], "name": "scrape"})["token"]
    answer = town.client.simulate_get("/metrics", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    assert answer.headers["content-type"].startswith("text/plain")


def test_who_asks_for_open_metrics_gets_it(town: Town) -> None:
    headers = {**town.platform._headers, "Accept": "application/openmetrics-text;version=1.0.0,text/plain;q=0.5"}
    answer = town.client.simulate_get("/metrics", headers=headers)
    assert answer.headers["content-type"].startswith("application/openmetrics-text")
    names = {family.name for family in open_metrics(answer.text)}  # type: ignore[no-untyped-call]
    assert {"entryphone_emergency_calls", "entryphone_outbox_rows"} <= names
    assert answer.headers["cache-control"] == "no-store"


def test_the_page_for_operators_names_every_metric_and_no_other(context: Context) -> None:
    page = (Path(__file__).parents[3] / "docs" / "metrics.md").read_text(encoding="utf-8")
    named = re.findall(r"^\| `(entryphone_\w+)`", page, re.MULTILINE)
    queues = Queues()
    queues.found = Waiting(0, None, 0, 0, {}, PanelsFound(2, 1))
    there = {
        family.name + ("_total" if family.type == "counter" else "") for family in Metrics(context, queues).collect()
    }
    assert len(named) == len(set(named))
    assert set(named) == there
