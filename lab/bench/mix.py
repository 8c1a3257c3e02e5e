"""The mix of an evening: most calls ring a household, some a phone through a carrier, some the desk, some nobody.

What SIPp counted is held against what is on record: calls, branches, openings, phones.
"""

from __future__ import annotations

import asyncio
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, NamedTuple

from lab.bench import bench_town, population, scenarios
from lab.bench.load import Load
from lab.bench.measures import Bar
from lab.bench.mix_town import CARRIER, DESK, DESK_ADDRESS, MixTown, write_mix
from lab.bench.percentiles import Times
from lab.bench.sipp import SippError, start_sipp
from lab.bench.wakes import measure
from lab.peers.scripted import SipServer
from lab.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab.bench.measures import Report
    from lab.bench.population import Household
    from lab.bench.sipp import Sipp
    from lab.settings import LabSettings

RATE_CPS: Final = 161.0
SHARES: Final = {"ringing": 0.80, "phones": 0.10, "desks": 0.05, "nobody": 0.05}
"""60 % ring apps and 20 % handsets: to the proxy both are three devices of a household."""
MIX_BARS: Final = (
    Bar("mix.failed", "at most", 0, "calls of the mix"),
    Bar("wake.register_to_invite_ms.p99", "at most", 300, "ms at 50 wakes/s"),
    Bar("wake.failed", "at most", 0, "apps"),
    *(Bar(f"mix.{name}_off", "at most", 0, "") for name in
      ("calls", "unfinished", "answered", "branches", "openings", "phone_legs")),
)  # fmt: skip
"""What is on record equals what SIPp counted."""
_WAKES_PER_S: Final = 50.0
_COLD_CPS: Final = 60.0
_RECORDED_WITHIN_S: Final = 60.0
_ENDS_WITHIN_S: Final = 60.0
_ROLES: Final = len(population.ROLES)


@dataclass(frozen=True)
class MixPlan:
    """How much, how long."""

    households: int = 1000
    others: int = 150
    duration_s: float = 60.0
    rate_cps: float = RATE_CPS


MIX_QUICK: Final = MixPlan(households=300, others=60, duration_s=10.0, rate_cps=40.0)


@dataclass
class Recorded:
    """What is on record of the calls since a moment."""

    calls: int
    unfinished: int
    answered: int
    branches: int
    openings: int
    phone_legs: int


class _Called(NamedTuple):
    """Which households are called with which scenario; what is dialled, their own apartment when empty."""

    households: Sequence[Household]
    scenario: str
    dialled: str


class MixBench:
    """The mix on a fresh platform."""

    def __init__(self, plan: MixPlan, platform: LabSettings, load: LabSettings, report: Report) -> None:
        self._plan = plan
        self._platform = platform
        self._load_settings = load
        self._report = report
        everybody = bench_town.make_households(plan.households + 4 * plan.others)
        self._everybody = everybody
        self.town = MixTown.of(everybody, plan.others)
        self._stack = Stack(platform, say=lambda line: print(f"  {line.strip()}", flush=True))
        self._load = Load(load, self.town.ringing, shared=False)
        self._server = f"{load.sip_address}:{load.sip_port}"

    def start(self) -> None:
        """A fresh platform: everybody registered who is at home, every apartment rung once."""
        self._stack.discard()
        self._stack.start()
        database = self._platform.lib / "crm.db"
        bench_town.write_town(database, self._everybody, self._platform.domain)
        write_mix(database, self.town, self._platform.domain)
        self._load.register_all()
        self._register_desk()
        self._load.ring_all(_COLD_CPS, len(self.town.ringing) / _COLD_CPS)

    def mix(self) -> None:
        """Ring in every way at once; none may fail, and every record must be true and complete."""
        began_ms = int(time.time() * 1000)
        rates = {way: share * self._plan.rate_cps for way, share in SHARES.items()}
        others = {
            "phones": _Called(self.town.phones, scenarios.panel(digest=True), ""),
            "desks": _Called(self.town.desks, scenarios.panel(digest=True), "0"),
            "nobody": _Called(self.town.nobody, scenarios.nobody_home(), ""),
        }
        answering = [self._answers("carrier", CARRIER), self._answers("desk", DESK_ADDRESS)]
        started: dict[str, tuple[Sipp, int]] = {}
        for way, called in others.items():
            count = round(rates[way] * self._plan.duration_s)
            started[way] = (self._calls(way, called, rates[way], count), count)
        run = self._load.ring_all(rates["ringing"], self._plan.duration_s)
        completed, failed, keys = {"ringing": run.completed}, 0 if run.clean else run.calls - run.completed, run.keys
        for way, (sipp, count) in started.items():
            if not sipp.wait(_ENDS_WITHIN_S):
                sipp.finish(1.0)
            generic = sipp.counts().generic
            completed[way] = generic.get("told" if way == "nobody" else "completed", 0)
            failed += count - completed[way]
        for sipp in answering:
            sipp.finish(5.0)
            keys += sipp.counts().generic.get("key", 0)
        self._judge(began_ms, completed, failed, keys)

    def wakes(self) -> None:
        """Apps that wake, 50 a second: how soon each rings."""
        server = SipServer(self._platform.sip_address, self._platform.domain, self._platform.sip_port)
        found = asyncio.run(measure(self.town.sleepers, server, _WAKES_PER_S))
        for reason in found.failures[:3]:
            print(f"  {reason}", flush=True)
        self._report.set("wake.failed", len(found.failures))
        if not found.times_ms:
            self._report.missing("wake.register_to_invite_ms", "no app rang")
            return
        times = Times.of(found.times_ms)
        self._report.set("wake.apps", times.count)
        for name in ("p50", "p95", "p99", "maximum"):
            self._report.set(f"wake.register_to_invite_ms.{name}", getattr(times, name))

    def stop(self) -> None:
        """End the platform."""
        self._stack.stop()

    def _judge(self, began_ms: int, completed: dict[str, int], failed: int, keys: int) -> None:
        """Hold what is on record against what SIPp counted."""
        calls = sum(completed.values()) + failed
        wanted = Recorded(
            calls=calls,
            unfinished=0,
            answered=calls - failed - completed["nobody"],
            branches=_ROLES * (completed["ringing"] + completed["nobody"]) + completed["phones"] + completed["desks"],
            openings=keys,
            phone_legs=completed["phones"],
        )
        found = recorded(self._platform.lib / "crm.db", began_ms)
        deadline = time.monotonic() + _RECORDED_WITHIN_S
        while found != wanted and time.monotonic() < deadline:
            time.sleep(0.5)  # the recorder has nothing to wait on
            found = recorded(self._platform.lib / "crm.db", began_ms)
        print(f"  SIPp counted {wanted}\n  on record    {found}", flush=True)
        self._report.set("mix.calls", calls)
        self._report.set("mix.failed", failed)
        for name in ("calls", "unfinished", "answered", "branches", "openings", "phone_legs"):
            self._report.set(f"mix.{name}_off", abs(getattr(found, name) - getattr(wanted, name)))

    def _register_desk(self) -> None:
        injection = self._file("register-desk", f"{DESK.name};{DESK.password};{DESK.name};{DESK_ADDRESS}")
        sipp = start_sipp(
            self._load_settings, "register-desk", scenarios.register(digest=True), injection, self._server,
            "-r", "1", "-rp", "1s", "-m", "1",
        )  # fmt: skip
        if not sipp.wait(10.0) or not sipp.counts().successful:
            raise SippError(f"the desk could not register\n{sipp.errors()}")

    def _answers(self, name: str, address: str) -> Sipp:
        injection = self._file(name, f"{name};-;{name};{address}")
        sipp = start_sipp(self._load_settings, name, scenarios.answerer(), injection, self._server)
        sipp.await_listening()
        return sipp

    def _calls(self, way: str, called: _Called, rate_cps: float, count: int) -> Sipp:
        households, scenario, dialled = called
        injection = self._directory() / f"{way}.csv"
        first = self._everybody.index(households[0])
        population.write_panels(injection, households, self._platform.domain, dialled=dialled, first=first)
        return start_sipp(
            self._load_settings, way, scenario, injection, self._server,
            "-r", f"{rate_cps:g}", "-rp", "1s", "-m", str(count), "-l", "100000",
        )  # fmt: skip

    def _file(self, name: str, line: str) -> Path:
        path = self._directory() / f"{name}.csv"
        path.write_text(f"SEQUENTIAL\n{line};{self._platform.domain};\n")
        return path

    def _directory(self) -> Path:
        directory = self._load_settings.directory / "injection"
        directory.mkdir(exist_ok=True)
        return directory


def recorded(path: Path, since_ms: int) -> Recorded:
    """Count what is on record of the calls that began since."""
    since = (since_ms,)
    calls = "SELECT count(*) FROM call_records WHERE started_at_ms >= ?"
    of_these = "call_id IN (SELECT call_id FROM call_records WHERE started_at_ms >= ?)"
    queries = (
        calls,
        f"{calls} AND (result IS NULL OR ended_at_ms IS NULL)",
        f"{calls} AND result = 'answered' AND answered_by IS NOT NULL",
        f"SELECT count(*) FROM call_branches WHERE outcome NOT IN ('invited', 'ringing') AND {of_these}",  # noqa: S608 - constants
        f"SELECT count(*) FROM access_records WHERE result IN ('sent', 'opened') AND {of_these}",  # noqa: S608
        f"SELECT count(*) FROM phone_legs WHERE connected AND {of_these}",  # noqa: S608
    )
    with closing(sqlite3.connect(f"file:{path}?mode=ro", timeout=10.0, uri=True)) as database:
        return Recorded(*(int(database.execute(query, since).fetchone()[0]) for query in queries))
