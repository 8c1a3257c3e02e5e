"""Metrics for Prometheus: looked up when they are asked for, so that every process of the API tells the same."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Final, Protocol

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.exposition import choose_encoder

from crm_api.services.city_numbers import CityNumbers
from crm_api.services.kept import platform_only

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from prometheus_client.core import Metric

    from crm_api.adapters.redis_queues import Waiting
    from crm_api.services.context import Context, Tenant

_DAY_MS: Final = 86_400_000
_OPEN_MS: Final = 4 * 3_600_000
"""An emergency call that began longer ago is over, whether somebody told its end or not."""

_SHARED: Final = """
SELECT c.id, c.name, count(e.id) FROM city_numbers n JOIN cities c ON c.id = n.city_id
LEFT JOIN emergency_calls e ON e.city_id = c.id AND e.number_source = 'shared' AND e.direction = 'out' AND e.test = ?
WHERE n.shared = ? GROUP BY c.id, c.name ORDER BY c.id
"""
_CALLS: Final = """
SELECT direction, test, coalesce(result, 'unknown'), count(*) FROM emergency_calls WHERE ended_at_ms IS NOT NULL
GROUP BY direction, test, coalesce(result, 'unknown') ORDER BY 1, 2, 3
"""
_OPEN: Final = """
SELECT direction, count(*) FROM emergency_calls WHERE ended_at_ms IS NULL AND started_at_ms > ? GROUP BY direction
"""
_FINDINGS: Final = "SELECT problem, count(*) FROM emergency_findings GROUP BY problem ORDER BY problem"
_NOTICES: Final = """
SELECT coalesce(sum(CASE WHEN given_up_at_ms IS NULL THEN 1 ELSE 0 END), 0),
       coalesce(sum(CASE WHEN given_up_at_ms > ? THEN 1 ELSE 0 END), 0)
FROM emergency_notices WHERE sent_at_ms IS NULL
"""
_OUTBOX: Final = "SELECT count(*), min(abs(due_at_ms)) FROM outbox WHERE due_at_ms <= ?"
_WEBHOOKS: Final = "SELECT state, count(*) FROM webhook_deliveries WHERE state <> 'delivered' GROUP BY state"
_JOBS: Final = "SELECT state, count(*) FROM jobs WHERE state <> 'done' GROUP BY state"
_RUNS: Final = """
SELECT kind, count(*) FROM job_runs WHERE state = 'failed' AND finished_at_ms > ? GROUP BY kind ORDER BY kind
"""
_RESULTS: Final = ("answered", "busy", "caller_hung_up", "failed", "no_answer", "no_way", "unknown")
_PROBLEMS: Final = ("no_address", "no_centre", "no_city", "no_number", "no_trunk")


class Queues(Protocol):
    """What waits in Redis (`adapters.redis_queues.RedisQueues`)."""

    def waiting(self) -> Waiting | None:
        """Count; None when Redis does not answer."""


class Metrics:
    """All that is told, and in which words."""

    def __init__(self, context: Context, queues: Queues | None) -> None:
        self._context = context
        self._database = context.database
        self._numbers = CityNumbers(context)
        self._queues = queues
        self._registry = CollectorRegistry(auto_describe=False)
        self._registry.register(self)

    def told(self, tenant: Tenant, accept: str) -> tuple[bytes, str]:
        """Return the metrics and their media type: OpenMetrics for whoever accepts it, else Prometheus' text.

        Raises:
            ForbiddenError: the tenant sees some companies only; metrics are of all.
        """
        platform_only(tenant)
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type

    def describe(self) -> list[Metric]:
        """Name nothing beforehand: the registry would ask the database when it is made."""
        return []

    def collect(self) -> Iterator[Metric]:
        """Look everything up."""
        now_ms = self._context.now_ms()
        yield from self._pools()
        yield from self._emergency_calls(now_ms)
        yield from self._queues_of_database(now_ms)
        yield from self._queues_of_redis(now_ms)

    def _pools(self) -> Iterator[Metric]:
        of_city = ["city_id", "city"]
        states = _gauge("number_pool_numbers", "Numbers of a city's pool, without the shared one", [*of_city, "state"])
        ratio = _gauge("number_pool_free_ratio", "Part of the pool that is free, 0 to 1", of_city)
        peak = _gauge("number_pool_peak_held", "Most numbers held at once within seven days", of_city)
        hours = _gauge(
            "number_pool_empty_in_hours", "When none is free at the pace of seven days; +Inf: never", of_city
        )
        out = _gauge("number_pool_running_out", "1: the alarm of log and webhook is given", of_city)
        for pool in self._numbers.pools():
            city = [str(pool["city_id"]), pool["city"]]
            states.add_metric([*city, "free"], pool["free"])
            states.add_metric([*city, "held"], pool["held"])
            ratio.add_metric(city, pool["free"] / pool["numbers"])
            peak.add_metric(city, pool["peak"])
            days = pool["gone_in_days"]
            hours.add_metric(city, math.inf if days is None else round(24 * days, 1))
            out.add_metric(city, int(pool["running_out"]))
        shared = CounterMetricFamily(
            "entryphone_shared_number_calls", "Calls that went out with a city's shared number", labels=of_city
        )
        for city_id, name, count in self._database.rows(_SHARED, (False, True)):
            shared.add_metric([str(city_id), name], count)
        yield from (states, ratio, peak, hours, out, shared)

    def _emergency_calls(self, now_ms: int) -> Iterator[Metric]:
        calls = CounterMetricFamily(
            "entryphone_emergency_calls", "Emergency calls that are over", labels=["direction", "test", "result"]
        )
        # Begun at 0: the first failed call of all would else be no increase.
        counts = {(direction, "false", result): 0 for direction in ("out", "back") for result in _RESULTS}
        for direction, test, result, count in self._database.rows(_CALLS):
            counts[direction, str(bool(test)).lower(), result] = count
        for labels, count in counts.items():
            calls.add_metric(labels, count)
        going_on = dict.fromkeys(("out", "back"), 0) | dict(self._database.rows(_OPEN, (now_ms - _OPEN_MS,)))
        findings = dict.fromkeys(_PROBLEMS, 0) | dict(self._database.rows(_FINDINGS))
        found: Any = self._database.row(_NOTICES, (now_ms - _DAY_MS,))
        notices = dict(zip(("waiting", "given_up"), found, strict=True))
        yield calls
        yield _by("emergency_calls_going_on", "Emergency calls that are not over", "direction", going_on)
        yield _by("emergency_findings", "Panels that a call to 112 would not go through from", "problem", findings)
        yield _by("emergency_notices", "Messages that were not sent; given up: within a day", "state", notices)

    def _queues_of_database(self, now_ms: int) -> Iterator[Metric]:
        outbox: Any = self._database.row(_OUTBOX, (now_ms,))
        oldest_ms = 0 if outbox[1] is None else now_ms - int(outbox[1])
        webhooks = dict.fromkeys(("waiting", "dead"), 0) | dict(self._database.rows(_WEBHOOKS))
        jobs = dict.fromkeys(("waiting", "running", "failed"), 0) | dict(self._database.rows(_JOBS))
        runs = dict(self._database.rows(_RUNS, (now_ms - _DAY_MS,)))
        yield _one("outbox_rows", "Changes that the cache of ring plans has not heard of", outbox[0])
        yield _one("outbox_oldest_seconds", "For how long the oldest of them has waited", oldest_ms / 1000)
        yield _by("webhook_deliveries", "Webhooks of companies that are not delivered", "state", webhooks)
        yield _by("jobs", "Imports and other jobs that are not done", "state", jobs)
        yield _by("scheduled_runs_failed", "Runs of scheduled jobs that failed within a day", "kind", runs)

    def _queues_of_redis(self, now_ms: int) -> Iterator[Metric]:
        if self._queues is None:
            return
        found = self._queues.waiting()
        yield _one("redis_up", "1: Redis answers", int(found is not None))
        if found is None:
            return
        oldest_ms = 0 if found.oldest_call_event_at_ms is None else max(0, now_ms - found.oldest_call_event_at_ms)
        ages = {name: max(0, now_ms - at_ms) / 1000 for name, at_ms in found.heartbeats_at_ms.items()}
        yield _one("call_events_waiting", "Entries of call events that are not recorded", found.call_events)
        yield _one("call_events_oldest_seconds", "For how long the oldest of them has waited", oldest_ms / 1000)
        if found.pushes is not None:
            yield _one("pushes_waiting", "Wishes to push that nobody has taken", found.pushes)
        if found.voice_calls is not None:
            yield _one("voice_calls_waiting", "Wishes to have a phone called that nobody has taken", found.voice_calls)
        if found.panels is not None:
            counts = {"enabled": found.panels.enabled, "registered": found.panels.registered}
            yield _by("panels", "Panels that may register, and those that were when last asked for", "state", counts)
        yield _by("heartbeat_age_seconds", "Since a process last said that it works", "process", ages)


def _gauge(name: str, sense: str, labels: list[str]) -> GaugeMetricFamily:
    return GaugeMetricFamily(f"entryphone_{name}", sense, labels=labels)


def _one(name: str, sense: str, value: float) -> Metric:
    return GaugeMetricFamily(f"entryphone_{name}", sense, value=value)


def _by(name: str, sense: str, label: str, values: Mapping[str, float]) -> Metric:
    gauge = _gauge(name, sense, [label])
    for key, value in values.items():
        gauge.add_metric([key], value)
    return gauge
