"""The running platform of one lab instance: start it, stop it, hurt it, ask how it is."""

from __future__ import annotations

import fcntl
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lab.debian_root import ensure_root
from lab.host_files import write_host_files
from lab.location_database import create_location_database
from lab.process_scan import (
    RunningProcess,
    end_processes,
    members,
    other_instances,
    processes_of,
    send_signal,
    wait_for_exit,
    wait_for_stop,
)
from lab.processes import Service, last_error_line, read_record, record_path, start_process
from lab.services import lab_services
from lab.town.api_client import ApiRefusedError
from lab.town.loader import load_town

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator
    from pathlib import Path

    from lab.instance_secrets import InstanceSecrets
    from lab.settings import LabSettings

_POLL_S = 0.03
_GONE_TIMEOUT_S = 5.0


@contextmanager
def instance_lock(directory: Path, *, wait: bool = True) -> Iterator[None]:
    """Keep other commands from changing the instance meanwhile; released by the kernel if we are killed.

    Raises:
        BlockingIOError: another command has it, and `wait` is false.
    """
    directory.parent.mkdir(parents=True, exist_ok=True)
    with directory.with_name(f"{directory.name}.lock").open("w", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if not wait:
                raise
            print(f"lab: another command is at work on {directory}; waiting for it", file=sys.stderr, flush=True)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


class StartError(Exception):
    """A process did not become healthy; the message names it, the reason and its log."""


@dataclass(frozen=True)
class ServiceStatus:
    """One line of `make status`; `problem` is empty when the service is healthy. `degraded`: it serves, with less."""

    name: str
    pid: int | None
    processes: int
    resident_bytes: int
    healthy: bool
    problem: str
    optional: bool
    degraded: bool = False


class Stack:
    """The processes of one lab instance.

    Nothing is kept in memory that another command could not find again, so `Stack(settings)` may be made anew at any
    time, for a stack that another command started.
    """

    def __init__(self, settings: LabSettings, say: Callable[[str], None] = print) -> None:
        self.settings = settings
        self.services = lab_services(settings)
        self._say = say
        self._children: dict[str, subprocess.Popen[bytes]] = {}

    @property
    def default_names(self) -> list[str]:
        """The services that `make up` starts."""
        return [name for name, service in self.services.items() if not service.optional]

    @property
    def town(self) -> dict[str, Any]:
        """`town.json`: what tests and outside tools need to know about the demo town."""
        town: dict[str, Any] = json.loads(self.settings.town_file.read_text(encoding="utf-8"))
        return town

    def start(self, *names: str) -> None:
        """Start services that do not run yet, side by side, and return when all of them are healthy.

        Args:
            names: the services, each once however often it is named; without any the whole stack, made ready from
                nothing where needed.

        Raises:
            StartError: one of them ended, or was not healthy in time. The others are left running, to be looked at.
        """
        unknown = set(names) - self.services.keys()
        if unknown:
            raise StartError(f"no service {', '.join(sorted(unknown))}; there are {', '.join(self.services)}")
        # Launched twice, the second would kill the first in the middle of its forks, and not see all of them.
        chosen = [self.services[name] for name in dict.fromkeys(names or self.default_names)]
        missing = [service for service in chosen if self._leader(service.name) is None]
        whole = bool(missing) and not names
        self._refuse_taken_addresses(missing)
        if missing:
            ensure_root(self.settings.root)
            self.settings.create_directories()
        if whole:
            secrets = write_host_files(self.settings)
            create_location_database(self.settings.lib / "location.db", self.settings.root)
        for service in missing:
            if not service.needs_database:
                self._launch(service)
        if whole:
            self._migrate()
        for service in missing:
            if service.needs_database:
                self._launch(service)
        self._wait_until_healthy(chosen)
        if whole:
            self._load_town(secrets)

    def _refuse_taken_addresses(self, services: list[Service]) -> None:
        """Start nothing where others listen: two instances would read each other's Redis."""
        addresses = {service.name: service.taken_address() for service in services}
        # What is ours is ended before the start.
        taken = [f"{address} of {name}" for name, address in addresses.items() if address and not self._members(name)]
        if taken:
            others = ", ".join(sorted(other_instances(self.settings.directory)))
            remedy = f"the lab of {others} runs: `make down` in its checkout" if others else "end what listens there"
            raise StartError(f"in use already: {', '.join(taken)}; nothing was started; {remedy}")

    def _load_town(self, secrets: InstanceSecrets) -> None:
        """Load the demo town (what is there stays) and write `town.json`."""
        started = time.monotonic()
        try:
            load_town(
                api_url=self.settings.crm_url,
                token=secrets.crm_operator_token,
                town=self.settings.town_file,
                sip_address=f"{self.settings.sip_address}:{self.settings.sip_port}",
                domain=self.settings.domain,
            )
        except ApiRefusedError as error:
            raise StartError(f"the demo town could not be loaded: {error}") from error
        self._say(f"  demo town         loaded in {time.monotonic() - started:.1f} s: {self.settings.town_file}")

    def _migrate(self) -> None:
        """Bring the CRM's tables up to date and make sure of the lab's tokens, while the other servers start."""
        if self.settings.database == "postgres":
            self._wait_until_healthy([self.services["postgres"]])
        command = [
            str(self.settings.python),
            "-m",
            "crm_api",
            "migrate",
            "--config",
            str(self.settings.etc / "crm.json"),
        ]
        done = subprocess.run(command, cwd=self.settings.repository, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            raise StartError(f"`crm_api migrate` ended with {done.returncode}: {done.stderr.strip()}")

    def stop(self) -> list[int]:
        """End every process of the instance, also those a crashed command left. Returns their pids."""
        ended = end_processes(self.settings.directory, self.settings.run)
        for child in self._children.values():  # a zombie is no process of the scan, yet its threads may still be ending
            child.wait(_GONE_TIMEOUT_S)
        self._reap()
        if self.settings.records.is_dir():
            for name in self.services:
                record_path(self.settings, name).unlink(missing_ok=True)
        return ended

    def discard(self) -> None:
        """End every process of the instance and remove its directory, databases and secrets included."""
        self.stop()
        if self.settings.directory.exists():
            shutil.rmtree(self.settings.directory)

    def kill(self, name: str, signal_number: signal.Signals = signal.SIGKILL) -> None:
        """Signal every process of a service; return when all have ended (KILL, TERM) or stand still (STOP)."""
        processes = self._members(name)
        send_signal(processes, signal_number)
        if signal_number in {signal.SIGKILL, signal.SIGTERM}:
            timeout_s = self.services[name].stop_timeout_s
            if not wait_for_exit(processes, timeout_s):
                raise TimeoutError(f"{name} did not end within {timeout_s:.0f} s of {signal_number.name}")
            self._reap()
        elif signal_number == signal.SIGSTOP and not wait_for_stop(processes):
            raise TimeoutError(f"{name} goes on after SIGSTOP")

    def restart(self, name: str) -> None:
        """End a service, if it runs, and start it; returns when it is healthy."""
        processes = self._members(name)
        if processes:
            send_signal(processes, signal.SIGTERM)
            if not wait_for_exit(processes, self.services[name].stop_timeout_s):
                send_signal(processes, signal.SIGKILL)
                wait_for_exit(processes, 1.0)
            self._reap()
        self._launch(self.services[name])
        self._wait_until_healthy([self.services[name]])

    def pids(self, name: str) -> list[int]:
        """The pids of a service, workers included."""
        return [process.pid for process in self._members(name)]

    def status(self) -> list[ServiceStatus]:
        """How each service is, in the order of `lab_services`."""
        everything = processes_of(self.settings.directory, self.settings.run)
        return [self._status(service, everything) for service in self.services.values()]

    def _status(self, service: Service, everything: list[RunningProcess]) -> ServiceStatus:
        record = read_record(self.settings, service.name)
        leader = self._leader(service.name)
        processes = members(everything, service.name, record.pid if record else None)
        problem = ""
        if leader is None:
            problem = "not started" if record is None else "has ended"
            if processes:
                problem = f"its main process has ended, {len(processes)} others run"
        elif stopped := [process.pid for process in processes if process.state == "T"]:
            # A heartbeat grows old only after a while, and what does most of its work in others answers without one.
            pids = ", ".join(map(str, stopped))
            problem = f"stands still: stopped by a signal ({pids}); `kill -CONT {pids.replace(',', '')}` lets it go on"
        else:
            problem = service.probe() or ""
        if problem and record is not None:
            error = last_error_line(self.settings, service.name)
            problem += f"; log: {error}" if error else ""
        shortcoming = "" if problem else service.shortcoming() or ""
        return ServiceStatus(
            name=service.name,
            pid=leader.pid if leader else None,
            processes=len(processes),
            resident_bytes=sum(process.resident_bytes for process in processes),
            healthy=not (problem or shortcoming),
            problem=problem or shortcoming,
            optional=service.optional,
            degraded=bool(shortcoming),
        )

    def _launch(self, service: Service) -> None:
        leftovers = self._members(service.name)
        if leftovers:  # workers whose main process was killed would keep the port
            send_signal(leftovers, signal.SIGKILL)
            wait_for_exit(leftovers, service.stop_timeout_s)
        before = self._children.pop(service.name, None)
        if before is not None:  # it has ended, or is about to: signalled above
            before.wait(service.stop_timeout_s)
        self._children[service.name] = start_process(self.settings, service)

    def _wait_until_healthy(self, services: list[Service]) -> None:
        """Probe until every service is healthy; a process that ends is noticed at once."""
        started = time.monotonic()
        waiting = {service.name: service for service in services}
        problems: dict[str, str] = {}
        while True:
            for name, service in list(waiting.items()):
                problem = service.probe()
                if problem is None and self._leader(name) is not None:
                    del waiting[name]
                    self._say(f"  {name:<17} healthy after {time.monotonic() - started:.1f} s")
                    continue
                problems[name] = problem or "something else answers at its address"
                if self._leader(name) is None:
                    raise StartError(self._explain(name, "ended"))
                if time.monotonic() - started > service.start_timeout_s:
                    raise StartError(
                        self._explain(name, f"not healthy after {service.start_timeout_s:.0f} s", problems)
                    )
            if not waiting:
                return
            self._wait_for_an_end(waiting)

    def _wait_for_an_end(self, waiting: Iterable[str]) -> None:
        """Let a moment pass before the next probe, less when one of the processes ends."""
        poller = select.poll()
        descriptors = []
        for name in waiting:
            leader = self._leader(name)
            with suppress(ProcessLookupError):
                if leader is not None:
                    descriptors.append(os.pidfd_open(leader.pid))
                    poller.register(descriptors[-1], select.POLLIN)
        poller.poll(_POLL_S * 1000)
        for descriptor in descriptors:
            os.close(descriptor)
        self._reap()

    def _explain(self, name: str, what: str, problems: dict[str, str] | None = None) -> str:
        parts = [f"{name}: {what}"]
        if problems and name in problems:
            parts.append(problems[name])
        parts.append(f"last error: {last_error_line(self.settings, name) or 'none'}")
        parts.append(f"see {self.settings.log / (name + '.log')}")
        return "; ".join(parts)

    def _leader(self, name: str) -> RunningProcess | None:
        record = read_record(self.settings, name)
        return record.running() if record else None

    def _members(self, name: str) -> list[RunningProcess]:
        record = read_record(self.settings, name)
        everything = processes_of(self.settings.directory, self.settings.run)
        return members(everything, name, record.pid if record else None)

    def _reap(self) -> None:
        """Collect the exit codes of our own children, so that no zombies stay."""
        for name, child in list(self._children.items()):
            if child.poll() is not None:
                del self._children[name]
