"""The workers' common file: made by whoever comes first, and what becomes of calls when it cannot be had."""

from __future__ import annotations

import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING

import pytest

from agi_apps import local_store
from agi_apps.local_store import MEMORY, LocalStore
from agi_apps.prefork import STUCK_AFTER_S
from agi_apps.store_opening import open_store, return_to_file

if TYPE_CHECKING:
    from pathlib import Path

NO_DATABASE = b"this was a disk once" * 500


class Passing:
    """Time that passes while `local_store` sleeps, and as long as its tries before take."""

    def __init__(self, a_try_s: float = 0.0) -> None:
        self.now_s, self._a_try_s = 0.0, a_try_s

    def sleep(self, seconds: float) -> None:
        self.now_s += self._a_try_s + seconds

    def of(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(local_store, "time", SimpleNamespace(monotonic=lambda: self.now_s, sleep=self.sleep))


def is_whole(store: LocalStore) -> bool:
    """Whether it keeps what it is given."""
    store.remember_plans([("p1", "12", b"plan")])
    store.remember_leases([("key", b"lease")])
    store.spool([b"1", b"2"])
    with store.taking_spooled(10) as batch:
        assert batch.events == [b"1", b"2"]
    assert store.spooled() == 2  # not delivered
    with store.taking_spooled(10) as batch:
        batch.delivered = True
    kept = (store.last_known_plan("p1", "12"), store.known_lease("key"), store.spooled())
    return kept == (b"plan", b"lease", 0)


def test_workers_that_start_together_make_the_file_together(tmp_path: Path) -> None:
    for turn in range(20):
        together = threading.Barrier(4)

        def start(turn: int = turn, together: threading.Barrier = together) -> None:
            together.wait()
            LocalStore(str(tmp_path / f"{turn}.db")).close()

        with ThreadPoolExecutor(4) as pool:
            for started in [pool.submit(start) for _ in range(4)]:
                started.result()


def test_a_worker_waits_for_another_that_is_slow_about_the_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A disk that others write to may take longer than SQLite waits by itself."""
    path = tmp_path / "agi.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as other:
        other.execute("PRAGMA journal_mode=WAL")
        other.execute("BEGIN IMMEDIATE")

        def goes_on(_: float) -> None:
            if other.in_transaction:
                other.rollback()

        monkeypatch.setattr(local_store, "time", SimpleNamespace(monotonic=lambda: 0.0, sleep=goes_on))
        with closing(open_store(str(path))) as store:
            assert not store.why_in_memory
            assert is_whole(store)


def test_a_file_that_is_damaged_is_put_aside_and_begun_anew(tmp_path: Path) -> None:
    path = tmp_path / "agi.db"
    path.write_bytes(NO_DATABASE)
    for beside in ("agi.db-wal", "agi.db-shm"):
        (tmp_path / beside).write_bytes(b"of the damaged one")
    with closing(open_store(str(path))) as store:
        assert is_whole(store)
    assert (tmp_path / "agi.db.damaged").read_bytes() == NO_DATABASE
    with closing(LocalStore(str(path))) as store:
        assert store.last_known_plan("p1", "12") == b"plan"


def test_of_workers_that_find_it_damaged_together_one_begins_it_anew(tmp_path: Path) -> None:
    """Else the second puts aside what the first has just begun."""
    for turn in range(10):
        path = tmp_path / f"{turn}.db"
        path.write_bytes(NO_DATABASE)
        together = threading.Barrier(4)

        def start(path: Path = path, together: threading.Barrier = together) -> LocalStore:
            together.wait()
            return open_store(str(path))

        with ThreadPoolExecutor(4) as pool:
            stores = [started.result() for started in [pool.submit(start) for _ in range(4)]]
        stores[0].remember_plans([("p1", "12", b"plan")])
        assert [store.last_known_plan("p1", "12") for store in stores] == [b"plan"] * 4
        assert (tmp_path / f"{turn}.db.damaged").read_bytes() == NO_DATABASE
        for store in stores:
            store.close()


def test_without_a_file_the_calls_of_this_process_are_remembered_in_memory(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_bytes(b"")
    for path in (tmp_path / "file" / "agi.db", tmp_path):  # no folder can be made there; no file is a folder
        caplog.clear()
        with closing(open_store(str(path))) as store:
            assert is_whole(store)
        assert [record.levelname for record in caplog.records] == ["ERROR"]


@pytest.mark.parametrize("said", ["attempt to write a readonly database", "disk I/O error", "database or disk is full"])
def test_a_disk_that_takes_nothing_keeps_no_worker_from_its_calls(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str
) -> None:
    class FullDisk(sqlite3.Connection):
        def execute(self, sql: str, /, *_: object) -> sqlite3.Cursor:
            raise sqlite3.OperationalError(f"{said}: {sql}")

    connect = sqlite3.connect

    def connected(path: str, timeout_s: float, **_: object) -> sqlite3.Connection:
        kind = sqlite3.Connection if path == MEMORY else FullDisk
        return connect(path, timeout_s, isolation_level=None, check_same_thread=False, factory=kind)

    monkeypatch.setattr(sqlite3, "connect", connected)
    passing = Passing()
    passing.of(monkeypatch)
    with closing(open_store(str(tmp_path / "agi.db"))) as store:
        assert is_whole(store)
    assert passing.now_s < STUCK_AFTER_S / 2


def test_a_file_that_somebody_holds_is_given_up_before_the_worker_counts_as_stuck(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    passing = Passing(local_store._OPENING_BUSY_S)
    passing.of(monkeypatch)
    path = tmp_path / "agi.db"
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("CREATE TABLE other (a)")
        holder.execute("BEGIN EXCLUSIVE")
        with closing(open_store(str(path))) as store:
            assert is_whole(store)
        assert passing.now_s < STUCK_AFTER_S - 1.5


def test_what_was_kept_in_memory_is_in_the_file_as_soon_as_that_can_be_used(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "agi.db"
    path.mkdir()
    with closing(open_store(str(path))) as store:
        assert str(path) in store.why_in_memory
        assert is_whole(store)
        store.spool([b"first", b"second"])
        returning = threading.Thread(target=return_to_file, args=(store, str(path), 0.05))
        returning.start()
        returning.join(0.3)
        assert returning.is_alive()
        path.rmdir()
        returning.join(60)
        assert not store.why_in_memory
        store.remember_leases([("k2", b"lease")])
        with closing(LocalStore(str(path))) as file:
            assert file.last_known_plan("p1", "12") == b"plan"
            assert file.known_lease("k2") == b"lease"
            with file.taking_spooled(10) as batch:
                assert batch.events[-2:] == [b"first", b"second"]
        assert "can be used again" in caplog.text


@pytest.mark.parametrize(("in_the_file", "kept"), [(1, "ours"), (3, "theirs"), (None, "ours")])
def test_a_newer_plan_of_another_worker_stays_in_the_file(tmp_path: Path, in_the_file: int | None, kept: str) -> None:
    theirs = b"no plan" if in_the_file is None else b'{"issued_at_ms": %d, "of": "theirs"}' % in_the_file
    with closing(LocalStore(MEMORY)) as store, closing(LocalStore(str(tmp_path / "agi.db"))) as file:
        store.remember_plans([("p1", "12", b'{"issued_at_ms": 2, "of": "ours"}')])
        file.remember_plans([("p1", "12", theirs)])
        store.go_on_in(file)
        assert kept.encode() in (store.last_known_plan("p1", "12") or b"")


def test_back_in_its_file_a_read_waits_for_no_delivery(tmp_path: Path) -> None:
    with closing(LocalStore(MEMORY)) as store, closing(LocalStore(str(tmp_path / "agi.db"))) as file:
        assert is_whole(store)
        store.go_on_in(file)
        with store.taking_spooled(10), ThreadPoolExecutor() as calls:
            assert calls.submit(store.last_known_plan, "p1", "12").result(60) == b"plan"


def test_a_file_that_takes_nothing_leaves_all_in_memory(tmp_path: Path) -> None:
    with closing(LocalStore(MEMORY)) as store, closing(LocalStore(str(tmp_path / "agi.db"), 0.05)) as file:
        store.why_in_memory = "no disk"
        assert is_whole(store)
        with closing(sqlite3.connect(tmp_path / "agi.db", isolation_level=None)) as holder:
            holder.execute("BEGIN IMMEDIATE")
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                store.go_on_in(file)
        assert store.why_in_memory
        assert is_whole(store)


def test_what_is_remembered_in_memory_has_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_store, "MEMORY_LIMIT_BYTES", 1_000_000)
    with closing(LocalStore(MEMORY)) as store:
        with pytest.raises(sqlite3.OperationalError, match="full"):
            store.spool([b"x" * 1_000] * 2_000)
        assert is_whole(store)
