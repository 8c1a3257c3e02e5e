"""The whole server as a process, with no Redis and no CRM: what peers may do to it, and how it ends."""

from __future__ import annotations

import json
import os
import signal
import socket
import sqlite3
import subprocess
import sys
import threading
import time
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from agi_apps.connection import PEER_DEADLINE_S
from agi_apps.local_store import LocalStore
from lab.probes import shortcoming_of_fastagi
from lab.process_scan import read_process, send_signal, wait_for_stop
from tests.conftest import in_own_network
from tests.free_address import free_address
from tests.unit.agi.fake_asterisk import FakeAsterisk
from tests.unit.agi.stand_ins import SlowRedis, plan_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Server = tuple[subprocess.Popen[bytes], tuple[str, int]]
RING = ("call-1", "p10001", "12")
ENDED = ("call-1", "p10001", "12", "ANSWER", "16", "900", "last_known", "dial", "", "1790000000000", "", "callee", "")


NOBODY = "127.0.0.1:1"
"""Where nobody listens, whatever free port others are given meanwhile."""
OLDEST_KEY_S = 3.0
"""A key that was pressed longer ago opens nothing (`fresh_s` of the applications)."""


def until(condition: Callable[[], object], timeout_s: float = 60) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.02)  # polling another process


def health(address: tuple[str, int]) -> dict[str, object]:
    with socket.create_connection(address, 60) as link:
        link.sendall(b"GET /health HTTP/1.1\r\n\r\n")
        with link.makefile("rb") as answer:
            return dict(json.loads(answer.read().split(b"\r\n\r\n", 1)[1]))


def answers(address: tuple[str, int]) -> bool:
    try:
        return health(address)["status"] in {"ok", "degraded"}
    except (OSError, IndexError):  # closed without an answer
        return False


@pytest.fixture(name="server")
def _server(tmp_path: Path) -> Iterator[Server]:
    with closing(LocalStore(str(tmp_path / "agi.db"))) as store:
        store.remember_plans([("p10001", "12", plan_json())])
    with started(tmp_path, f"redis://{NOBODY}") as server:
        yield server


@contextmanager
def started(tmp_path: Path, redis_url: str) -> Iterator[Server]:
    """The server, with its file in this folder and no CRM."""
    address = free_address()
    config = {
        "agi_address": f"{address[0]}:{address[1]}", "redis_url": redis_url,
        "crm_url": f"http://{NOBODY}", "crm_token": "t", "store_path": str(tmp_path / "agi.db"),
        "workers": 1,
    }  # fmt: skip
    (tmp_path / "agi.json").write_text(json.dumps(config))
    process = subprocess.Popen([sys.executable, "-m", "agi_apps", "--config", str(tmp_path / "agi.json")])
    try:
        until(lambda: answers(address))
        yield process, address
    finally:
        process.terminate()
        process.wait(60)


def test_with_redis_and_crm_away_the_last_known_plan_rings(server: Server) -> None:
    variables = FakeAsterisk(server[1]).agi("ring_all", *RING)
    assert variables["EP_DECISION"] == "dial"
    assert variables["EP_ACCOUNTS"] == "h10012a,h10012b"
    assert variables["EP_PLAN_SOURCE"] == "last_known"


def test_with_redis_and_crm_away_an_old_permission_opens_nothing(server: Server) -> None:
    variables = FakeAsterisk(server[1]).agi("unlock", "call-1", "p10001", "12", "h10012a", "%23", "")
    assert variables["EP_DECISION"] == "failed"
    assert "EP_DOOR_DTMF" not in variables


def test_a_number_nobody_knows_gets_the_fallback_prompt(server: Server) -> None:
    variables = FakeAsterisk(server[1]).agi("ring_all", "call-1", "p10001", "13")
    assert variables["EP_DECISION"] == "prompt"


def test_a_wrong_call_of_an_application_sets_nothing(server: Server) -> None:
    assert FakeAsterisk(server[1]).agi("ring_all", "call-1") == {}
    assert FakeAsterisk(server[1]).agi("nonsense") == {}


def test_bad_peers_disturb_nobody(server: Server) -> None:
    _, address = server
    with socket.create_connection(address):
        pass  # a probe
    half = socket.create_connection(address)
    half.sendall(b"agi_network: yes\nagi_req")
    mute = socket.create_connection(address)  # sends its environment, never answers the command
    mute.sendall(FakeAsterisk.environment("ring_all", *RING))
    noise = socket.create_connection(address)
    noise.sendall(os.urandom(30_000))
    started = time.monotonic()
    assert FakeAsterisk(address).agi("ring_all", *RING)["EP_DECISION"] == "dial"
    assert time.monotonic() - started < PEER_DEADLINE_S, "it waited until one of them was given up"
    for peer in (half, mute, noise):
        peer.settimeout(60)
        try:
            while peer.recv(4_096):
                pass  # the server closes in the end
        except ConnectionResetError:
            pass
        peer.close()
    until(lambda: health(address)["connections_now"] == 1)


def test_a_hang_up_during_the_call_is_no_error(server: Server) -> None:
    fake = FakeAsterisk(server[1], answer=b"HANGUP\n511 Command Not Permitted on a dead channel\n")
    fake.agi("ring_all", *RING)
    assert FakeAsterisk(server[1]).agi("ring_all", *RING)["EP_DECISION"] == "dial"


def test_a_node_of_the_release_before_may_tell_an_end(server: Server, tmp_path: Path) -> None:
    """It passes one argument less: FastAGI is started anew before the nodes (docs/operations.md)."""
    process, address = server
    FakeAsterisk(address).agi("call_ended", *ENDED[:-1])
    process.terminate()
    assert process.wait(60) == 0
    with closing(sqlite3.connect(tmp_path / "agi.db")) as database:
        assert [json.loads(row[0])["moves"] for row in database.execute("SELECT event FROM spooled_event")] == [0]


def test_a_dead_worker_is_replaced_and_its_queue_served(server: Server) -> None:
    process, address = server
    told = health(address)
    worker = int(str(told["pid"]))
    assert told["master_pid"] == process.pid
    os.kill(worker, signal.SIGKILL)
    until(lambda: not Path(f"/proc/{worker}").exists())  # what it had accepted is lost with it
    assert FakeAsterisk(address).agi("ring_all", *RING)["EP_DECISION"] == "dial"


def test_a_worker_that_is_told_to_end_alone_is_replaced(server: Server) -> None:
    """It has shut down a socket that the master goes on with."""
    _, address = server
    worker = int(str(health(address)["pid"]))
    os.kill(worker, signal.SIGTERM)
    until(lambda: not Path(f"/proc/{worker}").exists())
    until(lambda: answers(address))
    assert FakeAsterisk(address).agi("ring_all", *RING)["EP_DECISION"] == "dial"


def test_events_wait_on_disk_while_redis_is_away_and_sigterm_finishes_what_runs(server: Server, tmp_path: Path) -> None:
    process, address = server
    with socket.create_connection(address, 60) as late:
        environment = FakeAsterisk.environment("ring_all", *RING)
        late.sendall(environment[:-1])
        until(lambda: health(address)["connections_now"] == 2)  # and the one that asks
        FakeAsterisk(address).agi("call_ended", *ENDED)
        process.terminate()
        with pytest.raises(subprocess.TimeoutExpired):
            process.wait(0.5)  # a call is still being served
        late.sendall(environment[-1:])
        assert late.recv(4_096).startswith(b"EXEC MSet")
        assert late.recv(4_096) == b""
    assert process.wait(60) == 0
    with closing(sqlite3.connect(tmp_path / "agi.db")) as database:
        events = [json.loads(row[0]) for row in database.execute("SELECT event FROM spooled_event")]
    told = {event["event"]: event for event in events}
    assert (len(events), told["ended"]["result"], told["ended"]["talk_ms"]) == (2, "answered", 900)
    assert told["plan"]["plan_source"] == "last_known"  # of the call that was still served


@pytest.fixture
def _migrates() -> None:
    """What has come to a socket in the moment in which it closes goes to the next one (docs/operations.md)."""
    if in_own_network():
        with suppress(OSError):  # a kernel before 5.14 has none
            Path("/proc/sys/net/ipv4/tcp_migrate_req").write_text("1", encoding="ascii")


@pytest.mark.usefixtures("_migrates")
def test_the_next_server_may_start_first_and_no_call_hears_of_it(server: Server, tmp_path: Path) -> None:
    """While a call lingers at the old one, too."""
    process, address = server
    with socket.create_connection(address, 60) as lingers:
        lingers.sendall(FakeAsterisk.environment("ring_all", *RING)[:-1])
        until(lambda: health(address)["connections_now"] == 2)  # and the one that asks
        following = subprocess.Popen([sys.executable, "-m", "agi_apps", "--config", str(tmp_path / "agi.json")])
        try:
            until(lambda: len({health(address)["pid"] for _ in range(20)}) == 2)
            process.terminate()
            for _ in range(200):
                assert FakeAsterisk(address).agi("ring_all", *RING)["EP_DECISION"] == "dial"
            lingers.sendall(b"\n")
            assert lingers.recv(4_096).startswith(b"EXEC MSet")
            assert process.wait(60) == 0
            assert answers(address)
        finally:
            following.terminate()
            following.wait(60)


@pytest.mark.parametrize(("said_with_it", "is_asked"), [(b"", True), (b"HANGUP\n", False)])
def test_no_number_is_taken_for_a_call_that_went_out_while_this_server_stood_still(
    server: Server, said_with_it: bytes, is_asked: bool
) -> None:
    arguments = ("call-1", "p10001", "112", "1|+7495999|line|112|0||en", "1790000000000")
    with socket.create_connection(server[1], 60) as link:
        link.sendall(FakeAsterisk.environment("emergency", *arguments) + said_with_it)
        assert link.recv(4096).startswith(b"EXEC MSet") is is_asked


def test_a_redis_that_is_too_slow_for_calls_takes_each_event_once_and_frees_the_panels(tmp_path: Path) -> None:
    with SlowRedis(0.3) as redis:
        threading.Thread(target=redis.serve_forever, daemon=True).start()
        with started(tmp_path, redis.url) as (_, address):
            FakeAsterisk(address).agi("call_ended", *ENDED)
            until(lambda: b"EVAL" in [command[0] for command in redis.done], 20)
            time.sleep(1.5)  # longer than the rest between two tries
            assert health(address)["events_spooled"] == 0
        redis.shutdown()
    assert [command[0] for command in redis.done if command[0] != b"PING"] == [b"XADD", b"EVAL"]


def test_a_redis_that_is_too_slow_for_calls_has_apps_woken(tmp_path: Path) -> None:
    stages = [{"ring_timeout_s": 30, "targets": [{"account": "a1", "kind": "app", "may_open": True, "wakes": True}]}]
    with closing(LocalStore(str(tmp_path / "agi.db"))) as store:
        store.remember_plans([("p10001", "12", plan_json(stages=stages))])
    with SlowRedis(0.3) as redis:
        threading.Thread(target=redis.serve_forever, daemon=True).start()
        with started(tmp_path, redis.url) as (_, address):
            variables = FakeAsterisk(address).agi("ring_all", *RING)
            assert variables["EP_ACCOUNTS"] == "~a1"
            until(lambda: [b"XADD", b"ep:pushes"] in [command[:2] for command in redis.done], 20)
        redis.shutdown()


def test_a_worker_that_stood_still_goes_on(server: Server) -> None:
    """It took the end of its standstill for the order to stop, and closed the calls that had queued up."""
    _, address = server
    worker = int(str(health(address)["pid"]))
    stop(worker)
    time.sleep(1)  # longer than its loop waits for that order
    os.kill(worker, signal.SIGCONT)
    time.sleep(1)
    assert health(address)["pid"] == worker


def stop(pid: int) -> None:
    """Let a process stand still; returns when it does."""
    process = read_process(pid)
    assert process is not None
    send_signal([process], signal.SIGSTOP)
    assert wait_for_stop([process])


def left_alone_for(
    process: subprocess.Popen[bytes], address: tuple[str, int], seconds: float, request: bytes
) -> tuple[bytes, float]:
    """What is said to a request that comes while the server stands still, and after how many seconds it was.

    Nothing is said when it is closed without a word.
    """
    worker = int(str(health(address)["pid"]))
    assert worker != process.pid
    stop(process.pid)  # else it takes the worker for stuck
    stop(worker)
    try:
        with socket.create_connection(address, 60) as link:
            sent_s = time.monotonic()
            link.sendall(request)
            time.sleep(seconds)
            os.kill(worker, signal.SIGCONT)
            return link.recv(4_096), time.monotonic() - sent_s
    finally:
        os.kill(worker, signal.SIGCONT)
        os.kill(process.pid, signal.SIGCONT)


PRESSED = ("unlock", "call-1", "p10001", "12", "h10012a", "%23", "")
TYPED = ("access_code", "call-1", "p10001", "access_code", "40719")


@pytest.mark.parametrize("request_", [PRESSED, TYPED])
@pytest.mark.parametrize(("seconds", "is_served"), [(0.5, True), (3.5, False)])
def test_a_key_from_before_this_server_stood_still_opens_nothing(
    server: Server, request_: tuple[str, ...], seconds: float, is_served: bool
) -> None:
    said, took_s = left_alone_for(*server, seconds, FakeAsterisk.environment(*request_))
    while is_served and took_s > OLDEST_KEY_S:  # the whole machine has stood still
        said, took_s = left_alone_for(*server, seconds, FakeAsterisk.environment(*request_))
    assert said.startswith(b"EXEC MSet") is is_served


@pytest.mark.parametrize("request_", [PRESSED, TYPED])
def test_a_key_of_a_call_that_is_over_opens_nothing(server: Server, request_: tuple[str, ...]) -> None:
    with socket.create_connection(server[1], 60) as link:
        link.sendall(FakeAsterisk.environment(*request_) + b"HANGUP\n")
        assert link.recv(4_096) == b""


def test_a_visitor_rings_however_long_this_server_stood_still(server: Server) -> None:
    said, _ = left_alone_for(*server, 3.5, FakeAsterisk.environment("ring_all", *RING))
    assert said.startswith(b"EXEC MSet")


def test_a_damaged_file_keeps_no_visitor_from_ringing(tmp_path: Path) -> None:
    (tmp_path / "agi.db").write_bytes(b"this was a disk once" * 500)
    with started(tmp_path, f"redis://{NOBODY}") as (_, address):
        assert FakeAsterisk(address).agi("ring_all", *RING)["EP_DECISION"] == "prompt"
    assert (tmp_path / "agi.db.damaged").exists()


def test_without_a_place_for_its_file_the_server_runs_and_says_so_until_there_is_one(tmp_path: Path) -> None:
    (tmp_path / "agi.db").mkdir()
    with started(tmp_path, f"redis://{NOBODY}") as (_, address):
        assert FakeAsterisk(address).agi("ring_all", *RING)["EP_DECISION"] == "prompt"
        FakeAsterisk(address).agi("call_ended", *ENDED)
        until(lambda: health(address)["events_spooled"] == 1)
        until(lambda: str(tmp_path / "agi.db") in (shortcoming_of_fastagi(*address) or ""))
        assert "let its user write" in str(health(address)["store"])
        (tmp_path / "agi.db").rmdir()
        until(lambda: health(address)["status"] == "ok")
        until(lambda: shortcoming_of_fastagi(*address) is None)
        with closing(LocalStore(str(tmp_path / "agi.db"))) as store:
            assert store.spooled() == 1
