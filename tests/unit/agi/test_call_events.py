"""Call events on their way to Redis: what of them waits while Redis is away."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing
from types import SimpleNamespace
from typing import TYPE_CHECKING, cast

from agi_apps import call_events
from agi_apps.call_events import BATCH_EVENTS, CallEvents
from agi_apps.local_store import LocalStore
from agi_apps.redis_keys import CALL_OVER_PREFIX, PANEL_CALL_PREFIX
from agi_apps.redis_link import RedisAway

if TYPE_CHECKING:
    from pathlib import Path

    import pytest

    from agi_apps.redis_link import Argument, RedisLink, Reply


class _Redis:
    """Takes commands, or is away."""

    def __init__(self) -> None:
        self.is_away = True
        self.delay_s = self.now_s = 0.0
        self.taken: list[tuple[Argument, ...]] = []

    def execute(self, *command: Argument) -> Reply:
        self.now_s += self.delay_s
        if self.is_away:
            raise RedisAway("connection refused")
        self.taken.append(command)
        return b"OK"


def test_a_panel_whose_call_ended_while_redis_was_away_is_freed_when_it_is_back(tmp_path: Path) -> None:
    """Kamailio tells its beginning then: without the end the panel would be busy for a quarter of an hour."""
    redis, store = _Redis(), LocalStore(str(tmp_path / "agi.db"))
    events = CallEvents(cast("RedisLink", redis), store)
    events.panel_is_free("p10001", "back-1")
    events.add({"event": "ended", "panel": "p10002", "dialled": "12", "call_id": "call-2", "moves": 2})
    events.deliver()
    assert redis.taken == []
    redis.is_away = False
    events.deliver()
    events.deliver()
    store.close()
    (freed,) = [command for command in redis.taken if command[0] == "EVAL"]
    keys = [f"{PANEL_CALL_PREFIX}p10001", f"{CALL_OVER_PREFIX}back-1"]
    keys += [f"{PANEL_CALL_PREFIX}p10002", f"{CALL_OVER_PREFIX}call-2"]
    assert freed[3:7] == tuple(keys)
    assert freed[8:] == ("0 back-1", "2 call-2")


def test_a_stop_does_not_wait_for_a_slow_redis_to_take_what_the_disk_keeps(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The master kills who delivers for longer than it waits, and what was in memory is lost with him."""
    redis, store = _Redis(), LocalStore(str(tmp_path / "agi.db"))
    monkeypatch.setattr(call_events, "time", SimpleNamespace(monotonic=lambda: redis.now_s))
    redis.is_away, redis.delay_s = False, 0.3
    store.spool([b'{"event": "old"}'] * (20 * BATCH_EVENTS))
    events = CallEvents(cast("RedisLink", redis), store)
    events.add({"event": "new"})
    events.close()
    assert redis.now_s < 3
    store.close()
    with closing(sqlite3.connect(tmp_path / "agi.db")) as database:
        (last,) = database.execute("SELECT event FROM spooled_event ORDER BY id DESC LIMIT 1").fetchone()
    assert json.loads(last) == {"event": "new"}
