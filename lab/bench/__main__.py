"""`make bench`: measures the platform against its bars, in a network namespace and lab directories of its own.

Exit code 0 when every part ran and every bar is met, else 1. See docs/measuring.md.
"""

from __future__ import annotations

import argparse
import os
import sys
import time
import traceback
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final, Literal

from lab.bench.city_parts import CITY_BARS, CityBench, Within, city_bench
from lab.bench.crm_parts import CRM_QUICK, CrmBench, CrmPlan, crm_bars
from lab.bench.crm_server import DIALECTS, crm_instance
from lab.bench.emergency_parts import EMERGENCY_BARS, EmergencyBench, LeaseBench, lease_bars
from lab.bench.measures import BARS, Bar, Report
from lab.bench.mix import MIX_BARS, MIX_QUICK, MixBench, MixPlan
from lab.bench.parts import QUICK, Bench, Plan
from lab.bench.probe_parts import PROBE_BARS, PROBES_S, ProbeBench
from lab.bench.schedule_parts import SCHEDULE_BARS, ScheduleBench
from lab.interruption import end_like_ctrl_c
from lab.process_scan import LAB_MARK, end_processes
from lab.settings import BENCH_DIRECTORY, REPOSITORY, LabSettings
from lab.stack import instance_lock
from lab.town.city.sizes import SIZES

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.town.city.sizes import CitySize

RESULT: Final = REPOSITORY / "var" / "bench" / "latest.json"
PARTS: Final = ("calls", "emergency", "mix", "city", "crm", "schedule")
_INSIDE: Final = "ENTRYPHONE_BENCH_NAMESPACE"


def enter_namespace() -> None:
    """Start again in a network and mount namespace of our own: nothing collides, nothing stays behind."""
    os.environ[_INSIDE] = "1"
    script = 'ip link set lo up && exec "$@"'
    command = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    os.execvp("unshare", [*command, sys.executable, "-m", "lab.bench", *sys.argv[1:]])  # noqa: S606 - a fixed command


@dataclass(frozen=True)
class Part:
    """Title, the measures it makes, what it does, the servers it needs; `starts` them when later parts need them."""

    title: str
    measures: str
    do: Callable[[], None]
    needs: str = ""
    starts: bool = False


def _call_parts(bench: Bench) -> list[Part]:
    platform = "platform"
    # What is compared is measured one right after the other: the machine is not equally fast all the time.
    return [
        Part("the same calls through the bare dialplan", "bare", bench.bare_dialplan),
        Part("start the platform", "ring_all", bench.start_platform, platform, starts=True),
        Part("100 calls/s, CPU", "ring_all.cpu", bench.cpu_of_platform, platform),
        Part("100 calls/s, # metered beside", "ring_all.invite", bench.compared_rate, platform),
        Part("161 calls/s", "ring_all.failed", bench.peak, platform),
        Part("ceiling", "ring_all.rate", bench.ceiling, platform),
        Part("overload at twice the ceiling", "overload", bench.overload, platform),
        Part("REGISTER with digest", "register", bench.register_on_platform, platform),
        Part("100 calls/s, CPU once more", "ring_all.cpu", bench.cpu_of_platform, platform),
        Part("stop the platform", "ring_all", bench.stop_platform),
        Part("the bare dialplan: ceiling, CPU once more", "bare", bench.bare_ceiling),
        Part("REGISTER on a native script", "register.ratio_to_native", bench.native_registrar),
    ]


def _emergency_parts(bench: Bench, emergency: EmergencyBench, leases: list[LeaseBench]) -> list[Part]:
    platform = "platform of emergency calls"
    return [
        Part("emergency: start the platform", "emergency", bench.start_platform, platform, starts=True),
        Part("20 emergency calls/s beside 161 calls/s", "emergency.invite", emergency.beside_load, platform),
        Part("2,000 panels call 112 within a minute", "emergency.storm", emergency.storm, platform),
        Part("112 with each component dead", "emergency.not_arrived_with_one_dead", emergency.one_dead, platform),
        Part("emergency: stop the platform", "emergency", bench.stop_platform),
        *(Part(f"leases on {one.settings.database}", f"leases.{one.settings.database}", one.run) for one in leases),
    ]


def _mix_parts(bench: MixBench) -> list[Part]:
    return [
        Part("start a platform for the mix", "mix", bench.start, "platform of the mix", starts=True),
        Part("the mix at 161 calls/s, and its records", "mix", bench.mix, "platform of the mix"),
        Part("50 apps a second wake", "wake", bench.wakes, "platform of the mix"),
        Part("stop the platform of the mix", "mix", bench.stop),
    ]


def _city_parts(bench: CityBench) -> list[Part]:
    platform, name = "city's platform", f"{bench.size.name if bench.size else ''} of calls"
    return [
        Part(f"{name}: the bare dialplan", "city.bare", bench.bare_dialplan),
        Part(f"{name}: start the platform", "city", bench.start_platform, platform, starts=True),
        Part(f"{name}: 100 calls/s, CPU", "city.ring_all.cpu", bench.cpu_of_platform, platform),
        Part(f"{name}: 100 calls/s, # metered beside", "city.ring_all.invite", bench.compared_rate, platform),
        Part(f"{name}: 161 calls/s", "city.ring_all.failed", bench.peak, platform),
        Part(f"{name}: ceiling", "city.ring_all.rate", bench.ceiling, platform),
        Part(f"{name}: overload at twice the ceiling", "city.overload", bench.overload, platform),
        Part(f"{name}: 100 calls/s, CPU once more", "city.ring_all.cpu", bench.cpu_of_platform, platform),
        Part(f"{name}: Kamailio restarted", "city.restart", bench.restart, platform),
        Part(f"{name}: stop the platform", "city", bench.stop_platform),
        Part(f"{name}: the bare dialplan: ceiling, CPU once more", "city.bare", bench.bare_ceiling),
    ]


def _crm_parts(bench: CrmBench) -> list[Part]:
    at, name = f"crm.{bench.dialect}", f"CRM on {bench.dialect}"
    return [
        Part(f"{name}: a {bench.size.name}", at, bench.start, name, starts=True),
        Part(f"{name}: ring plans", f"{at}.ring_plan", bench.ring_plans, name),
        Part(f"{name}: the same plans from Redis", f"{at}.ring_plan_from_redis", bench.plans_from_redis, name),
        Part(f"{name}: a bare Falcon", f"{at}.falcon", bench.hello, name),
        Part(f"{name}: searches", f"{at}.search", bench.searches, name),
        Part(f"{name}: pages", f"{at}.page", bench.pages, name),
        Part(f"{name}: import of residents", f"{at}.import", bench.imports, name),
        Part(f"{name}: stop", at, bench.stop),
    ]


def _schedule_parts(bench: ScheduleBench, calls: Bench, probes: ProbeBench) -> list[Part]:
    platform = "platform of probes"
    return [
        Part("schedule: codes renewed, killed, told to panels", "schedule.codes", bench.codes),
        Part("schedule: a simulated night of probes", "schedule.night", bench.night),
        Part("schedule: start the platform", "schedule.probes", calls.start_platform, platform, starts=True),
        Part("schedule: probes beside 50 visitors/s", "schedule.probes", probes.beside_visitors, platform),
        Part("schedule: stop the platform", "schedule.probes", calls.stop_platform),
    ]


def run(parts: list[Part], report: Report) -> None:
    """Run every part; one that cannot run is reported as missing with its reason, the others still run."""
    started, not_started = time.monotonic(), set[str]()
    for part in parts:
        if part.needs in not_started:
            report.missing(part.measures, f"the {part.needs} did not start")
            continue
        print(f"[{time.monotonic() - started:4.0f} s] {part.title}", flush=True)
        try:
            part.do()
        except Exception as error:  # noqa: BLE001 - one part must not take the others with it
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(f"  could not run: {error}", flush=True)
            report.missing(part.measures, reason)
            with (BENCH_DIRECTORY / "errors.txt").open("a") as file:
                file.write(f"{part.title}\n{traceback.format_exc()}\n")
            if part.starts:
                not_started.add(part.needs)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("parts", nargs="*", metavar="part", help=f"of {', '.join(PARTS)} (default: all)")
    parser.add_argument(
        "--quick",
        action="store_true",
        default=os.environ.get("QUICK", "") not in {"", "0"},
        help="about three minutes, to see that everything runs; also QUICK=1",
    )
    parser.add_argument("--size", choices=SIZES, default="", help="of the town (default: city; with --quick district)")
    return parser


def _chosen(
    chosen: tuple[str, ...],
    asked: argparse.Namespace,
    size: CitySize,
    instances: tuple[LabSettings, LabSettings, LabSettings],
    crm: dict[Literal["sqlite", "postgres"], LabSettings],
) -> tuple[Report, list[Part]]:
    """Return the report with the bars of the parts chosen, and their parts in order."""
    platform, bare, load = instances
    bars: list[Bar] = []
    parts: list[Part] = []
    report = Report(bars)
    if "calls" in chosen:
        bars += BARS
        parts += _call_parts(Bench(QUICK if asked.quick else Plan(), platform, bare, load, report))
    if "emergency" in chosen:
        bars += (*EMERGENCY_BARS, *(bar for dialect in DIALECTS for bar in lease_bars(dialect)))
        calls = Bench(QUICK if asked.quick else Plan(), platform, bare, load, report)
        leases = [LeaseBench(crm[dialect], report) for dialect in DIALECTS]
        parts += _emergency_parts(calls, EmergencyBench(calls, report), leases)
    if "mix" in chosen:
        bars += MIX_BARS
        parts += _mix_parts(MixBench(MIX_QUICK if asked.quick else MixPlan(), platform, load, report))
    if "city" in chosen:
        bars += CITY_BARS
        parts += _city_parts(city_bench(size, QUICK if asked.quick else Plan(), (platform, bare, load), report))
    for dialect in DIALECTS if "crm" in chosen else ():
        bars += crm_bars(dialect)
        parts += _crm_parts(CrmBench(crm[dialect], size, CRM_QUICK if asked.quick else CrmPlan(), report))
    if "schedule" in chosen:
        bars += (*SCHEDULE_BARS, *PROBE_BARS)
        plan = replace(QUICK if asked.quick else Plan(), households=1000)
        calls = Bench(plan, platform, bare, load, Within(report, "schedule.probes.platform"))
        probes = ProbeBench(calls, report, QUICK.peak_s if asked.quick else PROBES_S)
        parts += _schedule_parts(ScheduleBench(crm["sqlite"], size, report), calls, probes)
    return report, parts


def main() -> int:
    """Run the bench; returns the exit code."""
    asked = _parser().parse_args()
    unknown = set(asked.parts) - set(PARTS)
    if unknown:
        print(f"no part {' '.join(sorted(unknown))!r}; there are {' '.join(PARTS)}, with blanks between several")
        return 2
    if _INSIDE not in os.environ:
        if os.geteuid() != 0:
            print("the bench starts servers in namespaces of their own: run it as root")
            return 1
        enter_namespace()
    end_like_ctrl_c()
    with instance_lock(BENCH_DIRECTORY):  # so that `make down` knows whether what runs there is a leftover
        return _measure(asked)


def _measure(asked: argparse.Namespace) -> int:
    """Run the parts that are asked for; returns the exit code."""
    os.environ[LAB_MARK] = str(BENCH_DIRECTORY)  # of processes that are no lab's, such as pools of clients
    chosen = tuple(asked.parts or PARTS)
    platform, bare, load = (LabSettings(directory=BENCH_DIRECTORY / name) for name in ("platform", "bare", "load"))
    crm = {dialect: crm_instance(BENCH_DIRECTORY, dialect) for dialect in DIALECTS}
    load.create_directories()
    (BENCH_DIRECTORY / "errors.txt").unlink(missing_ok=True)
    size = SIZES[asked.size or ("district" if asked.quick else "city")]
    report, parts = _chosen(chosen, asked, size, (platform, bare, load), crm)
    started = datetime.now(UTC)
    try:
        run(parts, report)
    except KeyboardInterrupt:
        report.missing("", "interrupted")
    finally:
        for settings in (load, platform, bare, *crm.values()):
            end_processes(settings.directory, settings.run)
    facts = {
        "started_at": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds()),
        "parts": list(chosen),
        "town": size.name,
        "quick": asked.quick,
        "cpus": os.cpu_count(),
    }
    report.write(RESULT, facts)
    print(f"\n{report.table()}\n\nwritten to {RESULT.relative_to(REPOSITORY)}")
    return 0 if report.all_met else 1


if __name__ == "__main__":
    sys.exit(main())
