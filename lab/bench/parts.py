"""The parts of the bench: what is run on which servers, and which measures come of it."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lab.bench import bench_town
from lab.bench.bare_servers import BareServers
from lab.bench.ceiling import find_ceiling
from lab.bench.centre import LINE, Centre
from lab.bench.key_to_door import KeyTimes, measure
from lab.bench.load import LOAD_GROUP, Load, RingAllRun
from lab.bench.percentiles import Times
from lab.peers.scripted import SipServer
from lab.stack import Stack

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from lab.bench.measures import Report
    from lab.bench.population import Household
    from lab.settings import LabSettings

COMPARED_CPS: Final = 100.0
PEAK_CPS: Final = 161.0
_AT_ONCE: Final = 50
_LOW_RATES: Final = (100.0, 130.0, PEAK_CPS)
_EMERGENCY_CPS: Final = 5.0
_COLD_CPS: Final = 60.0
_OVERLOAD_FACTOR: Final = 2.0
_RECORDERS: Final = ("crm-call-records", "redis")


@dataclass(frozen=True)
class Plan:
    """How long the parts run.

    `lead_in_s`: transactions of a call live for 64 * T1 after it (13 s in the nodes, RFC 3261 17), and what ending them
    costs falls into the run that follows. So CPU is counted after a run of the same rate and at least that length.
    """

    households: int = 2000
    emergency_panels: int = 60
    metered_households: int = 8
    compared_s: float = 60.0
    lead_in_s: float = 15.0
    peak_s: float = 60.0
    step_s: float = 20.0
    rates: tuple[float, ...] = (220.0, 260.0, 300.0, 340.0, 380.0)
    resolution_cps: float = 10.0
    search_limit_s: float = 240.0
    overload_s: float = 20.0
    register_rounds: int = 2


QUICK: Final = Plan(
    households=1000, compared_s=12.0, lead_in_s=4.0, peak_s=15.0, step_s=8.0, rates=(220.0, 260.0),
    resolution_cps=100.0, search_limit_s=40.0, overload_s=8.0, register_rounds=1,
)  # fmt: skip
"""About three minutes: tells whether everything runs, not how fast it is."""


@dataclass
class Bench:
    """One run of the bench: its settings, who takes part, what is found."""

    plan: Plan
    platform: LabSettings
    bare: LabSettings
    load: LabSettings
    report: Report

    def __post_init__(self) -> None:
        """Divide the households: load, emergency calls, metered calls; the addresses follow the index."""
        plan = self.plan
        everybody = self.town(plan.households + plan.emergency_panels + plan.metered_households)
        self.everybody = everybody
        self.ringing: Sequence[Household] = everybody[: plan.households]
        self.emergency: Sequence[Household] = everybody[plan.households : plan.households + plan.emergency_panels]
        self.metered: Sequence[Household] = everybody[plan.households + plan.emergency_panels :]
        self.stack = Stack(self.platform, say=lambda line: print(f"  {line.strip()}", flush=True))
        self.bare_servers = BareServers(self.bare)
        self.platform_load = Load(self.load, self.ringing, shared=False)
        self.bare_load = Load(self.load, self.ringing, shared=True)
        self.bare_runs: list[RingAllRun] = []
        self.platform_runs: list[RingAllRun] = []
        self.ceiling_cps = 0.0
        self.register_per_s = 0.0
        self.register_cpu_ms = 0.0

    def town(self, count: int) -> list[Household]:
        """Who takes part."""
        return bench_town.make_households(count)

    def prepare(self) -> None:
        """What has to be there before a fresh platform starts."""

    def fill(self, households: Sequence[Household]) -> None:
        """Write the households into the database of the platform, which runs."""
        bench_town.write_town(self.platform.lib / "crm.db", list(households), self.platform.domain)

    def start_platform(self) -> None:
        """A fresh platform with the bench's town in it, every handset registered, every apartment rung once."""
        self.stack.discard()
        self.prepare()
        self.stack.start()
        self.fill(self.everybody)
        started = time.monotonic()
        self.platform_load.register_all()
        _say(f"{3 * len(self.ringing)} handsets registered in {time.monotonic() - started:.1f} s")
        cold = self.platform_load.ring_all(_COLD_CPS, len(self.ringing) / _COLD_CPS, say=_say)
        self._keep_run("cold", cold)

    def compared_rate(self) -> None:
        """100 calls/s with the key metered beside: INVITE to ringing, CPU and memory per call, `#` to door."""
        server = SipServer(self.platform.sip_address, self.platform.domain, self.platform.sip_port)
        with ThreadPoolExecutor(1) as pool:
            keys = pool.submit(asyncio.run, measure(self.metered, server, self.plan.compared_s))
            run = self.platform_load.ring_all(COMPARED_CPS, self.plan.compared_s, say=_say)
            self._keep_keys(keys.result())
        self._keep_run("at_100_cps", run)
        times = Times.of(run.times_ms)
        for name in ("p50", "p95", "p99", "maximum"):
            self.report.set(f"ring_all.invite_to_ringing_ms.{name}", getattr(times, name))

    def cpu_of_platform(self) -> None:
        """The same rate without the meter, compared with the bare dialplan.

        The first, of a platform that was just started, is compared with the bare one before it; the second, of one that
        has carried its highest rate and an overload, with the bare one after it, which has carried its own.
        """
        run = self._steady_run(self.platform_load)
        self.platform_runs.append(run)
        if len(self.platform_runs) > 1:
            return
        spent_ms = sum(run.cpu_ms_per_call.values())
        self.report.set("ring_all.cpu_ms_per_call", spent_ms)
        for group, group_ms in sorted(run.cpu_ms_per_call.items()):
            self.report.set(f"ring_all.cpu_ms_per_call_of.{group}", group_ms)
        recording_ms = sum(run.cpu_ms_per_call[group] for group in _RECORDERS)
        self.report.set("ring_all.records_cpu_share", recording_ms / spent_ms)
        self.report.set("ring_all.load_generator_cpu_ms_per_call", run.cpu_ms.get(LOAD_GROUP, 0.0) / run.calls)
        self._compare_cpu()

    def _compare_cpu(self) -> None:
        """The ratio of all platform runs to all bare ones, and of each to the bare one in the same state."""
        pairs = list(zip(self.platform_runs, self.bare_runs, strict=False))
        if not pairs:
            raise RuntimeError("the bare dialplan's CPU per call was not measured")
        ratios = cpu_ratios(pairs)
        self.report.set("ring_all.cpu_ratio_to_bare_dialplan", ratios[0])
        for number, ratio in enumerate(ratios[1:], 1):
            self.report.set(f"ring_all.cpu_ratio_of_pair.{number}", ratio)

    def peak(self) -> None:
        """161 calls/s: none may fail."""
        run = self.platform_load.ring_all(PEAK_CPS, self.plan.peak_s, say=_say)
        self._keep_run("at_161_cps", run)
        self.report.set("ring_all.failed", _worst_shortfall(run))
        if run.clean:
            self.ceiling_cps = PEAK_CPS
            self.report.set("ring_all.rate_sustained_cps", self.ceiling_cps)

    def ceiling(self) -> None:
        """The highest rate without a failure, and memory at it."""
        rates = self.plan.rates if self.ceiling_cps else (*_LOW_RATES, *self.plan.rates)
        self.ceiling_cps, best = self._sustained(self.platform_load, rates, self.ceiling_cps)
        self.report.set("ring_all.rate_sustained_cps", self.ceiling_cps)
        if best is not None:
            self._keep_run("at_ceiling", best)

    def _sustained(self, load: Load, rates: Sequence[float], floor: float) -> tuple[float, RingAllRun | None]:
        """Highest rate that was run without a failure, and that run (None when it is `floor`, known before)."""
        limit = time.monotonic() + self.plan.search_limit_s
        runs: dict[float, RingAllRun] = {}

        def sustains(rate: float) -> bool:
            run = load.ring_all(rate, self.plan.step_s, say=_say)
            runs[rate] = run
            if run.errors:
                _say(f"first error: {run.errors.splitlines()[:3]}")
            return run.clean

        best = find_ceiling(
            sustains,
            rates,
            resolution=self.plan.resolution_cps,
            time_left=lambda: time.monotonic() < limit,
            floor=floor,
        )
        return best, runs.get(best)

    def overload(self) -> None:
        """Twice the ceiling, with emergency calls in the middle of it."""
        rate = _OVERLOAD_FACTOR * (self.ceiling_cps or PEAK_CPS)
        emergency = self.platform_load.call_emergency(
            self.emergency, len(self.ringing), _EMERGENCY_CPS, self.plan.overload_s
        )
        with Centre(LINE):
            run = self.platform_load.ring_all(rate, self.plan.overload_s, refusable=True, say=_say)
            emergency.finish(20.0)
        self._keep_run("at_overload", run)
        accepted = run.calls - run.refused
        self.report.set("overload.offered_cps", run.achieved_cps)
        self.report.set("overload.accepted", accepted)
        self.report.set("overload.refused", run.refused)
        if accepted:
            self.report.set("overload.accepted_completed_share", run.completed / accepted)
        if run.refused:
            self.report.set("overload.refused_with_retry_after_share", run.refused_with_retry_after / run.refused)
        else:
            self.report.missing(
                "overload.refused", "nothing was refused: the load generators did not reach an overload"
            )
        calls = emergency.counts()
        self.report.set("overload.emergency_calls", calls.created)
        self.report.set("overload.emergency_refused", calls.generic["refused"])
        self.report.set(
            "overload.emergency_unanswered", calls.created - calls.generic["refused"] - calls.generic["accepted"]
        )
        self.report.set("overload.memory_peak_mb", run.peak_memory_mb)

    def register_on_platform(self) -> None:
        """REGISTER with digest as fast as it goes."""
        self.register_per_s, self.register_cpu_ms = self._register(self.platform_load)
        self.report.set("register.refused", self.platform_load.refused_registrations)
        self.report.set("register.per_s", self.register_per_s)
        self.report.set("register.cpu_ms", self.register_cpu_ms)

    def stop_platform(self) -> None:
        """End the platform; what it found is kept for the comparison."""
        self.stack.stop()

    def bare_dialplan(self) -> None:
        """The same calls through the bare reference, just started: CPU per call, and how soon it rings."""
        with self._bare():
            run = self._steady_run(self.bare_load)
        self.bare_runs.append(run)
        self.report.set("bare.cpu_ms_per_call", sum(run.cpu_ms_per_call.values()))
        for group, spent_ms in sorted(run.cpu_ms_per_call.items()):
            self.report.set(f"bare.cpu_ms_per_call_of.{group}", spent_ms)
        self.report.set("bare.failed", _worst_shortfall(run))
        self.report.set("bare.invite_to_ringing_ms.p99", Times.of(run.times_ms).p99)

    def bare_ceiling(self) -> None:
        """The rate that the bare reference sustains, which the machine carries at all; and CPU per call after it."""
        with self._bare():
            ceiling_cps, _ = self._sustained(self.bare_load, (*_LOW_RATES, *self.plan.rates), 0.0)
            self.bare_runs.append(self._steady_run(self.bare_load))
        self.report.set("bare.rate_sustained_cps", ceiling_cps)
        if ceiling_cps:
            self.report.set("ring_all.rate_ratio_to_bare_dialplan", self.ceiling_cps / ceiling_cps)
        self._compare_cpu()

    @contextmanager
    def _bare(self) -> Iterator[None]:
        """The bare reference, started anew, with every handset registered and every apartment rung once."""
        try:
            self.bare_servers.start()
            self.bare_load.register_all()
            self.bare_load.ring_all(_COLD_CPS, len(self.ringing) / _COLD_CPS, say=_say)
            yield
        finally:
            self.bare_servers.stop()

    def _steady_run(self, load: Load) -> RingAllRun:
        """The compared rate, when as much is left of calls that have ended as the run itself will leave."""
        load.ring_all(COMPARED_CPS, self.plan.lead_in_s, say=_say)
        return load.ring_all(COMPARED_CPS, self.plan.compared_s / 2, say=_say)

    def native_registrar(self) -> None:
        """REGISTER with digest on the same modules with a native script, out of a copy of the same accounts."""
        try:
            self.bare.create_directories()
            bench_town.copy_database(self.platform.lib / "crm.db", self.bare.lib / "crm.db")
            self.bare_servers.start(digest=True)
            native = Load(self.load, self.ringing, shared=False)
            native.register_all()
            per_s, cpu_ms = self._register(native)
        finally:
            self.bare_servers.stop()
        self.report.set("register.native_refused", native.refused_registrations)
        self.report.set("register.native_per_s", per_s)
        self.report.set("register.native_cpu_ms", cpu_ms)
        if not self.register_per_s:
            raise RuntimeError("the platform's own registrations were not measured")
        self.report.set("register.ratio_to_native", self.register_per_s / per_s)
        self.report.set("register.cpu_ratio_to_native", cpu_ms / self.register_cpu_ms)

    def _register(self, load: Load) -> tuple[float, float]:
        load.register_at_full_speed(1, _AT_ONCE)
        per_s, cpu_ms = load.register_at_full_speed(self.plan.register_rounds, _AT_ONCE)
        _say(f"{per_s:.0f} registrations/s, {cpu_ms:.3f} ms CPU each")
        return per_s, cpu_ms

    def _keep_keys(self, keys: KeyTimes) -> None:
        _say(f"keys pressed beside the load: {len(keys.times_ms)} doors opened, {len(keys.not_opened)} not")
        for reason in keys.not_opened[:3]:
            _say(f"  {reason}")
        self.report.set("unlock.not_opened", len(keys.not_opened))
        if not keys.times_ms:
            self.report.missing("unlock", f"no door opened: {(keys.not_opened or ['no call was placed'])[0]}")
            return
        times = Times.of(keys.times_ms)
        self.report.set("unlock.keys", times.count)
        for name in ("p50", "p95", "p99", "maximum"):
            self.report.set(f"unlock.key_to_door_ms.{name}", getattr(times, name))

    def _keep_run(self, name: str, run: RingAllRun) -> None:
        prefix = f"ring_all.{name}"
        for field in ("calls", "completed", "failed", "retransmissions", "answered", "keys", "achieved_cps"):
            self.report.set(f"{prefix}.{field}", getattr(run, field))
        for role, count in run.rung.items():
            self.report.set(f"{prefix}.rung_{role}", count)
        if run.times_ms:
            times = Times.of(run.times_ms)
            self.report.set(f"{prefix}.invite_to_ringing_ms_p99", times.p99)
        for group, (rss, pss) in sorted(run.memory_mb.items()):
            self.report.set(f"{prefix}.memory_rss_mb.{group}", rss)
            self.report.set(f"{prefix}.memory_pss_mb.{group}", pss)
        if run.errors:
            (self.load.directory / f"errors-{name}.txt").write_text(run.errors)


def cpu_ratios(pairs: Sequence[tuple[RingAllRun, RingAllRun]]) -> list[float]:
    """CPU per call of platform runs to that of bare ones: of all together, then of each pair.

    Raises:
        RuntimeError: calls failed in one of them.
    """
    if not all(run.clean for pair in pairs for run in pair):
        raise RuntimeError("calls failed in one of the runs, so their CPU cannot be compared")
    spent_ms = [[sum(run.cpu_ms_per_call.values()) for run in pair] for pair in pairs]
    platform_ms, bare_ms = (sum(column) for column in zip(*spent_ms, strict=True))
    return [platform_ms / bare_ms, *(platform / bare for platform, bare in spent_ms)]


def _worst_shortfall(run: RingAllRun) -> int:
    """Worst count of calls not completed, not rung on one of the three, not answered, without key, not called off."""
    counts = (*run.rung.values(), run.completed, run.answered, run.keys, run.cancelled // 2)
    return max(run.failed, *(run.calls - count for count in counts))


def _say(line: str) -> None:
    print(f"  {line.strip()}", flush=True)
