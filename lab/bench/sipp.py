"""Runs SIPp out of the Debian root: one process, one directory with its scenario, statistics and errors."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from lab.bench.sipp_stats import SippCounts, read_response_times, read_statistics
from lab.processes import Service, start_process

if TYPE_CHECKING:
    from pathlib import Path

    from lab.settings import LabSettings

_SEEN_AS: Final = "/var/log/entryphone"
_ADDRESS_FIELD: Final = "3"
_PORT: Final = "5060"
_LOOK_S: Final = 0.05
_SOCKETS: Final = "8000"


class SippError(Exception):
    """SIPp could not run; the message holds its own words."""


@dataclass
class Sipp:
    """A running SIPp process."""

    process: subprocess.Popen[bytes]
    directory: Path
    counters: tuple[str, ...]

    def wait(self, timeout_s: float) -> bool:
        """Wait for its end; False when the time is over first."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            return False
        return True

    def await_listening(self, timeout_s: float = 10.0) -> None:
        """Wait until its sockets are open: SIPp writes its first line of statistics when they are.

        Raises:
            SippError: it ended, or was not ready in time.
        """
        statistics, deadline = self.directory / "stat.csv", time.monotonic() + timeout_s
        while time.monotonic() < deadline and self.process.poll() is None:
            if statistics.exists() and len(statistics.read_text().splitlines()) > 1:
                return
            self.wait(_LOOK_S)
        raise SippError(f"SIPp in {self.directory} is not listening\n{self.errors()}")

    def ask_to_finish(self) -> None:
        """Let it end after its present calls (SIGUSR1); does not wait."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.process.pid, signal.SIGUSR1)

    def finish(self, timeout_s: float) -> None:
        """Let it end after its present calls (SIGUSR1), then at once."""
        for sign, patience_s in ((signal.SIGUSR1, timeout_s), (signal.SIGTERM, 2.0), (signal.SIGKILL, 2.0)):
            if self.process.poll() is not None:
                return
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.process.pid, sign)
            if self.wait(patience_s):
                return

    def counts(self) -> SippCounts:
        """Its counts, as last written.

        Raises:
            StatisticsError: it wrote none.
        """
        return read_statistics(self.directory / "stat.csv", self.counters)

    def response_times_ms(self) -> list[float]:
        """Response times of timer 1 of every call."""
        return read_response_times(self.directory)

    def errors(self, lines: int = 12) -> str:
        """The first lines of its error file, then of its output: what the report shows of a failure."""
        for path in (self.directory / "errors.log", self.directory.with_suffix(".log")):
            if path.exists() and path.stat().st_size:
                return "\n".join(path.read_text(errors="replace").splitlines()[:lines])
        return ""


def counters_of(scenario: str) -> tuple[str, ...]:
    """Names of the counters that a scenario counts with."""
    names = (part.split('"', 1)[0] for part in scenario.split('counter="')[1:])
    return tuple(dict.fromkeys(names))


def start_sipp(
    load: LabSettings,
    name: str,
    scenario: str,
    injection: Path,
    server: str,
    *options: str,
) -> Sipp:
    """Start SIPp with every device at the address that its injection line names.

    Args:
        load: the lab instance of the load generators; files go below its log directory.
        name: names the process and its directory.
        scenario: its XML.
        injection: file with a line for each device, the local address in field 3.
        server: address and port it sends to.
        options: more options of SIPp.
    """
    directory = load.log / name
    directory.mkdir(parents=True, exist_ok=True)
    for old in directory.iterdir():
        if old != injection:
            old.unlink()
    (directory / "scenario.xml").write_text(scenario)
    (directory / "injection.csv").write_text(injection.read_text())
    seen = f"{_SEEN_AS}/{name}"
    command = (
        "env", "-C", seen,
        "sipp", server, "-sf", "scenario.xml", "-inf", "injection.csv",
        "-t", "ui", "-ip_field", _ADDRESS_FIELD, "-p", _PORT, "-max_socket", _SOCKETS, "-bind_local",
        "-nostdin", "-trace_stat", "-stf", "stat.csv", "-fd", "1s",
        "-trace_err", "-error_file", "errors.log", "-buff_size", "4194304",
        *options,
    )  # fmt: skip
    process = start_process(load, Service(name, command, lambda: None, in_root=True))
    return Sipp(process, directory, counters_of(scenario))
