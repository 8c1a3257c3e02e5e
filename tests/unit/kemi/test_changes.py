"""Following changes of accounts: what Kamailio keeps of them is dropped, whatever was away or down meanwhile."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes.changes import ChangeFollower
from tests.unit.kemi.sip_message import Contact

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.kemi.fake_ksr import FakeKsr


def cached(fake: FakeKsr, *names: str) -> None:
    for name in names:
        fake.tables["accounts"][name] = "h|panel|1|0"


def test_changes_before_the_start_drop_nothing(fake: FakeKsr, follower: ChangeFollower) -> None:
    fake.changes = [(1, "a"), (2, "b")]
    cached(fake, "a", "b")
    follower.tick(fake.ksr)
    follower.tick(fake.ksr)
    assert set(fake.tables["accounts"]) == {"a", "b"}


def test_a_change_drops_now_and_once_more(fake: FakeKsr, follower: ChangeFollower) -> None:
    follower.tick(fake.ksr)
    cached(fake, "a")
    fake.changes.append((5, "a"))
    follower.tick(fake.ksr)
    assert not fake.tables["accounts"]
    cached(fake, "a")  # a worker that had read the old row
    follower.tick(fake.ksr)
    assert not fake.tables["accounts"]
    cached(fake, "a")
    follower.tick(fake.ksr)
    assert set(fake.tables["accounts"]) == {"a"}


def test_contacts_of_a_removed_account_go_those_of_a_changed_one_stay(fake: FakeKsr, follower: ChangeFollower) -> None:
    follower.tick(fake.ksr)
    fake.database = {"kept": ("h", "app", 0)}
    fake.location = {name: [Contact(f"sip:{name}@127.0.2.1", name)] for name in ("kept", "removed", "other")}
    fake.changes += [(1, "kept"), (2, "removed"), (3, "nobody"), (4, "trunk:carrier-a")]
    follower.tick(fake.ksr)
    assert set(fake.location) == {"kept", "removed", "other"}
    follower.tick(fake.ksr)
    assert set(fake.location) == {"kept", "other"}


def test_phones_of_the_old_password_go_at_once_and_those_of_the_new_one_stay(
    fake: FakeKsr, follower: ChangeFollower
) -> None:
    follower.tick(fake.ksr)
    fake.database = {"a": ("h", "app", 0)}
    fake.location = {name: [Contact(f"sip:{name}@127.0.2.1", name)] for name in ("a", "b")}
    fake.changes += [(1, "contacts:a"), (2, "a")]
    follower.tick(fake.ksr)
    assert set(fake.location) == {"b"}
    fake.location["a"] = [Contact("sip:a@127.0.2.2", "a")]
    follower.tick(fake.ksr)
    assert set(fake.location) == {"a", "b"}


def _started(tmp_path: Path) -> ChangeFollower:
    return ChangeFollower("entryphone.test", str(tmp_path / "emergency.json"))


def _ring(fake: FakeKsr, *names: str) -> None:
    fake.location = {name: [Contact(f"sip:{name}@127.0.2.1", name)] for name in names}


def test_phones_of_a_password_that_was_changed_while_kamailio_was_down_go_at_its_start(
    fake: FakeKsr, tmp_path: Path
) -> None:
    fake.database = dict.fromkeys(("early", "a", "b"), ("h", "app", 0))
    fake.changes = [(1, "contacts:early"), (2, "early")]
    _started(tmp_path).tick(fake.ksr)
    before = _started(tmp_path)
    before.tick(fake.ksr)
    fake.changes += [(3, "b")]
    before.tick(fake.ksr)
    _ring(fake, "early", "a", "b")
    fake.changes += [(4, "contacts:a"), (5, "a")]
    after = _started(tmp_path)
    after.tick(fake.ksr)
    assert set(fake.location) == {"early", "b"}, "what was done before is not done again"
    _ring(fake, "a")
    after.tick(fake.ksr)
    assert set(fake.location) == {"a"}, "registered with the new password"
    _started(tmp_path).tick(fake.ksr)
    assert set(fake.location) == {"a"}


def test_a_change_between_the_start_and_the_first_look_is_felt(fake: FakeKsr, tmp_path: Path) -> None:
    fake.changes = [(1, "b")]
    _started(tmp_path).tick(fake.ksr)
    cached(fake, "a", "b")
    fake.changes += [(2, "a")]
    _started(tmp_path).tick(fake.ksr)
    assert set(fake.tables["accounts"]) == {"b"}


@pytest.mark.parametrize("kept", [None, '{"last"', '{"last": 9, "rows": [[9, "a"]]}'])
def test_where_nobody_knows_what_is_done_contacts_go_that_changes_name(
    fake: FakeKsr, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: str | None
) -> None:
    """First start, a file that is damaged, a database that was put back from a backup."""
    monkeypatch.setattr("kemi_routes.changes._BATCH", 2)
    if kept is not None:
        (tmp_path / "changes-done.json").write_text(kept)
    fake.database = {"e": ("h", "app", 0)}
    _ring(fake, "a", "b", "c", "d", "e")
    fake.changes = [(1, "contacts:a"), (2, "contacts:b"), (3, "e"), (4, "contacts:c"), (5, "contacts:d")]
    _started(tmp_path).tick(fake.ksr)
    assert set(fake.location) == {"e"}
    _ring(fake, "a")
    _started(tmp_path).tick(fake.ksr)
    assert set(fake.location) == {"a"}, "known from then on"


def test_a_database_that_is_away_at_the_start_is_waited_for(fake: FakeKsr, tmp_path: Path) -> None:
    _started(tmp_path).tick(fake.ksr)
    _ring(fake, "a")
    fake.changes = [(1, "contacts:a"), (2, "a")]
    fake.database, after = None, _started(tmp_path)
    after.tick(fake.ksr)
    assert set(fake.location) == {"a"}
    fake.database = {"a": ("h", "app", 0)}
    after.tick(fake.ksr)
    assert not fake.location


def test_an_id_that_comes_back_with_another_name_is_new(fake: FakeKsr, tmp_path: Path) -> None:
    """A backup was put back, and more was changed since than before."""
    fake.changes = [(7, "contacts:b"), (8, "b")]
    _started(tmp_path).tick(fake.ksr)
    fake.database = {"a": ("h", "app", 0), "b": ("h", "app", 0)}
    _ring(fake, "a", "b")
    fake.changes = [(7, "contacts:a"), (8, "a"), (9, "c")]
    _started(tmp_path).tick(fake.ksr)
    assert set(fake.location) == {"b"}


def test_where_changes_cannot_be_kept_is_said_once(fake: FakeKsr, tmp_path: Path) -> None:
    follower = ChangeFollower("entryphone.test", str(tmp_path / "no such directory" / "emergency.json"))
    for number in (1, 2, 3):
        fake.changes.append((number, "a"))
        follower.tick(fake.ksr)
    assert ["cannot be kept" in line for line in fake.logs] == [True]


def test_contacts_stay_while_nobody_knows_whether_the_account_is_there(fake: FakeKsr, follower: ChangeFollower) -> None:
    follower.tick(fake.ksr)
    fake.location = {"a": [Contact("sip:a@127.0.2.1", "a")]}
    fake.changes.append((1, "a"))
    follower.tick(fake.ksr)
    fake.database = None
    follower.tick(fake.ksr)
    assert set(fake.location) == {"a"}


def test_a_lower_id_that_commits_later_is_seen(fake: FakeKsr, follower: ChangeFollower) -> None:
    follower.tick(fake.ksr)
    fake.changes.append((10, "a"))
    follower.tick(fake.ksr)
    cached(fake, "b")
    fake.changes.append((9, "b"))
    follower.tick(fake.ksr)
    assert not fake.tables["accounts"]


def test_a_quiet_tick_reads_one_row(fake: FakeKsr, follower: ChangeFollower) -> None:
    fake.changes = [(number, f"h{number}") for number in range(1, 101)]
    for _ in range(3):
        follower.tick(fake.ksr)
    del fake.queried[:]
    follower.tick(fake.ksr)
    assert ["count(*)" in text for text in fake.queried if "kamailio_changes" in text] == [True]
    cached(fake, "h50")
    fake.changes.append((101, "h50"))
    follower.tick(fake.ksr)
    assert not fake.tables["accounts"], "what is new is read"


def test_nothing_is_lost_while_the_database_is_away(fake: FakeKsr, follower: ChangeFollower) -> None:
    follower.tick(fake.ksr)
    database, fake.database = fake.database, None
    cached(fake, "a")
    fake.changes.append((7, "a"))
    follower.tick(fake.ksr)
    follower.tick(fake.ksr)
    assert len(fake.logs) == 1
    assert fake.tables["accounts"]
    fake.database = database
    follower.tick(fake.ksr)
    assert not fake.tables["accounts"]


def test_a_long_run_of_changes_keeps_the_memory_bounded(
    fake: FakeKsr, follower: ChangeFollower, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("kemi_routes.changes_done.DoneChanges.keep", lambda *_: None)  # no need of 5000 files
    follower.tick(fake.ksr)
    for i in range(1, 5001):
        fake.changes = [(i, "a")]
        follower.tick(fake.ksr)
    assert len(follower._seen) <= 601
