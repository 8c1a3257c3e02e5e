"""Background processes that nobody can ask: a heartbeat tells whether they get on with their work."""

from __future__ import annotations

import os
import re
import signal
import socket
import time
from typing import TYPE_CHECKING

import pytest

from agi_apps.sound_shipper import ALIVE
from crm_api.adapters.heartbeat import SILENT_S, Heartbeat
from lab.probes import redis_command
from lab.services import EMERGENCY_HEARTBEAT, JOBS_HEARTBEAT, WEBHOOKS_HEARTBEAT

if TYPE_CHECKING:
    from collections.abc import Callable

    import redis as redis_py

    from lab.stack import Stack

_KEYS = {
    "crm-emergency": EMERGENCY_HEARTBEAT,
    "crm-jobs": JOBS_HEARTBEAT,
    "crm-webhooks": WEBHOOKS_HEARTBEAT,
}


def _until(holds: Callable[[], bool], what: str) -> None:
    deadline_s = time.monotonic() + 20
    while not holds():
        assert time.monotonic() < deadline_s, what
        time.sleep(0.02)  # neither Redis nor a file tells of it


def _make_old(stack: Stack, name: str, age_s: float) -> None:
    """Have the last heartbeat be so old, of a process that stands still."""
    at_s = time.time() - age_s
    if name == "sounds":
        os.utime(stack.settings.lib / "sounds" / ALIVE, (at_s, at_s))
    else:
        redis = stack.settings.redis_host, stack.settings.redis_port
        redis_command(*redis, "SET", _KEYS[name], str(int(at_s * 1000)))


@pytest.mark.stack
@pytest.mark.parametrize("name", ["sounds", *_KEYS])
def test_one_that_hangs_is_told_and_is_well_when_it_goes_on(stack: Stack, name: str) -> None:
    service = stack.services[name]
    assert service.probe() is None
    stack.kill(name, signal.SIGSTOP)
    try:
        (line,) = (line for line in stack.status() if line.name == name)
        assert not line.healthy
        assert line.problem.startswith("stands still")
        _make_old(stack, name, 100)
        assert re.search(r"is 1\d\d s old", service.probe() or "")
    finally:
        stack.kill(name, signal.SIGCONT)
    _until(lambda: service.probe() is None, f"{name} goes on, and says nothing")
    (line,) = (line for line in stack.status() if line.name == name)
    assert line.healthy, line.problem


@pytest.mark.stack
def test_a_worker_that_is_stopped_is_told_although_another_answers(stack: Stack) -> None:
    (_, *workers) = sorted(stack.pids("agi"))
    assert workers
    os.kill(workers[0], signal.SIGSTOP)
    try:
        _until(lambda: _problem(stack, "agi").startswith("stands still"), "agi is healthy")
        assert f"stopped by a signal ({workers[0]});" in _problem(stack, "agi")
    finally:
        os.kill(workers[0], signal.SIGCONT)
    _until(lambda: _problem(stack, "agi") == "", "agi goes on")


def _problem(stack: Stack, name: str) -> str:
    return next(line.problem for line in stack.status() if line.name == name)


def test_the_last_moment_is_in_redis_also_after_redis_was_away(
    redis_lab: Stack, client: redis_py.Redis, url: str
) -> None:
    moments = iter(range(1_000, 100_000))
    heartbeat = Heartbeat(url, "ep:test_at_ms", lambda: next(moments))
    heartbeat.beat()
    _until(lambda: client.get("ep:test_at_ms") == b"1000", "no heartbeat")
    redis_lab.kill("redis")
    heartbeat.beat()
    redis_lab.start("redis")

    def is_written() -> bool:
        heartbeat.beat()
        return int(client.get("ep:test_at_ms") or 0) > 1_000

    _until(is_written, "no heartbeat after Redis was away")


def test_a_redis_that_hangs_holds_up_no_work() -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        heartbeat = Heartbeat(f"redis://127.0.0.1:{silent.getsockname()[1]}/0", "ep:test_at_ms", lambda: 1)
        heartbeat.beat()
        connection, _ = silent.accept()  # the thread has begun to write, and waits
        with connection:
            began_s = time.monotonic()
            for _ in range(1000):
                heartbeat.beat()
            assert time.monotonic() - began_s < 60, f"each that waits takes {SILENT_S} s"
