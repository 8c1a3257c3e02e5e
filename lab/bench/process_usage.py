"""CPU time and memory of the server processes in this network namespace, by group, out of /proc.

A process belongs to a group by its command line, so nothing has to be told who started it. Only processes of the
bench's own network namespace count: another lab on the machine is never measured.

CPU time is utime + stime of proc(5) `stat`, which the kernel keeps in clock ticks (10 ms): over a run of thousands of
calls the error is far below a percent. Memory is PSS (`smaps_rollup`), so pages shared by forked workers count once.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

_TICKS_PER_S: Final = os.sysconf("SC_CLK_TCK")

GROUPS: Final = (
    ("kamailio", re.compile(r"(^|/)kamailio(\s|$)")),
    ("ast1", re.compile(r"(^|/)asterisk\s.*\bast1\b")),
    ("ast2", re.compile(r"(^|/)asterisk\s.*\bast2\b")),
    ("ast-emergency", re.compile(r"(^|/)asterisk\s.*\bast-emergency\b")),
    ("ast-probe", re.compile(r"(^|/)asterisk\s.*\bast-probe\b")),
    ("sounds", re.compile(r"\bagi_apps\.sound_shipper\b")),
    ("agi", re.compile(r"\bagi_apps\b")),
    ("crm-outbox", re.compile(r"\bcrm_api\b.*\boutbox\b")),
    ("crm-call-records", re.compile(r"\bcrm_api\b.*\bcall_records\b")),
    ("crm-jobs", re.compile(r"\bcrm_api\b.*\bjobs\b")),
    ("crm-emergency", re.compile(r"\bcrm_api\.emergency\b")),
    ("crm-pushes", re.compile(r"\bcrm_api\.pushes\b")),
    ("crm-voice", re.compile(r"\bcrm_api\.voice_calls\b")),
    ("crm-webhooks", re.compile(r"\bcrm_api\.webhooks\b")),
    ("scheduler", re.compile(r"-m scheduler\b")),
    ("crm", re.compile(r"\bcrm_api\b")),
    ("redis", re.compile(r"(^|/)redis-server(\s|$)")),
)
"""Server groups, first match wins. Load generators and the bench itself are none of them."""

LOAD_GENERATOR: Final = re.compile(r"(^|/)sipp(\s|$)")


def group_of(command: str) -> str | None:
    """Group of the process with this command line (arguments joined by blanks), None for one that is no server."""
    if LOAD_GENERATOR.search(command.split(" ", 1)[0]):
        return "load"
    for name, pattern in GROUPS:
        if pattern.search(command):
            return name
    return None


def cpu_ticks(stat: str) -> int:
    """CPU time (utime + stime) in clock ticks out of /proc/<pid>/stat; the name in brackets may hold blanks."""
    fields = stat[stat.rindex(")") + 2 :].split()
    return int(fields[11]) + int(fields[12])


def memory_kb(rollup: str) -> tuple[int, int]:
    """RSS and PSS in kB out of the text of /proc/<pid>/smaps_rollup."""
    found = dict(re.findall(r"^(Rss|Pss):\s+(\d+) kB", rollup, re.MULTILINE))
    return int(found.get("Rss", 0)), int(found.get("Pss", 0))


@dataclass
class Usage:
    """What the processes have used at one moment: CPU ticks by process, groups of processes."""

    ticks: dict[int, int] = field(default_factory=dict)
    groups: dict[int, str] = field(default_factory=dict)

    def cpu_ms_since(self, before: Usage) -> dict[str, float]:
        """CPU milliseconds by group between `before` and now; a process started in between counts whole."""
        spent: dict[str, float] = {}
        for pid, ticks in self.ticks.items():
            group = self.groups[pid]
            spent[group] = spent.get(group, 0.0) + (ticks - before.ticks.get(pid, 0)) * 1000 / _TICKS_PER_S
        return spent


def _own_namespace(proc: Path) -> dict[int, str]:
    """Group by pid of every server process in our network namespace."""
    own = (proc / "self" / "ns" / "net").readlink()
    found = {}
    for entry in proc.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if (entry / "ns" / "net").readlink() != own:
                continue
            command = (entry / "cmdline").read_bytes().rstrip(b"\0").replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended while we looked
            continue
        group = group_of(command)
        if group is not None:
            found[int(entry.name)] = group
    return found


def read_usage(proc: Path = Path("/proc")) -> Usage:
    """CPU used so far by every server process in this network namespace."""
    usage = Usage()
    for pid, group in _own_namespace(proc).items():
        try:
            usage.ticks[pid] = cpu_ticks((proc / str(pid) / "stat").read_text())
        except OSError:
            continue
        usage.groups[pid] = group
    return usage


def read_memory_mb(proc: Path = Path("/proc")) -> dict[str, tuple[float, float]]:
    """RSS and PSS in MB by group."""
    total: dict[str, tuple[float, float]] = {}
    for pid, group in _own_namespace(proc).items():
        try:
            rss, pss = memory_kb((proc / str(pid) / "smaps_rollup").read_text())
        except OSError:
            continue
        before = total.get(group, (0.0, 0.0))
        total[group] = (before[0] + rss / 1024, before[1] + pss / 1024)
    return total
