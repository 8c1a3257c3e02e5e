"""Starts a process of the lab, on the machine or inside the Debian root, and remembers it on disk."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import shlex
import socket
import subprocess
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from lab.process_scan import LAB_MARK, NAME_MARK, RunningProcess, read_process

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.settings import LabSettings

SERVER_PATH = "/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True)
class Service:
    """A process of the lab: how it is started and how its health is judged.

    Attributes:
        name: the service's one name, also that of its log file.
        command: argument list; paths as seen where it runs.
        probe: returns None when healthy, else what is wrong in a few words. Never blocks for more than a second.
        shortcoming: of a healthy one: returns None, or what it does without, for `make status`.
        in_root: runs inside the Debian root, with the mounts of docs/contracts.md section 2.
        needs_database: started only once the CRM's tables are there.
        environment: added to the little that every process gets.
        start_timeout_s: longest time from start to the first healthy probe.
        stop_timeout_s: how long it may take to end after TERM.
        optional: not started by `make up`.
        listens: address and TCP port that it takes; it is not started while somebody else has them.
        nice: below 0 it comes before others when the processor is short (docs/decisions/0019).
    """

    name: str
    command: tuple[str, ...]
    probe: Callable[[], str | None]
    shortcoming: Callable[[], str | None] = lambda: None
    in_root: bool = False
    needs_database: bool = False
    environment: dict[str, str] = field(default_factory=dict)
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 5.0
    optional: bool = False
    listens: tuple[str, int] | None = None
    nice: int = 0

    def taken_address(self) -> str | None:
        """Address and port of ours at which somebody listens; None: nobody does."""
        if self.listens is None:
            return None
        with socket.socket() as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)  # as servers do: who has left is not in the way
            try:
                probe.bind(self.listens)
            except OSError as error:
                return f"{self.listens[0]}:{self.listens[1]}" if error.errno == errno.EADDRINUSE else None
        return None


@dataclass(frozen=True)
class ProcessRecord:
    """What is remembered of a started process, to find it again from another command."""

    name: str
    pid: int
    started_ticks: int

    def running(self) -> RunningProcess | None:
        """The process, unless it has ended (or its pid is another process's by now)."""
        process = read_process(self.pid)
        return process if process is not None and process.started_ticks == self.started_ticks else None


def mount_script(settings: LabSettings) -> str:
    """Shell text that enters the Debian root in the mount namespace of its own that `unshare` has made.

    The mounts live in that namespace only: when its last process ends, they are gone, whatever ended it.
    """
    root = shlex.quote(str(settings.root.resolve()))
    binds = [
        ("/dev", "dev", "--rbind"),
        ("/proc", "proc", "--rbind"),
        (settings.etc, "etc/entryphone", "--bind"),
        (settings.run, "run/entryphone", "--bind"),
        (settings.lib, "var/lib/entryphone", "--bind"),
        (settings.log, "var/log/entryphone", "--bind"),
        (settings.repository, "opt/entryphone", "--bind"),
    ]
    lines = ["set -e"]
    lines += [f"mount {option} {shlex.quote(str(source))} {root}/{target}" for source, target, option in binds]
    lines += [
        f"mount -o remount,bind,ro {root}/opt/entryphone",
        f"mount -t tmpfs -o mode=1777 tmpfs {root}/tmp",  # noqa: S108 - the root's own, private to this process
        f'exec chroot {root} "$@"',
    ]
    return "\n".join(lines)


def start_process(settings: LabSettings, service: Service) -> subprocess.Popen[bytes]:
    """Start a service in a session of its own, its output appended to its log; does not wait for it to be ready."""
    environment = {
        "PATH": SERVER_PATH if service.in_root else os.environ.get("PATH", SERVER_PATH),
        "HOME": "/root",
        "LANG": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "PYTHONDONTWRITEBYTECODE": "1",
        **service.environment,
        LAB_MARK: str(settings.directory),
        NAME_MARK: service.name,
    }
    command = list(service.command)
    if service.in_root:
        enter = ["unshare", "--mount", "--propagation", "private", "sh", "-c", mount_script(settings), "sh"]
        command = enter + command
    log_path = settings.log / f"{service.name}.log"
    with log_path.open("ab") as log:
        process = subprocess.Popen(
            command,
            env=environment,
            cwd=settings.repository,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    if service.nice:
        _come_before_others(process.pid, service.nice)
    running = read_process(process.pid)
    record = ProcessRecord(service.name, process.pid, running.started_ticks if running else 0)
    path = record_path(settings, service.name)
    fresh = path.with_suffix(".tmp")
    fresh.write_text(json.dumps(asdict(record)), encoding="utf-8")
    fresh.replace(path)
    return process


def _come_before_others(pid: int, nice: int) -> None:
    """Let a process, and what it starts from now on, come before others; where that is not allowed it runs as they do.

    Where Linux shares the processor by session (`autogroup`) nice values count within a session only: the session's own
    has to be set.
    """
    with contextlib.suppress(PermissionError, ProcessLookupError):
        os.setpriority(os.PRIO_PROCESS, pid, nice)
    with contextlib.suppress(OSError):
        Path(f"/proc/{pid}/autogroup").write_text(str(nice), encoding="ascii")


def read_record(settings: LabSettings, name: str) -> ProcessRecord | None:
    """What was remembered of the service's last start, or None."""
    try:
        stored = json.loads(record_path(settings, name).read_text(encoding="utf-8"))
        return ProcessRecord(str(stored["name"]), int(stored["pid"]), int(stored["started_ticks"]))
    except (OSError, ValueError, KeyError):
        return None


def record_path(settings: LabSettings, name: str) -> Path:
    """File of the process record of a service."""
    return settings.records / f"{name}.json"


def last_error_line(settings: LabSettings, name: str) -> str:
    """The last line of the log that speaks of an error, else the last line; empty without a log."""
    try:
        with (settings.log / f"{name}.log").open("rb") as log:
            log.seek(0, os.SEEK_END)
            log.seek(max(0, log.tell() - 65536))
            lines = [line for line in log.read().decode(errors="replace").splitlines() if line.strip()]
    except OSError:
        return ""
    errors = [
        line for line in lines if any(word in line.lower() for word in ("error", "critical", "fatal", "exception"))
    ]
    return (errors or lines or [""])[-1].strip()
