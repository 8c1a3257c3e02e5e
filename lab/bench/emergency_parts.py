"""Emergency calls beside the load: INVITE to the centre's INVITE, a city that calls at once, and the leases alone."""

from __future__ import annotations

import hashlib
import multiprocessing
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from cryptography.fernet import Fernet

from crm_api.adapters.encryption import Encryption
from crm_api.adapters.sip_probe import ProbeCall, SipProbe
from crm_api.migrations import migrate
from crm_api.services.context import Context
from crm_api.services.number_leases import Leasing
from crm_api.tables.database import CrmDatabase
from lab.bench.centre import LINE, SECOND_LINE, Centre
from lab.bench.measures import Bar
from lab.bench.percentiles import Times
from lab.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab.bench.measures import Report
    from lab.bench.parts import Bench
    from lab.bench.population import Household
    from lab.settings import LabSettings

EMERGENCY_CPS: Final = 20.0
ORDINARY_CPS: Final = 161.0
STORM_CPS: Final = 2000 / 60
STORM_POOL: Final = 50
CLIENTS: Final = 8
_PATIENCE_S: Final = 15.0
_MAY_DIE: Final = ("crm", "redis", "agi", "ast1", "ast2", "ast-emergency", "crm-call-records")

EMERGENCY_BARS: Final = (
    Bar("emergency.invite_to_centre_ms.p99", "at most", 200, "ms at 20/s beside 161/s"),
    Bar("emergency.not_arrived", "at most", 0, "calls"),
    Bar("emergency.not_arrived_with_one_dead", "at most", 0, "calls"),
    Bar("emergency.storm_not_arrived", "at most", 0, "calls of 2,000 in a minute"),
    Bar("emergency.storm_numbers_of_two_panels", "at most", 0, "numbers"),
)


def lease_bars(dialect: str) -> tuple[Bar, ...]:
    """What is wanted of the leases on one database."""
    least = (Bar("leases.postgres.per_s", "at least", 1000, "/s from 8 clients"),) if dialect == "postgres" else ()
    return (*least, Bar(f"leases.{dialect}.held_twice", "at most", 0, "numbers"))


@dataclass
class EmergencyBench:
    """On the platform of the bench of calls, which runs."""

    bench: Bench
    report: Report

    def beside_load(self) -> None:
        """20 emergency calls a second during 161 ordinary ones."""
        duration_s = self.bench.plan.peak_s / 2
        _numbers(self.bench.platform.lib / "crm.db", 200)
        time.sleep(3.0)  # Kamailio reads the city's numbers every two seconds
        with ThreadPoolExecutor(1) as pool:
            load = pool.submit(self.bench.platform_load.ring_all, ORDINARY_CPS, duration_s, say=_say)
            times, missing = self._call(self.bench.emergency, EMERGENCY_CPS, int(EMERGENCY_CPS * duration_s))
            run = load.result()
        self.report.set("emergency.ordinary_failed", run.failed)
        self.report.set("emergency.not_arrived", missing)
        found = Times.of(times)
        for name in ("p50", "p95", "p99", "maximum"):
            self.report.set(f"emergency.invite_to_centre_ms.{name}", getattr(found, name))
        _say(f"{found.count} emergency calls, p99 {found.p99:.0f} ms to the centre, {missing} did not arrive")

    def storm(self) -> None:
        """2,000 panels call within a minute; the pool has 50 numbers."""
        path = self.bench.platform.lib / "crm.db"
        _numbers(path, STORM_POOL)
        time.sleep(3.0)
        households = self.bench.ringing
        count = min(2000, len(households))
        self.centre_numbers: dict[str, set[str]] = {}
        times, missing = self._call(households[:count], STORM_CPS, count, note=self.centre_numbers)
        twice = sum(len(panels) > 1 for number, panels in self.centre_numbers.items() if number != _SHARED)
        self.report.set("emergency.storm_calls", count)
        self.report.set("emergency.storm_not_arrived", missing)
        self.report.set("emergency.storm_numbers_of_two_panels", twice)
        self.report.set("emergency.storm_numbers_used", len(self.centre_numbers))
        self.report.set("emergency.storm_invite_to_centre_ms.p99", Times.of(times).p99)
        _say(f"{count} panels, {missing} did not arrive, {len(self.centre_numbers)} numbers, {twice} of two panels")

    def one_dead(self) -> None:
        """A call in the moment after each component was killed, and one while the centre's first line is silent."""
        lost = 0
        for index, (name, line) in enumerate([*((name, LINE) for name in _MAY_DIE), ("first_line", SECOND_LINE)]):
            if name in _MAY_DIE:
                self.bench.stack.kill(name)
            took_ms = self._one(self.bench.emergency[index], line, name)
            lost += took_ms is None
            if took_ms is not None:
                self.report.set(f"emergency.with_one_dead_ms.{name}", took_ms)
                _say(f"{name} dead: {took_ms:.0f} ms to the centre")
            if name in _MAY_DIE:
                self.bench.stack.start(name)
        self.report.set("emergency.not_arrived_with_one_dead", lost)

    def _one(self, household: Household, line: str, name: str) -> float | None:
        """Call once; milliseconds to the centre, which need not be told the panel: no other call is on its way."""
        probe = self._probe(household, f"with-{name}-dead")
        with Centre(line) as centre:
            began_s = time.monotonic()
            probe.run()
            return (centre.calls[0].at_s - began_s) * 1000 if centre.calls else None

    def _probe(self, household: Household, call_id: str) -> SipProbe:
        platform, account = self.bench.platform, household.panel
        ha1 = hashlib.md5(f"{account.name}:{platform.domain}:{account.password}".encode()).hexdigest()  # noqa: S324
        proxy = (platform.sip_address, platform.sip_port)
        return SipProbe(
            ProbeCall(proxy, platform.domain, account.name, ha1, "112", call_id, 0.0), lambda _step, _detail: None
        )

    def _call(
        self, households: Sequence[Household], rate: float, count: int, note: dict[str, set[str]] | None = None
    ) -> tuple[list[float], int]:
        """Call at a rate; return the milliseconds to the centre of every call that arrived, and how many did not."""
        centre = Centre(LINE)
        began: dict[str, list[float]] = {}
        lock = threading.Lock()

        def one(index: int) -> None:
            household = households[index % len(households)]
            probe = self._probe(household, f"bench-{index}-{rate:.0f}")
            with lock:
                began.setdefault(household.panel.name, []).append(time.monotonic())
            probe.run()

        started = time.monotonic()
        with ThreadPoolExecutor(48) as callers:
            for index in range(count):
                time.sleep(max(0.0, started + index / rate - time.monotonic()))
                callers.submit(one, index)
        deadline = time.monotonic() + _PATIENCE_S
        while len(centre.calls) < count and time.monotonic() < deadline:
            time.sleep(0.1)
        centre.stop()
        times: list[float] = []
        for call in sorted(centre.calls, key=lambda call: call.at_s):
            if note is not None:
                note.setdefault(call.number, set()).add(call.panel)
            if began.get(call.panel):
                times.append((call.at_s - began[call.panel].pop(0)) * 1000)
        return times, count - len(times)


_SHARED: Final = "+74951120000"


def _numbers(path: Path, count: int) -> None:
    """Give the demo town's city exactly so many numbers, all free, beside the shared one."""
    with closing(sqlite3.connect(path, timeout=10.0)) as database, database:
        database.execute("DELETE FROM city_numbers WHERE shared = 0")
        (city,) = database.execute("SELECT city_id FROM city_numbers WHERE shared = 1").fetchone()
        database.executemany(
            "INSERT INTO city_numbers (city_id, number, trunk, shared, in_service) VALUES (?, ?, 'city-line', 0, 1)",
            [(city, f"+7495113{index:04}") for index in range(count)],
        )


@dataclass
class LeaseBench:
    """The leases alone, from several processes, on one database."""

    settings: LabSettings
    report: Report
    panels: int = 8000

    def run(self) -> None:
        """Lease a number for every panel, as fast as it goes."""
        settings, dialect = self.settings, self.settings.database
        stack = Stack(settings, _say)
        settings.create_directories()
        try:
            if dialect == "postgres":
                stack.start("postgres")
            url = settings.crm_database_url if dialect == "postgres" else f"sqlite:///{settings.lib}/leases.db"
            database = CrmDatabase(url)
            migrate(database)
            names = _fill(database, self.panels)
            parts = [names[index::CLIENTS] for index in range(CLIENTS)]
            database.forget_connection()
            with multiprocessing.get_context("spawn").Pool(CLIENTS) as pool:
                pool.starmap(_leased, [(url, []) for _ in parts])  # every client is there
                began = time.monotonic()
                got = pool.starmap(_leased, [(url, part) for part in parts])
                took_s = time.monotonic() - began
            numbers = [number for part in got for number in part]
            held = [row[0] for row in database.rows("SELECT number FROM city_numbers WHERE panel_id IS NOT NULL")]
            database.forget_connection()
        finally:
            stack.stop()
        per_s = len(numbers) / took_s
        self.report.set(f"leases.{dialect}.per_s", per_s)
        self.report.set(
            f"leases.{dialect}.held_twice", len(numbers) - len(set(numbers)) + abs(len(held) - len(numbers))
        )
        _say(f"{len(numbers)} leases in {took_s:.1f} s: {per_s:.0f}/s from {CLIENTS} clients on {dialect}")


def _context(url: str) -> Context:
    return Context(CrmDatabase(url), "bench", Encryption(Fernet.generate_key()))


def _leased(url: str, panels: list[str]) -> list[str]:
    """Lease for each of these panels; return the numbers."""
    context = _context(url)
    context.database.ping()
    leasing = Leasing(context)
    numbers = []
    for panel in panels:
        lease = leasing.lease(panel, f"call of {panel}")
        numbers.append(str(lease.number if lease else None))
    return numbers


def _fill(database: CrmDatabase, count: int) -> list[str]:
    """Make a city with so many panels and numbers; return the panels' accounts."""
    names = [f"lp{index:05}" for index in range(count)]
    with database.transaction():
        database.rows("DELETE FROM number_leases")
        database.rows("DELETE FROM city_numbers")
        city: Any = database.row(
            "INSERT INTO cities (name, time_zone) VALUES (?, 'UTC') RETURNING id", (f"L{time.time()}",)
        )
        company: Any = database.row(
            "INSERT INTO companies (name, city_id, language, active, ring_timeout_s, talk_limit_s, created_at_ms) "
            "VALUES (?, ?, 'en', ?, 30, 120, 0) RETURNING id",
            (f"L{time.time()}", city[0], True),
        )
        database.rows("DELETE FROM panels WHERE name = 'lease bench'")
        database.rows("DELETE FROM accounts WHERE account >= 'lp' AND account < 'lq'")
        database.many(
            "INSERT INTO accounts (company_id, account, kind, ha1, enabled, created_at_ms) "
            "VALUES (?, ?, 'panel', ?, ?, 0)",
            [(company[0], name, "0" * 32, True) for name in names],
        )
        database.rows(
            "INSERT INTO panels (company_id, account_id, name, driver) "
            "SELECT company_id, id, 'lease bench', 'generic' FROM accounts WHERE account >= 'lp' AND account < 'lq'"
        )
        database.many(
            "INSERT INTO city_numbers (city_id, number, trunk, shared, in_service) VALUES (?, ?, 'line', ?, ?)",
            [(city[0], f"+74{index:09}", False, True) for index in range(count)],
        )
    if database.dialect == "postgresql":
        database.rows("ANALYZE")
    return names


def _say(line: str) -> None:
    print(f"  {line.strip()}", flush=True)
