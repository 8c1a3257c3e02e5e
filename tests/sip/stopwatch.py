"""How much of the time that passes was the platform's: for the rest the machine kept it from running."""

from __future__ import annotations

import os
import time
from contextlib import suppress
from pathlib import Path

_PROC = Path("/proc")
_TICK_S = 1 / os.sysconf("SC_CLK_TCK")
_STEAL = 8
_NICE = 16
"""Fields of /proc/stat and, after the name in brackets, of /proc/<pid>/stat (proc(5))."""
_MOST_S = 2.0
"""Never more than this is taken off: a promise that needs more room is broken."""

_PRESSURE = _PROC / "pressure/cpu"

_Waited = dict[str, float]
_STOLEN = "hypervisor"


class Stopwatch:
    """Seconds since it was made, less what the hypervisor and other work took of the processors meanwhile.

    "Within a second" is a promise about what the platform does, not about a machine that stands still for one. Taken
    off is what that process of this network (the servers and their peers, not what is nicer than we are) that waited
    longest for a processor has waited, and what the hypervisor took: on a quiet machine milliseconds.
    """

    def __init__(self) -> None:
        self._waited = _waited()
        self.began_s = time.monotonic()
        """Monotonic time."""

    @property
    def took_s(self) -> float:
        """How long it has run."""
        passed_s = time.monotonic() - self.began_s
        waits = {name: found - self._waited.get(name, 0.0) for name, found in _waited().items()}
        # The task that waited longest: others waited at the same time, and some of them for one another.
        waited_s = max(0.0, waits.pop(_STOLEN)) + max(waits.values(), default=0.0)
        return passed_s - min(waited_s, _MOST_S, passed_s)


def stalled_s() -> float:
    """Seconds, since the machine started, in which work waited for a processor (proc_pressure(5)), or it was stolen.

    What is nicer than the stories waits as well: this is for limits that only have to end, not for promises.
    """
    try:
        some = _PRESSURE.read_text(encoding="ascii").splitlines()[0]
    except (OSError, IndexError):  # a kernel without it
        return _stolen_s()
    return _stolen_s() + int(some.rpartition("total=")[2]) / 1e6


def _stolen_s() -> float:
    steal = (_PROC / "stat").read_text(encoding="ascii").split(maxsplit=_STEAL + 1)[_STEAL]
    return int(steal) * _TICK_S / (os.cpu_count() or 1)


def _waited() -> _Waited:
    """Seconds that each task of this network was kept from running so far, and all together by the hypervisor."""
    waited = {_STOLEN: _stolen_s()}
    network, nice = (_PROC / "self/ns/net").readlink(), os.nice(0)
    for process in _PROC.glob("[0-9]*"):
        with suppress(OSError):  # it has ended
            if (process / "ns/net").readlink() != network or _nice_of(process) > nice:
                continue
            for task in (process / "task").iterdir():
                # proc(5), schedstat: time on a processor, time spent waiting for one (ns), slices
                waited[task.name] = int((task / "schedstat").read_text(encoding="ascii").split()[1]) / 1e9
    return waited


def _nice_of(process: Path) -> int:
    return int((process / "stat").read_text(encoding="ascii", errors="replace").rpartition(")")[2].split()[_NICE])
