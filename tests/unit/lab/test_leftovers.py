"""`make down` ends what killed benches and tests of its checkout left, and nothing that somebody is at work on."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from lab import __main__ as command_line
from lab import process_scan
from lab.leftovers import discard_leftovers, end_leftovers, running_below
from lab.process_scan import LAB_MARK, MARK_FILE, instance_of
from lab.settings import LabSettings
from lab.stack import instance_lock

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    Begin = Callable[[Path], subprocess.Popen[bytes]]


@pytest.fixture
def begin() -> Iterator[Begin]:
    """Starts a process of the lab at a directory."""
    started: list[subprocess.Popen[bytes]] = []

    def start(directory: Path) -> subprocess.Popen[bytes]:
        directory.mkdir(parents=True, exist_ok=True)
        process = subprocess.Popen(
            [sys.executable, "-c", "import signal; signal.pause()"],
            env={**os.environ, LAB_MARK: str(directory)},
            start_new_session=True,
        )
        started.append(process)
        return process

    yield start
    for process in started:
        process.kill()
        process.wait()


def test_what_a_killed_bench_left_is_ended_and_another_checkout_is_left_alone(tmp_path: Path, begin: Begin) -> None:
    ours = [begin(tmp_path / "var" / "bench-lab" / name) for name in ("platform", "load")]
    others = [begin(tmp_path / other / "bench-lab") for other in ("var2", "other/var", "va")]
    assert end_leftovers(tmp_path / "var") == (sorted(process.pid for process in ours), [])
    assert [process.wait(5) for process in ours] == [-15, -15]
    assert [process.poll() for process in others] == [None, None, None]


def test_what_somebody_is_at_work_on_is_left_alone_and_named(tmp_path: Path, begin: Begin) -> None:
    bench, session = tmp_path / "bench-lab", tmp_path / "test-labs" / "1-a"
    at_work = [begin(bench / "platform"), begin(session / "redis")]
    left = begin(tmp_path / "test-labs" / "2-b" / "redis")
    with instance_lock(bench), instance_lock(session):
        ended, busy = end_leftovers(tmp_path)
        assert (ended, set(busy)) == ([left.pid], {bench / "platform", session / "redis"})
        assert [process.poll() for process in at_work] == [None, None]
    assert set(end_leftovers(tmp_path)[0]) == {process.pid for process in at_work}


def test_directories_of_killed_sessions_go_with_their_processes(tmp_path: Path, begin: Begin) -> None:
    gone, at_work = begin(tmp_path / "1-a" / "redis"), begin(tmp_path / "2-b" / "redis")
    with instance_lock(tmp_path / "2-b"):
        discard_leftovers(tmp_path)
        assert sorted(path.name for path in tmp_path.iterdir()) == ["2-b", "2-b.lock"]
    assert gone.wait(5) == -15
    assert at_work.poll() is None


def test_a_checkout_reached_by_a_link_is_the_same(tmp_path: Path, begin: Begin) -> None:
    (tmp_path / "disk").mkdir()
    (tmp_path / "var").symlink_to(tmp_path / "disk")
    process = begin(tmp_path / "var" / "lab")
    assert running_below(tmp_path / "var") == {tmp_path / "disk" / "lab": str(tmp_path / "var" / "lab")}
    assert end_leftovers(tmp_path / "var") == ([process.pid], [])


def test_a_server_that_has_overwritten_its_environment_is_named_by_its_mount(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As its root has the run directory of the instance at `/run/entryphone`."""
    settings = LabSettings(directory=tmp_path / "lab")
    settings.create_directories()
    seen = tmp_path / "proc" / "42" / "root" / "run" / "entryphone"
    seen.mkdir(parents=True)
    monkeypatch.setattr(process_scan, "PROC", tmp_path / "proc")
    assert instance_of(42) == ""
    (seen / MARK_FILE).write_bytes((settings.run / MARK_FILE).read_bytes())
    assert instance_of(42) == str(settings.directory)


@pytest.mark.parametrize("default", [True, False])
def test_down_ends_leftovers_of_the_checkout_but_not_for_one_instance(
    tmp_path: Path, begin: Begin, monkeypatch: pytest.MonkeyPatch, default: bool
) -> None:
    monkeypatch.setattr(command_line, "VAR", tmp_path)
    monkeypatch.setattr(command_line, "DEFAULT_DIRECTORY", tmp_path / ("lab" if default else "another"))
    own, left = begin(tmp_path / "lab"), begin(tmp_path / "bench-lab" / "platform")
    settings = LabSettings(directory=tmp_path / "lab")
    assert command_line.down(settings, argparse.Namespace(wait=False)) == 0
    assert own.wait(5) == -15
    if default:
        assert left.wait(5) == -15
    else:
        assert left.poll() is None


IN_OWN_MOUNTS = """
mount -t tmpfs tmpfs /run && mkdir /run/entryphone && printf %s "$1" > /run/entryphone/lab-directory && echo ready &&
exec env --ignore-environment "$2" -c 'import signal; signal.pause()'
"""


def test_a_server_whose_files_are_seen_by_itself_alone_is_ended(tmp_path: Path) -> None:
    """As Redis on a file system that the test which has mounted it has taken along."""
    command = ["unshare", "--mount", "--propagation", "private", "sh", "-c", IN_OWN_MOUNTS, "sh"]
    with subprocess.Popen([*command, str(tmp_path / "lab"), sys.executable], stdout=subprocess.PIPE) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline() == b"ready\n"
            assert end_leftovers(tmp_path) == ([process.pid], [])
        finally:
            process.kill()
