"""`make bench`: measures the running platform against its bars, in a network namespace and lab directory of its own.

Environment: `QUICK=1` runs about three minutes, to see that everything runs. Exit code 0 when every part ran and every
bar is met, else 1. See docs/measuring.md.
"""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from lab.bench.measures import Report
from lab.bench.parts import QUICK, Bench, Plan
from lab.process_scan import end_processes
from lab.settings import REPOSITORY, LabSettings

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import FrameType

DIRECTORY: Final = REPOSITORY / "var" / "bench-lab"
RESULT: Final = REPOSITORY / "var" / "bench" / "latest.json"
_INSIDE: Final = "ENTRYPHONE_BENCH_NAMESPACE"


def enter_namespace() -> None:
    """Start again in a network and mount namespace of our own: nothing collides, nothing stays behind."""
    os.environ[_INSIDE] = "1"
    script = 'ip link set lo up && exec "$@"'
    command = ["unshare", "--net", "--mount", "--propagation", "private", "sh", "-c", script, "sh"]
    os.execvp("unshare", [*command, sys.executable, "-m", "lab.bench"])  # noqa: S606 - a fixed command


def _parts(bench: Bench) -> list[tuple[str, str, Callable[[], None], bool]]:
    """Title, measures, the part, and whether everything of the platform after it depends on it."""
    return [
        ("start the platform", "ring_all", bench.start_platform, True),
        ("100 calls/s, # metered beside", "ring_all.invite", bench.compared_rate, False),
        ("100 calls/s, CPU", "ring_all.cpu", bench.cpu_of_platform, False),
        ("161 calls/s", "ring_all.failed", bench.peak, False),
        ("ceiling", "ring_all.rate", bench.ceiling, False),
        ("REGISTER with digest", "register", bench.register_on_platform, False),
        ("overload at twice the ceiling", "overload", bench.overload, False),
        ("stop the platform", "ring_all", bench.stop_platform, False),
        ("the same calls through the bare dialplan", "ring_all.cpu_ratio_to_bare_dialplan", bench.bare_dialplan, False),
        ("REGISTER on a native script", "register.ratio_to_native", bench.native_registrar, False),
    ]


def run(bench: Bench, report: Report) -> None:
    """Run every part; one that cannot run is reported as missing with its reason, the others still run."""
    started, platform_runs = time.monotonic(), True
    for title, measures, part, essential in _parts(bench):
        on_platform = getattr(part, "__name__", "") not in {"stop_platform", "bare_dialplan", "native_registrar"}
        if on_platform and not platform_runs:
            report.missing(measures, "the platform did not start")
            continue
        print(f"[{time.monotonic() - started:4.0f} s] {title}", flush=True)
        try:
            part()
        except Exception as error:  # noqa: BLE001 - one part must not take the others with it
            reason = str(error).splitlines()[0] if str(error) else type(error).__name__
            print(f"  could not run: {error}", flush=True)
            report.missing(measures, reason)
            with (DIRECTORY / "errors.txt").open("a") as file:
                file.write(f"{title}\n{traceback.format_exc()}\n")
            platform_runs = platform_runs and not essential


def _stop(_number: int, _frame: FrameType | None) -> None:
    raise KeyboardInterrupt


def main() -> int:
    """Run the bench; returns the exit code."""
    if _INSIDE not in os.environ:
        if os.geteuid() != 0:
            print("the bench starts servers in namespaces of their own: run it as root")
            return 1
        enter_namespace()
    signal.signal(signal.SIGTERM, _stop)
    quick = os.environ.get("QUICK", "") not in {"", "0"}
    platform, bare, load = (LabSettings(directory=DIRECTORY / name) for name in ("platform", "bare", "load"))
    load.create_directories()
    (DIRECTORY / "errors.txt").unlink(missing_ok=True)
    report = Report()
    started = datetime.now(UTC)
    try:
        run(Bench(QUICK if quick else Plan(), platform, bare, load, report), report)
    except KeyboardInterrupt:
        report.missing("", "interrupted")
    finally:
        for settings in (load, platform, bare):
            end_processes(settings.directory, settings.run)
    facts = {
        "started_at": started.isoformat(timespec="seconds"),
        "seconds": round((datetime.now(UTC) - started).total_seconds()),
        "quick": quick,
        "cpus": os.cpu_count(),
    }
    report.write(RESULT, facts)
    print(f"\n{report.table()}\n\nwritten to {RESULT.relative_to(REPOSITORY)}")
    return 0 if report.all_met else 1


if __name__ == "__main__":
    sys.exit(main())
