"""A database that hangs is left alone for a while, and asked again by one."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from kemi_routes import database

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.kemi.fake_ksr import FakeKsr

_QUERY = "select ha1, kind, enabled from kamailio_accounts where account='p1'"


@pytest.fixture
def spend(monkeypatch: pytest.MonkeyPatch) -> Callable[[float], None]:
    """Let time pass."""
    now_s = [1_000_000.0]
    for clock in ("time", "monotonic"):
        monkeypatch.setattr(f"kemi_routes.database.time.{clock}", lambda: now_s[0])

    def spend(seconds: float) -> None:
        now_s[0] += seconds

    return spend


def hang(fake: FakeKsr, spend: Callable[[float], None], monkeypatch: pytest.MonkeyPatch, for_s: float) -> list[str]:
    """Have every query fail after a time; returns what is asked."""
    asked: list[str] = []

    def query(text: str) -> int:
        asked.append(text)
        spend(for_s)
        return -1

    monkeypatch.setattr(fake, "query", query)
    return asked


def test_a_database_that_hangs_is_asked_again_by_one_after_a_rest(
    fake: FakeKsr, spend: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hang(fake, spend, monkeypatch, 4.0)
    for _ in range(3):
        assert database.rows(fake.ksr, "account", _QUERY, 3) is None
    assert len(asked) == 1
    spend(database.REST_S)
    seen_meanwhile = []

    def query(text: str) -> int:
        asked.append(text)
        seen_meanwhile.append(database.rows(fake.ksr, "account", text, 3))
        return -1

    monkeypatch.setattr(fake, "query", query)
    assert database.rows(fake.ksr, "account", _QUERY, 3) is None
    assert seen_meanwhile == [None, None], "another worker asked as well"


def test_a_database_that_refuses_at_once_is_asked_each_time(
    fake: FakeKsr, spend: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = hang(fake, spend, monkeypatch, 0.3)
    for _ in range(3):
        assert database.rows(fake.ksr, "account", _QUERY, 3) is None
    assert len(asked) == 6, "twice each time: the first may meet a connection of before a restart"


def test_a_database_that_is_back_is_asked_by_all(
    fake: FakeKsr, spend: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as hanging:
        hang(fake, spend, hanging, 4.0)
        database.rows(fake.ksr, "account", _QUERY, 3)
    spend(database.REST_S)
    fake.database = {"p1": ("h", "panel", 1)}
    for _ in range(3):
        assert database.rows(fake.ksr, "account", _QUERY, 3) == [("h", "panel", "1")]


def test_one_sip_worker_is_left_while_the_others_wait_for_the_database(
    fake: FakeKsr, spend: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.defines |= {"EP_CRM_DB_URL": "postgres://crm@db/crm", "EP_CHILDREN": "3"}
    monkeypatch.setattr("kemi_routes.database.time.sleep", spend)
    asked: list[str] = []

    def query(text: str) -> int:
        """Each that asks hangs until the next worker has had its turn."""
        asked.append(text)
        if len(asked) < 3:
            assert database.rows_for_worker(fake.ksr, "account", text, 3) is None
        spend(4.0)
        return -1

    with monkeypatch.context() as hanging:
        hanging.setattr(fake, "query", query)
        assert database.rows_for_worker(fake.ksr, "account", _QUERY, 3) is None
    assert len(asked) == 2, "the third worker went on with other things"
    assert fake.tables["asking"] == {"workers": 0}, "turns are given back"
    spend(database.REST_S)
    fake.database = {"p1": ("h", "panel", 1)}
    assert database.rows_for_worker(fake.ksr, "account", _QUERY, 3) == [("h", "panel", "1")]


def test_whoever_waited_in_vain_spares_the_next_the_wait(
    fake: FakeKsr, spend: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.defines |= {"EP_CRM_DB_URL": "postgres://crm@db/crm", "EP_CHILDREN": "2"}
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        spend(seconds)

    monkeypatch.setattr("kemi_routes.database.time.sleep", pause)
    fake.tables["asking"]["workers"] = 1
    assert database.rows_for_worker(fake.ksr, "account", _QUERY, 3) is None
    assert waits
    waits.clear()
    for _ in range(3):
        assert database.rows_for_worker(fake.ksr, "account", _QUERY, 3) is None
    assert not waits


def test_a_worker_waits_for_its_turn(
    fake: FakeKsr, spend: Callable[[float], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    fake.defines |= {"EP_CRM_DB_URL": "postgres://crm@db/crm", "EP_CHILDREN": "2"}
    fake.database = {"p1": ("h", "panel", 1)}
    fake.tables["asking"]["workers"] = 1

    def pause(seconds: float) -> None:
        spend(seconds)
        fake.tables["asking"]["workers"] = 0

    monkeypatch.setattr("kemi_routes.database.time.sleep", pause)
    assert database.rows_for_worker(fake.ksr, "account", _QUERY, 3) == [("h", "panel", "1")]
