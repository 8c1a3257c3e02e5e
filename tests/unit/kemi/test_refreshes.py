"""Refreshes of registrations: what goes to memory and journal, and how the journal reaches a real SQLite."""

from __future__ import annotations

import os
import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from kemi_routes import refreshes, registration
from kemi_routes.refreshes import Journal, Refresh, RefreshWriter
from tests.unit.kemi.sip_message import Saved

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from kemi_routes.pipeline import Request
    from tests.unit.kemi.fake_ksr import FakeKsr

    Make = Callable[[FakeKsr], Request]

URI = "sip:h1@127.0.2.1:5060"
SLOT_S = 2
TAKEN_AFTER_S = 2 * SLOT_S


def julian(epoch_s: float) -> float:
    return epoch_s / 86400 + 2440587.5


@dataclass
class Clock:
    """What `time.time` gives."""

    now_s: float = 1_800_000_000.0

    def __call__(self) -> float:
        return self.now_s


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr(time, "time", made)
    return made


@pytest.fixture
def database(tmp_path: Path) -> Path:
    """A database with the contacts r1 and r2, modified at epoch second 100."""
    path = tmp_path / "location.db"
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute(
            "CREATE TABLE location (id INTEGER PRIMARY KEY, ruid TEXT UNIQUE, expires REAL, callid TEXT, cseq INTEGER,"
            " last_modified REAL)"
        )
        connection.executemany(
            "INSERT INTO location (ruid, expires, callid, cseq, last_modified) VALUES (?, ?, 'old', 1, ?)",
            [(ruid, julian(1000), julian(100)) for ruid in ("r1", "r2")],
        )
    return path


def rows(database: Path) -> dict[str, tuple[int, str, int]]:
    """Expiry (epoch seconds), Call-ID and CSeq by ruid."""
    with closing(sqlite3.connect(database)) as connection:
        found = connection.execute("SELECT ruid, expires, callid, cseq FROM location").fetchall()
    return {ruid: (round((expires - 2440587.5) * 86400), call_id, cseq) for ruid, expires, call_id, cseq in found}


def journal_files(database: Path) -> list[Path]:
    return sorted(database.parent.glob("location.db-refreshes.*"))


OLD = (1000, "old", 1)


def test_the_last_refresh_of_a_contact_counts(database: Path, clock: Clock, fake: FakeKsr) -> None:
    journal = Journal(database)
    journal.append(Refresh("r1", 2000, 'call "\n1', 2, 200))
    journal.append(Refresh("r1", 3000, 'call "\n1', 3, 201))
    writer = RefreshWriter(f"sqlite:///{database}")

    writer.tick(fake.ksr)
    assert rows(database)["r1"] == OLD, "the file of now is still being written"
    clock.now_s += TAKEN_AFTER_S
    writer.tick(fake.ksr)

    assert rows(database) == {"r1": (3000, 'call "\n1', 3), "r2": OLD}
    assert journal_files(database) == []
    assert fake.logs == []


def test_what_was_written_through_later_stays(database: Path, clock: Clock, fake: FakeKsr) -> None:
    Journal(database).append(Refresh("r1", 500, "older", 1, 98))
    clock.now_s += TAKEN_AFTER_S
    RefreshWriter(f"sqlite:///{database}").tick(fake.ksr)
    assert rows(database)["r1"] == OLD


def test_who_comes_too_late_writes_again(database: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that stood still between opening the file and writing may have written to one that is gone."""
    real = os.write
    written: list[int] = []

    def slow(file: int, line: bytes) -> int:
        written.append(file)
        if len(written) == 1:
            clock.now_s += TAKEN_AFTER_S
        return real(file, line)

    monkeypatch.setattr(os, "write", slow)
    Journal(database).append(Refresh("r1", 2000, "c", 2, 200))
    assert len(journal_files(database)) == 2
    assert [path.read_bytes().count(b"\n") for path in journal_files(database)] == [1, 1]


def test_a_killed_kamailio_has_left_a_journal(database: Path, clock: Clock, fake: FakeKsr) -> None:
    Journal(database).append(Refresh("r2", 4000, "c", 2, 200))
    with journal_files(database)[0].open("ab") as file:
        file.write(b'["r1", 9000, "half')

    refreshes.take_over(fake.ksr, f"sqlite:///{database}")

    assert clock.now_s == Clock().now_s
    assert rows(database) == {"r1": OLD, "r2": (4000, "c", 2)}
    assert journal_files(database) == []


def test_a_journal_that_cannot_be_taken_over_is_left(tmp_path: Path, fake: FakeKsr) -> None:
    database = tmp_path / "location.db"
    Journal(database).append(Refresh("r1", 4000, "c", 2, 200))
    refreshes.take_over(fake.ksr, f"sqlite:///{database}")  # no table
    assert len(journal_files(database)) == 1
    assert "no such table" in fake.logs[0]


def test_a_journal_waits_for_its_database(tmp_path: Path, clock: Clock, fake: FakeKsr) -> None:
    database = tmp_path / "location.db"
    Journal(database).append(Refresh("r1", 4000, "c", 2, 200))
    clock.now_s += TAKEN_AFTER_S
    writer = RefreshWriter(f"sqlite:///{database}")
    writer.tick(fake.ksr)
    writer.tick(fake.ksr)
    assert len(journal_files(database)) == 1
    assert len(fake.logs) == 1, "said once"


def test_rows_long_over_are_swept(database: Path, clock: Clock, fake: FakeKsr, monkeypatch: pytest.MonkeyPatch) -> None:
    with closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("UPDATE location SET expires = ? WHERE ruid = 'r2'", (julian(clock.now_s - 3500),))
    now = time.monotonic()
    writer = RefreshWriter(f"sqlite:///{database}")
    monkeypatch.setattr(time, "monotonic", lambda: now + 3700)
    writer.tick(fake.ksr)
    assert list(rows(database)) == ["r2"], "r1 is over for years, r2 not yet for an hour"


def test_another_database_has_no_journal(fake: FakeKsr) -> None:
    url = "postgres://user:word@host/location"
    assert refreshes.journal_of(url) is None
    refreshes.take_over(fake.ksr, url)
    RefreshWriter(url).tick(fake.ksr)
    assert fake.calls == []


# ---- REGISTER ----


@pytest.fixture
def register(fake: FakeKsr, database: Path, request_of: Make) -> Callable[[], None]:
    """Handle the REGISTER of the fake's message: contact r1 of handset h1."""
    fake.defines["EP_LOCATION_DB_URL"] = f"sqlite:///{database}"
    fake.message.method = "REGISTER"
    fake.message.headers = [("Contact", f"<{URI}>;expires=600"), ("User-Agent", "phone 1")]
    fake.saved = [Saved("sip:h1@elsewhere", "r2", 60), Saved(URI, "r1", 600)]

    def run() -> None:
        request = request_of(fake)
        request.kind, request.account = "handset", "h1"
        registration.save_contacts(fake.ksr, request)

    return run


def flags(fake: FakeKsr) -> list[object]:
    return [flag for _, flag in fake.called("registrar.save")]


WHOLE = 2
IN_MEMORY = 3


def test_a_refresh_goes_to_the_journal(fake: FakeKsr, database: Path, register: Callable[[], None]) -> None:
    register()
    assert flags(fake) == [WHOLE]
    fake.results["registrar.save"] = 2
    before_s = int(time.time())
    register()

    assert flags(fake) == [WHOLE, IN_MEMORY]
    refreshes.take_over(fake.ksr, f"sqlite:///{database}")
    expires_s, call_id, _ = rows(database)["r1"]
    assert call_id == fake.message.call_id
    assert before_s + 600 <= expires_s <= int(time.time()) + 600
    assert rows(database)["r2"] == OLD


@pytest.mark.parametrize(
    "headers",
    [
        [("Contact", f"<{URI}>;expires=0"), ("User-Agent", "phone 1")],
        [("Contact", f"<{URI}>;expires=600"), ("User-Agent", "phone 1"), ("Expires", "0")],
        [("Contact", f"<{URI}>;expires=600"), ("User-Agent", "phone 2")],
        [("Contact", f"<{URI}>;expires=600, <sip:h1@other>"), ("User-Agent", "phone 1")],
        [("Contact", f"<{URI}>;expires=600"), ("Contact", "<sip:h1@other>"), ("User-Agent", "phone 1")],
        [("Contact", "*"), ("Expires", "0"), ("User-Agent", "phone 1")],
    ],
)
def test_what_says_anything_new_is_written_through(
    fake: FakeKsr, register: Callable[[], None], headers: list[tuple[str, str]]
) -> None:
    register()
    fake.message.headers = headers
    register()
    assert flags(fake) == [WHOLE, WHOLE]


def test_another_source_port_is_written_through(fake: FakeKsr, register: Callable[[], None]) -> None:
    register()
    fake.message.source_port += 1
    register()
    assert flags(fake) == [WHOLE, WHOLE]


def test_a_repeated_refresh_changes_nothing(fake: FakeKsr, register: Callable[[], None]) -> None:
    register()
    register()  # save() says `inserted`, the contact is the one that is known
    assert flags(fake) == [WHOLE, IN_MEMORY]
    assert not fake.called("registrar.unregister_ruid")


def test_a_contact_taken_away_meanwhile_is_saved_whole(fake: FakeKsr, register: Callable[[], None]) -> None:
    register()
    fake.saved = [Saved(URI, "r3", 600)]
    register()
    assert flags(fake) == [WHOLE, IN_MEMORY, WHOLE]
    assert fake.called("registrar.unregister_ruid") == [("location", "sip:h1@entryphone.test", "r3")]


HOME = "sip:h1@127.0.2.1:5060"
MOBILE = "sip:h1@127.0.2.1:5091"


def _at(fake: FakeKsr, uri: str, ruid: str = "r1", mark: str = ';+sip.instance="<urn:uuid:1>"') -> None:
    """The device of ruid `r1` is at this URI now: Kamailio has changed the contact in place."""
    fake.message.headers = [("Contact", f"<{uri}>;expires=600{mark}")]
    fake.saved = [Saved(uri, ruid, 600)]


def test_a_device_that_names_itself_is_written_when_it_moves_and_when_it_comes_back(
    fake: FakeKsr, register: Callable[[], None]
) -> None:
    fake.results["registrar.save"] = 2
    for uri in (HOME, HOME, MOBILE, HOME, HOME):
        _at(fake, uri)
        register()
    assert flags(fake) == [WHOLE, IN_MEMORY, WHOLE, WHOLE, IN_MEMORY]


def test_a_device_that_names_itself_only_now_and_then_is_written(fake: FakeKsr, register: Callable[[], None]) -> None:
    fake.results["registrar.save"] = 2
    for mark in (';+sip.instance="<urn:uuid:1>"', "", ';+sip.instance="<urn:uuid:1>"'):
        _at(fake, HOME, mark=mark)
        fake.message.source_port += not mark
        register()
    assert flags(fake) == [WHOLE, WHOLE, WHOLE]


def test_a_device_that_has_got_another_row_is_written(fake: FakeKsr, register: Callable[[], None]) -> None:
    fake.results["registrar.save"] = 2
    for uri, ruid in ((HOME, "r1"), (MOBILE, "r2"), (HOME, "r2")):
        _at(fake, uri, ruid)
        register()
    assert flags(fake) == [WHOLE, WHOLE, IN_MEMORY, WHOLE]
    register()
    assert flags(fake)[4:] == [IN_MEMORY]


def test_a_full_disk_is_told_and_the_next_refresh_written_through(
    fake: FakeKsr, register: Callable[[], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    register()
    fake.results["registrar.save"] = 2

    def full(_file: int, _line: bytes) -> int:
        raise OSError("No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(os, "write", full)
        register()
    assert len(fake.logs) == 1
    assert "No space left" in fake.logs[0]
    assert len(fake.called("registrar.reg_send_reply")) == 2
    register()
    assert flags(fake) == [WHOLE, IN_MEMORY, WHOLE]
