"""Load on whichever servers run: registers the devices, rings apartments at a rate, and tells what came of it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lab.bench import population, scenarios
from lab.bench.process_usage import read_memory_mb, read_usage
from lab.bench.sipp import Sipp, SippError, start_sipp

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from lab.bench.population import Household
    from lab.settings import LabSettings

CALL_LENGTH_S: Final = (scenarios.RINGING_MS + scenarios.TALK_MS) / 1000
_PATIENCE_S: Final = 40.0
_REGISTRATION_RATE: Final = "400"
_REGISTRATION_TRIES: Final = 3
_LOOK_S: Final = 0.5
# PSS walks the page tables of every process, which cannot map memory meanwhile: looked at often it delays, and costs,
# what it watches. So a run is looked at once, and again and again only where the peak is asked for.
_MEMORY_EVERY_S: Final = 4.0
_MEMORY_AT_SHARE: Final = 0.7
_SUSTAINED_SHARE: Final = 0.97
LOAD_GROUP: Final = "load"


@dataclass
class RingAllRun:
    """What came of ringing at one rate."""

    rate_cps: float
    calls: int
    completed: int = 0
    failed: int = 0
    refused: int = 0
    refused_with_retry_after: int = 0
    retransmissions: int = 0
    achieved_cps: float = 0.0
    rung: dict[str, int] = field(default_factory=dict)
    answered: int = 0
    keys: int = 0
    cancelled: int = 0
    times_ms: list[float] = field(default_factory=list)
    cpu_ms: dict[str, float] = field(default_factory=dict)
    memory_mb: dict[str, tuple[float, float]] = field(default_factory=dict)
    peak_memory_mb: float = 0.0
    errors: str = ""

    @property
    def clean(self) -> bool:
        """Every call was offered in time, rung on all three, answered by A, its key taken, cancelled on B and C."""
        wanted = [*self.rung.values(), self.completed, self.answered, self.keys, self.cancelled // 2]
        in_time = self.achieved_cps >= _SUSTAINED_SHARE * self.rate_cps
        return self.failed == 0 and in_time and all(count == self.calls for count in wanted)

    @property
    def cpu_ms_per_call(self) -> dict[str, float]:
        """Server CPU by group; the load generators are not in it."""
        return {group: spent / self.calls for group, spent in self.cpu_ms.items() if group != LOAD_GROUP}

    def summary(self) -> str:
        """One line for the progress."""
        rung = "/".join(str(self.rung.get(role, 0)) for role in population.ROLES)
        line = (
            f"{self.rate_cps:.0f} calls/s: offered {self.calls}, completed {self.completed}, failed {self.failed}, "
            f"rung {rung}, retransmissions {self.retransmissions}, achieved {self.achieved_cps:.0f} calls/s"
        )
        return f"{line}, refused {self.refused}" if self.refused else line


class Load:
    """The load generators, against the SIP server at the lab's address."""

    def __init__(self, settings: LabSettings, households: Sequence[Household], *, shared: bool) -> None:
        """Prepare.

        Args:
            settings: lab instance of the load generators; its addresses are those of the servers.
            households: who takes part.
            shared: register under the panel's name and without digest (the bare reference).
        """
        self._settings = settings
        self._households = households
        self._shared = shared
        self.refused_registrations = 0
        self._server = f"{settings.sip_address}:{settings.sip_port}"

    def register_all(self) -> None:
        """Register every handset, from the address it is reached at; as phones do, again when one is refused.

        Raises:
            SippError: some were refused.
        """
        digest = not self._shared
        for role in population.ROLES:
            injection = self._file(f"register-{role}")
            population.write_registrations(
                injection, self._households, role, self._settings.domain, shared=self._shared
            )
            for left in range(_REGISTRATION_TRIES, 0, -1):
                refused = self._register(
                    f"register-{role}", injection, len(self._households), _REGISTRATION_RATE, digest=digest
                )
                self.refused_registrations += refused
                if not refused:
                    break
                if left == 1:
                    raise SippError(f"{refused} of {len(self._households)} handsets {role} could not register")

    def register_at_full_speed(self, rounds: int, at_once: int) -> tuple[float, float]:
        """Refresh every registration `rounds` times, `at_once` at a time; returns REGISTERs a second and CPU ms each.

        A REGISTER here is the whole exchange: refused with a challenge, accepted with digest.

        Refused ones are counted in `refused_registrations`.
        """
        injection, parts = self._file("register"), []
        for role in population.ROLES:
            population.write_registrations(injection, self._households, role, self._settings.domain, shared=False)
            parts.append(injection.read_text().removeprefix("SEQUENTIAL\n"))
        injection.write_text("SEQUENTIAL\n" + "".join(parts))
        count = rounds * len(self._households) * len(population.ROLES)
        before, started = read_usage(), time.monotonic()
        self.refused_registrations += self._register(
            "register", injection, count, "20000", "-l", str(at_once), digest=True
        )
        elapsed_s = time.monotonic() - started
        spent = read_usage().cpu_ms_since(before)
        spent.pop(LOAD_GROUP, None)
        return count / elapsed_s, sum(spent.values()) / count

    def ring_all(
        self,
        rate_cps: float,
        duration_s: float,
        *,
        refusable: bool = False,
        say: Callable[[str], None] = print,
    ) -> RingAllRun:
        """Ring at a rate for a time; returns when the last call has ended.

        Raises:
            SippError: SIPp did not run.
            StatisticsError: SIPp left no statistics.
        """
        run = RingAllRun(rate_cps, round(rate_cps * duration_s))
        handsets = self._start_handsets()
        injection = self._file("panels")
        population.write_panels(injection, self._households, self._settings.domain)
        before, started = read_usage(), time.monotonic()
        panels = start_sipp(
            self._settings, "panels", scenarios.panel(digest=not self._shared, refusable=refusable), injection,
            self._server,
            "-r", f"{rate_cps:g}", "-rp", "1s", "-m", str(run.calls), "-l", "100000", "-trace_rtt", "-rtt_freq", "1",
        )  # fmt: skip
        ended = self._watch(panels, run, duration_s + _PATIENCE_S, peak=refusable)
        run.achieved_cps = run.calls / max(0.001, time.monotonic() - started - CALL_LENGTH_S)
        run.cpu_ms = read_usage().cpu_ms_since(before)
        if not ended:
            panels.finish(1.0)
        self._collect(run, panels, handsets)
        say(f"    {run.summary()}")
        return run

    def call_emergency(self, households: Sequence[Household], first: int, rate_cps: float, duration_s: float) -> Sipp:
        """Start calls to 112 from panels of their own, beside a run of `ring_all`."""
        injection = self._file("emergency")
        population.write_panels(injection, households, self._settings.domain, dialled="112", first=first)
        return start_sipp(
            self._settings, "emergency", scenarios.emergency(), injection, self._server,
            "-r", f"{rate_cps:g}", "-rp", "1s", "-m", str(round(rate_cps * duration_s)), "-l", "10000",
        )  # fmt: skip

    def _file(self, name: str) -> Path:
        directory = self._settings.directory / "injection"
        directory.mkdir(exist_ok=True)
        return directory / f"{name}.csv"

    def _register(self, name: str, injection: Path, count: int, rate: str, *options: str, digest: bool) -> int:
        sipp = start_sipp(
            self._settings, name, scenarios.register(digest=digest), injection, self._server,
            "-r", rate, "-rp", "1s", "-m", str(count), *options,
        )  # fmt: skip
        if not sipp.wait(count / 100 + _PATIENCE_S):
            sipp.finish(1.0)
        counts = sipp.counts()
        if not counts.successful:
            raise SippError(f"{name}: no registration was accepted\n{sipp.errors()}")
        return count - counts.successful

    def _start_handsets(self) -> dict[str, Sipp]:
        started = {}
        for role in population.ROLES:
            injection = self._file(f"handsets-{role}")
            population.write_registrations(
                injection, self._households, role, self._settings.domain, shared=self._shared
            )
            text = scenarios.answerer() if role == "a" else scenarios.ringer()
            started[role] = start_sipp(self._settings, f"handsets-{role}", text, injection, self._server)
        for sipp in started.values():
            sipp.await_listening()
        return started

    def _watch(self, panels: Sipp, run: RingAllRun, timeout_s: float, *, peak: bool) -> bool:
        """Wait until the panels have ended; whether they have. Memory is looked at once, late in the run, or often."""
        now = time.monotonic()
        deadline, late = now + timeout_s, now + _MEMORY_AT_SHARE * run.calls / run.rate_cps
        next_look = now if peak else late
        while time.monotonic() < deadline:
            if panels.wait(_LOOK_S):
                return True
            if time.monotonic() < next_look:
                continue
            next_look = time.monotonic() + _MEMORY_EVERY_S if peak else deadline
            memory = read_memory_mb()
            if not run.memory_mb or time.monotonic() < late:
                run.memory_mb = memory
            total = sum(pss for group, (_, pss) in memory.items() if group != LOAD_GROUP)
            run.peak_memory_mb = max(run.peak_memory_mb, total)
        return False

    def _collect(self, run: RingAllRun, panels: Sipp, handsets: dict[str, Sipp]) -> None:
        counts = panels.counts()
        run.completed = counts.generic["completed"]
        run.failed = run.calls - run.completed - counts.generic.get("refused", 0)
        run.refused = counts.generic.get("refused", 0)
        run.refused_with_retry_after = counts.generic.get("with_retry_after", 0)
        run.retransmissions = counts.retransmissions
        run.times_ms = panels.response_times_ms()
        for sipp in handsets.values():
            sipp.ask_to_finish()
        for role, sipp in handsets.items():
            sipp.finish(5.0)
            own = sipp.counts()
            run.rung[role] = own.generic["rung"]
            run.retransmissions += own.retransmissions
            run.answered += own.generic.get("answered", 0)
            run.keys += own.generic.get("key", 0)
            run.cancelled += own.generic.get("cancelled", 0)
        if not run.clean:
            run.errors = "\n".join(filter(None, (sipp.errors() for sipp in (panels, *handsets.values()))))
