"""Processes of an instance are found and ended, whoever started them and whatever happened to their leader."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab import process_scan
from lab.process_scan import LAB_MARK, NAME_MARK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    Begin = Callable[[str], tuple[subprocess.Popen[str], str]]

STUBBORN = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); signal.pause()"
PARENT = (
    "import subprocess, sys, signal;"
    "p = subprocess.Popen([sys.executable, '-c', 'import signal; print(1, flush=True); signal.pause()'],"
    " stdout=subprocess.PIPE, start_new_session=True); p.stdout.readline(); print(p.pid, flush=True); signal.pause()"
)


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Begin]:
    """Starts marked Python programs; gives the process and its first line of output."""
    started: list[subprocess.Popen[str]] = []

    def begin(program: str) -> tuple[subprocess.Popen[str], str]:
        process = subprocess.Popen(
            [sys.executable, "-c", program],
            env={**os.environ, LAB_MARK: str(tmp_path), NAME_MARK: "one"},
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        started.append(process)
        assert process.stdout is not None
        return process, process.stdout.readline().strip()

    yield begin
    process_scan.end_processes(tmp_path, tmp_path / "run", grace_s=0)
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def pids_of(directory: Path) -> set[int]:
    return {process.pid for process in process_scan.processes_of(directory, directory / "run")}


def test_marked_processes_and_only_those_are_found(tmp_path: Path, start: Begin) -> None:
    process, child = start(PARENT)
    assert pids_of(tmp_path) == {process.pid, int(child)}
    assert pids_of(tmp_path / "other") == set()


def test_orphans_of_a_killed_leader_are_ended(tmp_path: Path, start: Begin) -> None:
    process, child = start(PARENT)
    process.kill()
    process.wait()
    assert pids_of(tmp_path) == {int(child)}
    assert process_scan.end_processes(tmp_path, tmp_path / "run") == [int(child)]
    assert pids_of(tmp_path) == set()


def test_what_ignores_term_is_killed(tmp_path: Path, start: Begin) -> None:
    process, _ = start(STUBBORN)
    assert process_scan.end_processes(tmp_path, tmp_path / "run", grace_s=0.2) == [process.pid]
    assert process.wait() == -signal.SIGKILL


def test_nothing_to_end_is_no_error(tmp_path: Path) -> None:
    assert process_scan.end_processes(tmp_path, tmp_path / "run") == []


def test_the_command_itself_and_its_parents_are_spared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process_scan, "environment_of", lambda _pid: {LAB_MARK: str(tmp_path)})
    assert not pids_of(tmp_path) & {os.getpid(), os.getppid()}


def test_a_zombie_is_no_running_process() -> None:
    process = subprocess.Popen([sys.executable, "-c", ""])
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    assert process_scan.read_process(process.pid) is None
    process.wait()


def test_a_pid_used_again_is_not_signalled(start: Begin) -> None:
    process, _ = start(STUBBORN)
    now = process_scan.read_process(process.pid)
    assert now is not None
    earlier = process_scan.RunningProcess(**{**vars(now), "started_ticks": now.started_ticks - 1})
    process_scan.send_signal([earlier], signal.SIGKILL)
    assert process_scan.wait_for_exit([earlier], 0.1)
    assert process.poll() is None


def test_waiting_ends_with_the_process_or_the_time(start: Begin) -> None:
    process, _ = start(STUBBORN)
    now = process_scan.read_process(process.pid)
    assert now is not None
    assert not process_scan.wait_for_exit([now], 0.05)
    process.kill()
    assert process_scan.wait_for_exit([now], 60)


THREAD_OUTLIVES_LEADER = """
import ctypes, platform, threading
def stay():
    print('ready', flush=True)
    threading.Event().wait()
threading.Thread(target=stay).start()
ctypes.CDLL(None).syscall({'x86_64': 60, 'aarch64': 93}[platform.machine()], 0)  # exit(2): of this thread only
"""


def test_a_zombie_leader_with_a_running_thread_has_not_ended(start: Begin) -> None:
    process, line = start(THREAD_OUTLIVES_LEADER)
    assert line == "ready"
    leader = process_scan.read_process(process.pid, zombies=True)
    assert leader is not None
    assert not process_scan.wait_for_exit([leader], 0.1)
    process.send_signal(signal.SIGKILL)
    assert process_scan.wait_for_exit([leader], 60)
    assert process.wait(60) is not None


def test_members_are_session_mark_and_children() -> None:
    def process(pid: int, parent: int, session: int) -> process_scan.RunningProcess:
        return process_scan.RunningProcess(pid, parent, session, 0, 0, 0, "S")

    leader, worker, own_session, stranger = 2**30, 2**30 + 1, 2**30 + 2, 2**30 + 3
    everything = [
        process(leader, 1, leader),
        process(worker, leader, leader),
        process(own_session, worker, own_session),
        process(stranger, 1, stranger),
    ]
    found = process_scan.members(everything, "name", leader)
    assert [one.pid for one in found] == [leader, worker, own_session]


def test_command_names_with_parentheses_are_read(tmp_path: Path) -> None:
    program = tmp_path / "a) R 1 (b"
    program.symlink_to(Path(sys.executable).resolve())
    with subprocess.Popen([program, "-c", "input()"], stdin=subprocess.PIPE) as process:
        found = process_scan.read_process(process.pid)
        assert found is not None
        assert found.parent_pid == os.getpid()
