"""Whoever waits for a change of the database hears of it from other connections, and misses none in between."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING

import pytest

from crm_api.tables import commit_watch
from crm_api.tables.commit_watch import CommitWatch
from crm_api.tables.database import CrmDatabase
from tests.unit.crm.conftest import POSTGRES_URL, empty_database, url_of

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

LONG_S = 60.0
ON_SQLITE = pytest.mark.skipif(bool(POSTGRES_URL), reason="nothing tells of PostgreSQL's commits")


@pytest.fixture
def stopped() -> threading.Event:
    return threading.Event()


@pytest.fixture
def watch(database: CrmDatabase, stopped: threading.Event) -> Iterator[CommitWatch]:
    database.ping()
    database.rows("SELECT id FROM outbox")  # only now is there a log
    watch = CommitWatch(database, stopped)
    yield watch
    watch.close()


def change(database: CrmDatabase) -> None:
    """Change something as another process would: over a connection of its own."""

    def write() -> None:
        other = CrmDatabase(url_of(database))
        other.rows("INSERT INTO outbox (due_at_ms, scope, payload) VALUES (0, 'panel', '1')")
        other.forget_connection()

    thread = threading.Thread(target=write)
    thread.start()
    thread.join()


def waited_s(watch: CommitWatch, longest_s: float) -> float:
    began_s = time.monotonic()
    watch.wait(longest_s)
    return time.monotonic() - began_s


def test_a_commit_of_another_connection_ends_the_wait(database: CrmDatabase, watch: CommitWatch) -> None:
    watch.wait(0.0)
    writer = threading.Timer(0.0, change, (database,))
    writer.start()
    assert waited_s(watch, LONG_S) < LONG_S / 2
    writer.join()


@ON_SQLITE
def test_a_commit_during_the_look_is_not_missed(database: CrmDatabase, watch: CommitWatch) -> None:
    watch.wait(0.0)
    change(database)
    assert waited_s(watch, LONG_S) < LONG_S / 2
    assert waited_s(watch, 0.2) >= 0.2, "it is told of once"


@ON_SQLITE
def test_a_log_that_was_made_anew_is_watched(database: CrmDatabase, watch: CommitWatch) -> None:
    watch.wait(0.0)
    database.forget_connection()  # the last one: SQLite takes the log away
    assert waited_s(watch, LONG_S) < LONG_S / 2
    database.rows("SELECT id FROM outbox")
    watch.wait(0.0)
    change(database)
    assert waited_s(watch, LONG_S) < LONG_S / 2


@pytest.mark.usefixtures("database")
def test_a_database_that_tells_of_nothing_is_looked_at_in_turns(
    stopped: threading.Event, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_watch, "TURN_S", 0.01)
    (tmp_path / "empty").mkdir()
    for unused in empty_database(tmp_path / "empty"):
        watch = CommitWatch(unused, stopped)
        assert waited_s(watch, LONG_S) < LONG_S / 2
        watch.close()
        assert waited_s(watch, LONG_S) < LONG_S / 2


def test_a_stop_ends_the_wait_after_a_commit(
    database: CrmDatabase, watch: CommitWatch, stopped: threading.Event, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(commit_watch, "SETTLES_S", LONG_S)
    monkeypatch.setattr(commit_watch, "TURN_S", LONG_S)
    watch.wait(0.0)
    change(database)
    stopped.set()
    assert waited_s(watch, LONG_S) < LONG_S / 2
