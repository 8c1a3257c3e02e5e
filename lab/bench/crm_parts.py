"""The CRM at city size: ring plans, searches, pages, and a bare Falcon behind the same gunicorn beside them."""

from __future__ import annotations

import contextlib
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from agi_apps.crm_client import CrmClient
from agi_apps.local_store import LocalStore
from agi_apps.plan_lookup import REDIS, PlanLookup
from agi_apps.redis_keys import ring_plan_key
from agi_apps.redis_link import RedisLink
from lab import probes
from lab.bench.crm_import import residents_csv, seconds_to_import
from lab.bench.crm_requests import listings, page_paths, plan_paths, search_paths
from lab.bench.crm_server import CrmServer
from lab.bench.http_load import Answers, request_all
from lab.bench.measures import Bar
from lab.bench.percentiles import Times
from lab.processes import Service
from lab.town.city.build import SEED
from lab.town.city.layout import make_layout

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.bench.measures import Report
    from lab.settings import LabSettings
    from lab.town.city.sizes import CitySize

PLANS_PER_S: Final = 161.0
_HELLO_ADDRESS: Final = ("127.0.0.51", 8080)
_SEARCHES_PER_S: Final = 25.0
_PAGES_PER_S: Final = 25.0
_HELLOS_PER_S: Final = 20.0


def crm_bars(dialect: str) -> tuple[Bar, ...]:
    """What is wanted on one database."""
    at = f"crm.{dialect}"
    return (
        Bar(f"{at}.ring_plan_cold_ms.p99", "at most", 10, "ms"),
        Bar(f"{at}.ring_plan_from_redis_ms.p99", "at most", 2, "ms"),
        Bar(f"{at}.ring_plans_core_share", "at most", 0.25, "core at 161/s"),
        Bar(f"{at}.search_ms.p99", "at most", 50, "ms"),
        Bar(f"{at}.page_ms.p99", "at most", 50, "ms"),
        Bar(f"{at}.import_100000_residents_s", "at most", 60, "s"),
    )


@dataclass(frozen=True)
class CrmPlan:
    """How much is asked."""

    plans: int = 161 * 20
    searches: int = 60
    import_rows: int = 100_000


CRM_QUICK: Final = CrmPlan(plans=161 * 4, searches=10, import_rows=5_000)
"""To see that everything runs."""


@dataclass
class CrmBench:
    """One run on one database."""

    settings: LabSettings
    size: CitySize
    plan: CrmPlan
    report: Report

    def __post_init__(self) -> None:
        """Decide what is asked, from the same seed as the town."""
        self.dialect = self.settings.database
        self.server = CrmServer(self.settings, self.size, _say)
        self.layout = make_layout(self.size, SEED)
        self.rng = random.Random(SEED)
        self._plans: list[tuple[str, bytes]] = []

    def start(self) -> None:
        """The town (from the cache if it was built before), the servers, and the reference beside them."""
        started = time.monotonic()
        self.server.start()
        settings = self.server.settings
        host, port = _HELLO_ADDRESS
        command = (
            str(settings.python), "-m", "lab.bench.hello", str(settings.etc / "crm.json"), f"{host}:{port}",
        )  # fmt: skip
        probe = lambda: probes.probe_http(host, port, "/hello")  # noqa: E731
        self.server.stack.services["hello"] = Service("hello", command, probe)
        self.server.stack.start("hello")
        _say(f"{self.size.name} on {self.dialect} up after {time.monotonic() - started:.0f} s")

    def ring_plans(self) -> None:
        """Plans never asked before, 161 a second: time of each and CPU of all."""
        paths = plan_paths(self.layout, self.plan.plans, self.rng)
        # Workers that have just started import and open on their first requests; that is nobody's ring plan.
        self._get(self.server.service_token, paths[:20], PLANS_PER_S)
        paths = paths[20:]
        names = ("crm", *(("postgres",) if self.dialect == "postgres" else ()))
        before = {name: self.server.cpu_ms(name) for name in names}
        with self._hello_beside("ring_plan_cold", len(paths) / PLANS_PER_S):
            answers = self._get(self.server.service_token, paths, PLANS_PER_S)
        share = {name: (self.server.cpu_ms(name) - before[name]) / answers.elapsed_s / 1000 for name in names}
        self._plans = list(zip(paths, answers.bodies, strict=True))
        self._set("ring_plan_cold_ms", answers.times_ms)
        self.report.set(f"crm.{self.dialect}.ring_plans_per_s", len(paths) / answers.elapsed_s)
        self.report.set(f"crm.{self.dialect}.ring_plans_core_share", sum(share.values()))
        for name, value in share.items():
            self.report.set(f"crm.{self.dialect}.ring_plans_core_share_of.{name}", value)

    def plans_from_redis(self) -> None:
        """The same plans as the call path finds them in Redis: lookup and decoding, in the AGI's own code."""
        settings = self.server.settings
        redis = RedisLink(settings.redis_url)
        store = LocalStore(str(settings.lib / "bench-agi.db"))
        with contextlib.ExitStack() as ending:
            ending.callback(redis.close_idle)
            ending.callback(store.close)
            self._set("ring_plan_from_redis_ms", self._lookup_times_ms(redis, store))

    def _lookup_times_ms(self, redis: RedisLink, store: LocalStore) -> list[float]:
        settings = self.server.settings
        crm = CrmClient(settings.crm_url, self.server.service_token, plan_timeout_s=1, opening_timeout_s=1)
        lookup = PlanLookup(redis, crm, store)
        numbers = [(path.split("/")[3], path.split("/")[4]) for path, _ in self._plans]
        for (panel, dialled), (_, body) in zip(numbers, self._plans, strict=True):
            redis.execute("SET", ring_plan_key(panel, dialled), body)
        times_ms = []
        for panel, dialled in numbers:
            started = time.perf_counter()
            found = lookup.find(panel, dialled)
            times_ms.append((time.perf_counter() - started) * 1000)
            if found.source != REDIS:
                raise RuntimeError(f"the plan of {panel} {dialled} came from {found.source}")
        return times_ms

    def searches(self) -> None:
        """Every kind of search, by an operator of the greatest company and by an admin of all."""
        asked = search_paths(self.layout, self.plan.searches, self.rng)
        operator = self.server.operator_token(self.layout.companies[0])
        everything: list[float] = []
        for kind, paths in asked.items():
            times_ms = []
            for token in (operator, self.server.admin_token):
                times_ms += self._get(token, paths, _SEARCHES_PER_S).times_ms
            self.report.set(f"crm.{self.dialect}.search_of_ms_p99.{kind}", Times.of(times_ms).p99)
            everything += times_ms
        self._set("search_ms", everything)

    def pages(self) -> None:
        """Pages of a hundred rows at any depth of every list."""
        operator = self.server.operator_token(self.layout.companies[0])
        everything: list[float] = []
        asked = [
            (listing, token, page_paths(listing, self.layout, companies, self.rng))
            for listing in listings(self.layout)
            for token, companies in ((operator, (1,)), (self.server.admin_token, None))
        ]
        most: dict[str, float] = {}
        with self._hello_beside("page", sum(len(paths) for _, _, paths in asked) / _PAGES_PER_S):
            for listing, token, paths in asked:
                times_ms = self._get(token, paths, _PAGES_PER_S).times_ms
                by = "_".join(name for name, _ in listing.filters) or "all"
                name = f"{listing.path.rpartition('/')[2]}.{listing.sort}_of_{by}"
                most[name] = max(most.get(name, 0.0), *times_ms)
                everything += times_ms
        for name, value in most.items():
            self.report.set(f"crm.{self.dialect}.page_of_ms_max.{name}", value)
        self._set("page_ms", everything)

    def imports(self) -> None:
        """Residents by the hundred thousand from a CSV file; from the request to the end of the job."""
        rows = self.plan.import_rows
        seconds, result = seconds_to_import(self.server, residents_csv(self.layout, rows))
        _say(f"{rows} residents imported in {seconds:.1f} s: {result['made']}")
        self.report.set(f"crm.{self.dialect}.import_rows_per_s", rows / seconds)
        self.report.set(f"crm.{self.dialect}.import_100000_residents_s", seconds * 100_000 / rows)

    def hello(self) -> None:
        """The reference: the same gunicorn, Falcon, the same rate, nothing behind."""
        host, port = _HELLO_ADDRESS
        paths = ["/hello"] * (self.plan.plans // 2)
        request_all(host, port, "", paths[:20], PLANS_PER_S)
        before = self.server.cpu_ms("hello")
        answers = request_all(host, port, "", paths, PLANS_PER_S)
        self._set("falcon_hello_ms", answers.times_ms)
        share = (self.server.cpu_ms("hello") - before) / answers.elapsed_s / 1000
        self.report.set(f"crm.{self.dialect}.falcon_hello_core_share", share)

    def stop(self) -> None:
        """End the servers; the town stays in the cache."""
        self.server.stop()

    @contextlib.contextmanager
    def _hello_beside(self, what: str, seconds: float) -> Iterator[None]:
        """Ask the reference now and then at the same time: what the machine adds to an answer is in its times, too."""
        host, port = _HELLO_ADDRESS
        paths = ["/hello"] * max(1, round(seconds * _HELLOS_PER_S))
        with ThreadPoolExecutor(1) as pool:
            hellos = pool.submit(request_all, host, port, "", paths, _HELLOS_PER_S)
            yield
            self._set(f"falcon_hello_beside_{what}_ms", hellos.result().times_ms)

    def _get(self, token: str, paths: Sequence[str], rate_per_s: float) -> Answers:
        settings = self.server.settings
        answers = request_all(settings.crm_host, settings.crm_port, token, paths, rate_per_s)
        if not answers.all_ok:
            raise RuntimeError(f"not every request was answered 200: {answers.unexpected}")
        return answers

    def _set(self, name: str, times_ms: Sequence[float]) -> None:
        times = Times.of(times_ms)
        for percentile in ("p50", "p95", "p99", "maximum"):
            self.report.set(f"crm.{self.dialect}.{name}.{percentile}", getattr(times, percentile))
        _say(f"{name}: {times.count} times, p50 {times.p50:.2f}, p99 {times.p99:.2f}, most {times.maximum:.2f} ms")


def _say(line: str) -> None:
    print(f"  {line.strip()}", flush=True)
