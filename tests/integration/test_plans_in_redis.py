"""Ring plans in a real Redis that is killed, stopped and restarted: a call loses milliseconds, never its plan."""

from __future__ import annotations

import contextlib
import signal
import time
from typing import TYPE_CHECKING, Protocol, cast

import pytest

from agi_apps.crm_client import CrmAway
from agi_apps.plan_lookup import PlanLookup
from agi_apps.redis_link import RedisAway, RedisLink
from crm_api.adapters import redis_keys
from crm_api.adapters.plan_cache import PlanCache
from tests.unit.agi.stand_ins import plan_json

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import redis as redis_py

    from agi_apps.crm_client import CrmClient
    from agi_apps.local_store import LocalStore
    from lab.stack import Stack

_PANEL, _DIALLED = "p10001", "12"
_KEY = redis_keys.ring_plan(_PANEL, _DIALLED)


def _took_ms(work: Callable[[], object]) -> float:
    began_s = time.monotonic()
    work()
    return (time.monotonic() - began_s) * 1000


class _Crm:
    """The CRM with one plan, or away."""

    def __init__(self, plan: bytes | None) -> None:
        self.plan = plan
        self.asked = 0

    def ring_plan(self, panel: str, dialled: str) -> bytes:
        del panel, dialled
        self.asked += 1
        if self.plan is None:
            raise CrmAway("killed")
        return self.plan


class _Store:
    """What this host remembers, in memory."""

    def __init__(self) -> None:
        self.plans: dict[tuple[str, str], bytes] = {}

    def remember_plans(self, plans: list[tuple[str, str, bytes]]) -> None:
        self.plans.update({(panel, dialled): raw for panel, dialled, raw in plans})

    def last_known_plan(self, panel: str, dialled: str) -> bytes | None:
        return self.plans.get((panel, dialled))


class Connect(Protocol):
    def __call__(self, **settings: float) -> RedisLink: ...


@pytest.fixture
def connect(url: str) -> Iterator[Connect]:
    """Makes links to Redis that are closed after the test. One that runs has time, unless the test says how much."""
    links: list[RedisLink] = []

    def make(**settings: float) -> RedisLink:
        links.append(RedisLink(url, **{"timeout_s": 10.0, **settings}))
        return links[-1]

    yield make
    for link in links:
        link.close_idle()


def _lookup(link: RedisLink, crm: _Crm, store: _Store) -> PlanLookup:
    return PlanLookup(link, cast("CrmClient", crm), cast("LocalStore", store))


def _published(client: redis_py.Redis) -> None:
    """Until the greenlet of a lookup has written the plan."""
    began_s = time.monotonic()
    while client.get(_KEY) is None:
        assert time.monotonic() - began_s < 60
        time.sleep(0.005)


def test_a_killed_redis_costs_a_call_milliseconds_and_is_used_again_when_it_is_back(
    redis_lab: Stack, connect: Connect
) -> None:
    link = connect(rest_s=0.2)
    link.execute("SET", "k", "v")
    assert link.mget("k", "absent") == [b"v", None]

    redis_lab.kill("redis")

    def refused() -> None:
        with pytest.raises(RedisAway):
            link.mget("k")

    refused()
    # Left alone: not even a connection is tried. The machine may do something else for a moment.
    assert sorted(_took_ms(refused) for _ in range(100))[50] < 5
    redis_lab.start("redis")
    deadline_s = time.monotonic() + 60
    while link.is_away:
        assert time.monotonic() < deadline_s
        time.sleep(0.01)
    assert link.mget("k") == [None]


def test_a_restarted_redis_is_noticed_on_an_old_connection_without_a_failure(
    redis_lab: Stack, connect: Connect
) -> None:
    link = connect()
    link.execute("SET", "k", "v")
    redis_lab.restart("redis")
    assert link.mget("k") == [None]
    assert not link.is_away


def _asked_in_time(link: RedisLink) -> None:
    """Until Redis answers in the time that the link gives it: it may stand still for a moment."""
    deadline_s = time.monotonic() + 60
    while True:
        with contextlib.suppress(RedisAway):
            link.execute("PING")
            return
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_stopped_redis_costs_its_timeout_once(redis_lab: Stack, connect: Connect) -> None:
    link = connect(timeout_s=0.15)
    _asked_in_time(link)
    redis_lab.kill("redis", signal.SIGSTOP)
    try:

        def refused() -> None:
            with pytest.raises(RedisAway):
                link.mget("k")

        assert _took_ms(refused) > 100
        assert min(_took_ms(refused) for _ in range(10)) < 5
    finally:
        redis_lab.kill("redis", signal.SIGCONT)


def test_a_plan_is_found_in_redis_then_in_the_crm_then_remembered(
    redis_lab: Stack, client: redis_py.Redis, connect: Connect
) -> None:
    crm, store = _Crm(plan_json()), _Store()
    lookup = _lookup(connect(), crm, store)

    assert lookup.find(_PANEL, _DIALLED).source == "crm"
    _published(client)
    assert lookup.find(_PANEL, _DIALLED).source == "redis"
    assert crm.asked == 1
    lookup.flush()

    crm.plan = None
    redis_lab.kill("redis")
    found = lookup.find(_PANEL, _DIALLED)
    assert found.source == "last_known"
    assert min(_took_ms(lambda: lookup.find(_PANEL, _DIALLED)) for _ in range(10)) < 10
    redis_lab.start("redis")


def test_a_plan_fetched_before_a_change_cannot_be_put_back_after_it(
    url: str, client: redis_py.Redis, connect: Connect
) -> None:
    """The race the tombstone is for: fetch, change, drop, publish."""
    old, new = plan_json(caller_name="old"), plan_json(caller_name="new")
    cache = PlanCache(url)
    client.set(_KEY, old)

    assert cache.drop([(_PANEL, _DIALLED)]) == 1
    assert client.get(_KEY) == b""
    assert not client.set(_KEY, old, nx=True, ex=60)  # as a reader publishes (SET NX): too late
    assert 0 < int(client.pttl(_KEY)) <= redis_keys.TOMBSTONE_MS

    crm, store = _Crm(new), _Store()
    found = _lookup(connect(), crm, store).find(_PANEL, _DIALLED)
    assert (found.source, found.plan.caller_name) == ("crm", "new")


@pytest.mark.parametrize("later", [False, True], ids=["at once", "when the tombstone is gone"])
def test_with_the_plan_dropped_and_the_crm_away_it_rings_but_nobody_vouches_for_it(
    url: str, client: redis_py.Redis, connect: Connect, *, later: bool
) -> None:
    crm, store = _Crm(plan_json(issued_at_ms=int(time.time() * 1000))), _Store()
    lookup = _lookup(connect(), crm, store)
    lookup.find(_PANEL, _DIALLED)
    lookup.flush()
    PlanCache(url).drop([(_PANEL, _DIALLED)])
    if later:
        client.delete(_KEY)
    crm.plan = None

    found = lookup.find(_PANEL, _DIALLED)

    assert found.source == "last_known"
    assert not found.is_fresh(int(time.time() * 1000), 300)


def test_everything_is_dropped_after_redis_came_back_with_an_older_state(
    redis_lab: Stack, url: str, client: redis_py.Redis
) -> None:
    cache = PlanCache(url)
    keys = [redis_keys.ring_plan(_PANEL, str(number)) for number in range(2500)]
    client.mset(dict.fromkeys(keys, "old"))
    client.set("ep:other", "kept")
    before = cache.say_delivered(1, "another run")
    assert client.get(redis_keys.CRM_DELIVERED_AT_MS) is None
    assert cache.say_delivered(2, before) == before
    assert client.get(redis_keys.CRM_DELIVERED_AT_MS) == b"2"

    assert cache.drop_everything() == len(keys)

    assert set(client.mget(keys)) == {b""}
    assert client.get("ep:other") == b"kept"
    redis_lab.restart("redis")
    assert cache.say_delivered(3, before) != before
    assert client.get(redis_keys.CRM_DELIVERED_AT_MS) is None
