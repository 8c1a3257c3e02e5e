"""Finds every process of a lab instance, orphans included, and ends them by pid.

Two marks tell that a process belongs to an instance. Programs on the machine carry `ENTRYPHONE_LAB=<directory>` in
their environment. Servers inside the Debian root see the instance's run directory mounted at `/run/entryphone`, with a
file in it that names the instance; that mark holds even where a program overwrites its environment with a process
title, as Redis and PostgreSQL do.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import time
from dataclasses import dataclass
from pathlib import Path

LAB_MARK = "ENTRYPHONE_LAB"
NAME_MARK = "ENTRYPHONE_PROCESS"
MARK_FILE = "lab-directory"
PROC = Path("/proc")
_SCAN_ROUNDS = 20


@dataclass(frozen=True)
class RunningProcess:
    """One process as `/proc` shows it: `started_ticks` tells it from a later one with the same pid (proc(5))."""

    pid: int
    parent_pid: int
    session_id: int
    started_ticks: int
    cpu_ticks: int
    resident_bytes: int
    state: str


def read_process(pid: int, *, zombies: bool = False) -> RunningProcess | None:
    """The process, or None when there is none or (unless `zombies`) it is one that only waits for its parent."""
    try:
        text = (PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    fields = text[text.rindex(")") + 2 :].split()  # the command name may hold spaces and parentheses
    state = fields[0]
    if state in {"Z", "X"} and not zombies:
        return None
    return RunningProcess(
        pid=pid,
        parent_pid=int(fields[1]),
        session_id=int(fields[3]),
        started_ticks=int(fields[19]),
        cpu_ticks=int(fields[11]) + int(fields[12]),
        resident_bytes=int(fields[21]) * os.sysconf("SC_PAGE_SIZE"),
        state=state,
    )


def all_processes() -> list[RunningProcess]:
    """Every process of the machine that is not a zombie."""
    pids = (int(entry.name) for entry in PROC.iterdir() if entry.name.isdigit())
    return [process for process in map(read_process, pids) if process is not None]


def environment_of(pid: int) -> dict[str, str]:
    """The environment a process was started with; empty when it is gone or not ours to see."""
    try:
        raw = (PROC / str(pid) / "environ").read_bytes()
    except OSError:
        return {}
    pairs = (item.partition(b"=") for item in raw.split(b"\0") if b"=" in item)
    return {os.fsdecode(name): os.fsdecode(value) for name, _, value in pairs}


def instance_of(pid: int) -> str:
    """Directory of the instance that a process belongs to, as its marks name it; empty when it is of none."""
    mark = environment_of(pid).get(LAB_MARK, "")
    if mark:
        return mark
    try:
        return (PROC / str(pid) / "root" / "run" / "entryphone" / MARK_FILE).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return ""


def other_instances(directory: Path) -> set[str]:
    """Directories of other instances that run in this network namespace: they have the addresses."""
    here = _network_of(os.getpid())
    pids = [process.pid for process in all_processes() if _network_of(process.pid) == here]
    return {environment_of(pid).get(LAB_MARK, "") for pid in pids} - {"", str(directory)}


def _network_of(pid: int) -> str | None:
    """The network namespace of a process; None when it is gone or not ours to see."""
    try:
        return str((PROC / str(pid) / "ns" / "net").readlink())
    except OSError:
        return None


def processes_of(directory: Path, run_directory: Path) -> list[RunningProcess]:
    """Every process of the instance at `directory`, except this one and those it was started by."""
    ours = ancestors(os.getpid())
    return [
        process
        for process in all_processes()
        if process.pid not in ours and _belongs(process.pid, directory, run_directory)
    ]


def ancestors(pid: int) -> set[int]:
    """The pid and those of its parents, up to init."""
    found: set[int] = set()
    while pid > 0 and pid not in found:
        found.add(pid)
        process = read_process(pid)
        pid = process.parent_pid if process else 0
    return found


def members(processes: list[RunningProcess], name: str, leader_pid: int | None) -> list[RunningProcess]:
    """Of an instance's processes those of the service `name`: by session, by mark, and children of either."""
    chosen = {
        process.pid
        for process in processes
        if (leader_pid is not None and leader_pid in {process.pid, process.session_id})
        or environment_of(process.pid).get(NAME_MARK) == name
    }
    while True:
        children = {process.pid for process in processes if process.parent_pid in chosen} - chosen
        if not children:
            return [process for process in processes if process.pid in chosen]
        chosen |= children


def end_processes(directory: Path, run_directory: Path, grace_s: float = 5.0, name: str = "") -> list[int]:
    """End every process of an instance, or of its service `name`: TERM, then KILL after `grace_s`.

    Scans again until nothing is found, because a process may start another between the look and the signal.

    Returns:
        The pids that were there.

    Raises:
        RuntimeError: something survives KILL (it hangs in the kernel); names the pids.
    """
    ended: set[int] = set()
    deadline = time.monotonic() + grace_s
    for _ in range(_SCAN_ROUNDS):
        found = processes_of(directory, run_directory)
        if name:
            found = members(found, name, None)
        if not found:
            return sorted(ended)
        ended |= {process.pid for process in found}
        remaining_s = deadline - time.monotonic()
        send_signal(found, signal.SIGTERM if remaining_s > 0 else signal.SIGKILL)
        wait_for_exit(found, remaining_s if remaining_s > 0 else 1.0)
    raise RuntimeError(f"processes of {directory} survive SIGKILL: {[process.pid for process in found]}")


def send_signal(processes: list[RunningProcess], signal_number: signal.Signals) -> None:
    """Signal each process, unless its pid has gone or belongs to another process by now."""
    for process in processes:
        now = read_process(process.pid)
        if now is not None and now.started_ticks == process.started_ticks:
            with contextlib.suppress(ProcessLookupError):
                os.kill(process.pid, signal_number)


def wait_for_stop(processes: list[RunningProcess], timeout_s: float = 5.0) -> bool:
    """Wait until no thread of the processes runs any more, SIGSTOP having been sent; False when the time is over first.

    The signal is taken by one thread when its turn comes, and until then the others go on.
    """
    deadline = time.monotonic() + timeout_s
    while not all(_stands_still(process.pid) for process in processes):
        if time.monotonic() > deadline:
            return False
        time.sleep(0.001)  # the kernel tells nobody but the parent
    return True


def _stands_still(pid: int) -> bool:
    states = []
    for task in (PROC / str(pid) / "task").glob("*/stat"):
        with contextlib.suppress(OSError):  # a thread that has just ended
            states.append(task.read_text().rpartition(")")[2].split()[0])
    return all(state in "TtZX" for state in states)


def wait_for_exit(processes: list[RunningProcess], timeout_s: float) -> bool:
    """Wait until all the processes have ended (a zombie has); False when the time is over first."""
    deadline = time.monotonic() + timeout_s
    for process in processes:
        try:
            descriptor = os.pidfd_open(process.pid)
        except ProcessLookupError:
            continue
        try:
            # A leader may be a zombie while its threads still hold sockets; only the descriptor tells the true end.
            now = read_process(process.pid, zombies=True)
            if now is None or now.started_ticks != process.started_ticks:
                continue
            poller = select.poll()
            poller.register(descriptor, select.POLLIN)  # readable once the process has ended (pidfd_open(2))
            if not poller.poll(max(0.0, deadline - time.monotonic()) * 1000):
                return False
        finally:
            os.close(descriptor)
    return True


def _belongs(pid: int, directory: Path, run_directory: Path) -> bool:
    if instance_of(pid) == str(directory):
        return True
    try:  # a server that another release has started: without the file
        seen = (PROC / str(pid) / "root" / "run" / "entryphone").stat()
        own = run_directory.stat()
    except OSError:
        return False
    return (seen.st_dev, seen.st_ino) == (own.st_dev, own.st_ino)
