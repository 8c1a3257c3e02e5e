"""`make up`, `make status` and `make down` of an instance of its own, also after crashes.

The instance has its own network namespace: the session's stack uses the same addresses. The namespace lives as long as
the process that holds it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from lab.process_scan import processes_of, read_process, wait_for_exit
from lab.settings import LabSettings
from lab.stack import instance_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = pytest.mark.timeout(240)
SERVICES = {
    "redis",
    "kamailio",
    "ast1",
    "ast2",
    "ast-probe",
    "ast-emergency",
    "agi",
    "sounds",
    "crm",
    "crm-outbox",
    "crm-call-records",
    "crm-jobs",
    "crm-emergency",
    "crm-pushes",
    "crm-voice",
    "crm-webhooks",
    "scheduler",
}


class Instance:
    """The lab's command line on a directory and a network of its own."""

    def __init__(self, directory: Path, network_pid: int) -> None:
        self.settings = replace(LabSettings(), directory=directory)
        self._prefix = ["nsenter", f"--net=/proc/{network_pid}/ns/net"]
        self._command = [str(self.settings.python), "-m", "lab", "--directory", str(directory)]

    def lab(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [*self._prefix, *self._command, *arguments],
            cwd=self.settings.repository,
            capture_output=True,
            text=True,
            check=False,
        )

    def begin(self, *arguments: str) -> subprocess.Popen[str]:
        command = [*self._prefix, *self._command, *arguments]
        return subprocess.Popen(command, cwd=self.settings.repository, stdout=subprocess.PIPE, text=True)

    def leader(self, name: str) -> int:
        return int(json.loads((self.settings.records / f"{name}.json").read_text())["pid"])

    def kill(self, name: str) -> None:
        process = read_process(self.leader(name))
        assert process is not None, f"{name} does not run"
        os.kill(process.pid, signal.SIGKILL)
        assert wait_for_exit([process], 5)

    def pids(self) -> list[int]:
        return [process.pid for process in processes_of(self.settings.directory, self.settings.run)]

    def status(self) -> tuple[int, dict[str, tuple[str, str]]]:
        """Exit code, and for each process its state and its line."""
        done = self.lab("status")
        lines = [line for line in done.stdout.splitlines()[1:] if line.strip()]
        return done.returncode, {line.split()[0]: (line.split()[1], line) for line in lines}


@pytest.fixture(scope="module")
def instance(own_labs: Path) -> Iterator[Instance]:
    script = "ip link set lo up && echo ready && exec cat"
    with subprocess.Popen(
        ["unshare", "--net", "sh", "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as network:
        assert network.stdout is not None
        assert network.stdin is not None
        assert network.stdout.readline() == "ready\n"
        made = Instance(own_labs / "lab", network.pid)
        try:
            yield made
        finally:
            made.lab("down")
            network.stdin.close()


@pytest.fixture
def running(instance: Instance) -> Iterator[Instance]:
    done = instance.lab("up")
    assert done.returncode == 0, done.stdout + done.stderr
    yield instance
    instance.lab("down")


def mounts_of(directory: Path) -> list[str]:
    """Mounts of any process of the machine that show this directory."""
    found = set()
    for file in Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            found |= {line for line in file.read_text().splitlines() if str(directory) in line}
        except OSError:
            continue
    return sorted(found)


def assert_nothing_left(instance: Instance) -> None:
    assert instance.pids() == []
    assert mounts_of(instance.settings.directory) == []


def test_everything_is_healthy_after_up_and_gone_after_down(running: Instance) -> None:
    code, lines = running.status()
    assert {name: state for name, (state, _) in lines.items()} == dict.fromkeys(SERVICES, "healthy")
    assert code == 0
    assert mounts_of(running.settings.directory) != []
    town = json.loads(running.settings.town_file.read_text())
    assert town["sip"]["domain"] == "entryphone.test"
    assert running.settings.town_file.stat().st_mode & 0o777 == 0o600
    assert running.lab("down").returncode == 0
    assert_nothing_left(running)


def test_second_up_starts_nothing_anew(running: Instance) -> None:
    before = sorted(running.pids())
    assert running.lab("up").returncode == 0
    assert set(before) <= set(running.pids())
    assert {running.leader(name) for name in SERVICES} <= set(before)


def test_killed_leaders_are_told_and_their_orphans_ended(running: Instance) -> None:
    for name in ("crm", "agi", "kamailio", "ast1"):
        running.kill(name)
    code, lines = running.status()
    assert code == 1
    assert {name for name, (state, _) in lines.items() if state == "down"} >= {"crm", "agi", "kamailio", "ast1"}
    assert "has ended" in lines["ast1"][1] or "others run" in lines["ast1"][1]
    assert lines["redis"][0] == "healthy"
    assert running.lab("down").returncode == 0
    assert_nothing_left(running)


def test_up_repairs_what_was_killed(running: Instance) -> None:
    kept = running.leader("redis")
    for name in ("crm", "kamailio", "ast2"):
        running.kill(name)
    done = running.lab("up")
    assert done.returncode == 0, done.stdout + done.stderr
    assert running.status()[0] == 0
    assert running.leader("redis") == kept


def test_everything_killed_at_once_leaves_nothing(running: Instance) -> None:
    for pid in running.pids():
        with contextlib.suppress(ProcessLookupError):  # it has ended with its parent
            os.kill(pid, signal.SIGKILL)
    assert running.status()[0] == 1
    assert running.lab("down").returncode == 0
    assert_nothing_left(running)


def test_killed_up_command_leaves_nothing_after_down(instance: Instance) -> None:
    with instance.begin("up") as command:
        assert command.stdout is not None
        assert "healthy" in command.stdout.readline()  # the first server is up, the others are on their way
        command.kill()
    assert instance.pids() != []
    assert instance.lab("down").returncode == 0
    assert_nothing_left(instance)


def test_commands_wait_for_one_another(instance: Instance) -> None:
    with instance_lock(instance.settings.directory), instance.begin("down") as command:
        with pytest.raises(subprocess.TimeoutExpired):
            command.wait(0.7)
        with pytest.raises(BlockingIOError), instance_lock(instance.settings.directory, wait=False):
            pass
        command.kill()


def test_nothing_is_started_where_somebody_else_listens(instance: Instance) -> None:
    (instance.settings.etc).mkdir(parents=True, exist_ok=True)
    blocker = subprocess.Popen(
        [*instance._prefix, str(instance.settings.python), "-c", HOLD_REDIS_PORT], stdout=subprocess.PIPE, text=True
    )
    try:
        assert blocker.stdout is not None
        assert blocker.stdout.readline() == "bound\n"
        done = instance.lab("up")
        assert done.returncode == 1
        assert "127.0.0.40:6379 of redis" in done.stderr
        assert "Traceback" not in done.stderr
        assert_nothing_left(instance)
    finally:
        blocker.kill()
        blocker.wait()
        assert blocker.stdout is not None
        blocker.stdout.close()
        assert instance.lab("down").returncode == 0
    assert_nothing_left(instance)


def test_a_lab_of_another_checkout_is_named(running: Instance, tmp_path: Path) -> None:
    other = [*running._prefix, *running._command[:-1], str(tmp_path / "other")]
    done = subprocess.run([*other, "up"], cwd=running.settings.repository, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert f"the lab of {running.settings.directory} runs: `make down`" in done.stderr
    assert processes_of(tmp_path / "other", tmp_path / "other" / "run") == []
    assert running.status()[0] == 0


HOLD_REDIS_PORT = """
import signal, socket
server = socket.create_server(("127.0.0.40", 6379))
print("bound", flush=True)
signal.pause()
"""


def test_postgres_starts_when_asked(instance: Instance) -> None:
    done = instance.lab("up", "postgres")
    assert done.returncode == 0, done.stdout + done.stderr
    assert instance.status()[1]["postgres"][0] == "healthy"
    assert instance.lab("down").returncode == 0
    assert_nothing_left(instance)
