"""Ends what labs of this checkout left whose command has died: a bench, a session of tests.

Whoever works on a lab holds its lock, or that of a directory above it (`instance_lock`), for as long as it lives; the
kernel lets go of it for one that was killed. What nobody holds is a leftover.
"""

from __future__ import annotations

import os
import shutil
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from lab.process_scan import all_processes, ancestors, end_processes, instance_of
from lab.stack import instance_lock

if TYPE_CHECKING:
    from collections.abc import Collection


def running_below(directory: Path) -> dict[Path, str]:
    """Labs below a directory of which processes run, and how these name them. Those that started us do not count."""
    here, ours = directory.resolve(), ancestors(os.getpid())
    found: dict[Path, str] = {}
    for process in all_processes():
        mark = "" if process.pid in ours else instance_of(process.pid)
        if mark and (place := Path(mark).resolve()).is_relative_to(here):
            found[place] = mark
    return found


def end_leftovers(
    directory: Path, *, spared: Collection[Path] = (), wait: bool = False
) -> tuple[list[int], list[Path]]:
    """End every process of the labs below a directory that nobody is at work on.

    Args:
        directory: `var` of a checkout; labs elsewhere, and so those of other checkouts, are left alone.
        spared: labs that are left alone, too.
        wait: also of those that somebody is at work on, once they have done.

    Returns:
        The pids that were there, and the labs that were left as somebody is at work on them.
    """
    ended: list[int] = []
    seen = {path.resolve() for path in spared}
    busy: list[Path] = []
    while found := {place: mark for place, mark in running_below(directory).items() if place not in seen}:
        for place, mark in found.items():
            try:
                with ExitStack() as locks:
                    for path in _locks_over(place, directory.resolve()):
                        locks.enter_context(instance_lock(path, wait=wait))
                    ours = end_processes(Path(mark), Path(mark) / "run")
                ended += ours
                if not ours:  # they have ended by themselves, or are none that we could find again
                    seen.add(place)
            except BlockingIOError:
                busy.append(place)
                seen.add(place)
    return ended, busy


def discard_leftovers(directory: Path) -> None:
    """End every process of the labs below a directory that nobody is at work on, and remove what is in there of them.

    What is directly below it must have a lock of its own before it is made.
    """
    end_leftovers(directory)
    for place in sorted(directory.iterdir()):
        if place.is_dir():
            with suppress(BlockingIOError), instance_lock(place, wait=False):
                shutil.rmtree(place, ignore_errors=True)  # another session may do the same
                place.with_name(f"{place.name}.lock").unlink(missing_ok=True)


def _locks_over(place: Path, directory: Path) -> list[Path]:
    """What may be locked of a lab and the directories above it, outermost first, as whoever holds both has taken them.

    Nobody starts a process without the lock, so where there is no lock file nobody holds one.
    """
    above = [path for path in (place, *place.parents) if path != directory and path.is_relative_to(directory)]
    return [path for path in reversed(above) if path.with_name(f"{path.name}.lock").exists()]
