"""What this host remembers rings; it opens only while Redis, which would know of a withdrawal, is away."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

import pytest

from agi_apps.crm_client import CrmAway
from agi_apps.plan_lookup import PlanLookup
from agi_apps.redis_link import RedisAway
from tests.unit.agi.stand_ins import NOW_MS, plan_json

if TYPE_CHECKING:
    from agi_apps.crm_client import CrmClient
    from agi_apps.local_store import LocalStore
    from agi_apps.redis_link import RedisLink

_NEXT_MS = NOW_MS + 1_000
_FRESH_S = 300


class _Redis:
    """Has one value for the plan, or is away."""

    def __init__(self, value: bytes | RedisAway | None, delivered_at_ms: int = NOW_MS) -> None:
        self.value = value
        self.delivered_at_ms = delivered_at_ms

    def mget(self, *_keys: str) -> list[bytes | None]:
        if isinstance(self.value, RedisAway):
            raise self.value
        return [self.value, str(self.delivered_at_ms).encode()]


class _Crm:
    """Away."""

    def ring_plan(self, panel: str, dialled: str) -> bytes:
        raise CrmAway(f"no answer about {panel} {dialled}")


class _Store:
    """Knows one plan."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def last_known_plan(self, _panel: str, _dialled: str) -> bytes:
        return self._raw


def _lookup(redis: bytes | RedisAway | None, known: bytes) -> PlanLookup:
    return PlanLookup(
        cast("RedisLink", _Redis(redis)), cast("CrmClient", _Crm()), cast("LocalStore", _Store(known))
    )  # fmt: skip


@pytest.mark.parametrize(
    ("redis", "opens"),
    [
        pytest.param(b"", False, id="just dropped"),
        pytest.param(None, False, id="dropped, and the tombstone is gone"),
        pytest.param(b"{", False, id="something unreadable"),
        pytest.param(RedisAway("killed"), True, id="away"),
    ],
)
def test_the_last_known_plan_of_a_panel(redis: bytes | RedisAway | None, opens: bool) -> None:
    found = _lookup(redis, plan_json()).find("p10001", "12")

    assert (found.source, found.plan.outcome) == ("last_known", "ring")
    assert found.is_fresh(_NEXT_MS, _FRESH_S) is opens


@pytest.mark.parametrize("behind_s", [0, 390, 3600])
def test_no_clock_that_was_put_back_makes_an_old_permission_new(monkeypatch: pytest.MonkeyPatch, behind_s: int) -> None:
    """The CRM is dead for as long as this host's clock is behind: by that clock it has just been heard."""
    passed_s = 5_000.0
    monkeypatch.setattr("agi_apps.plan_lookup.time.monotonic", lambda: passed_s)
    redis = _Redis(plan_json())
    plans = PlanLookup(
        cast("RedisLink", redis), cast("CrmClient", _Crm()), cast("LocalStore", _Store(plan_json()))
    )  # fmt: skip
    assert plans.find("p10001", "12").is_fresh(_NEXT_MS, _FRESH_S)
    passed_s += behind_s
    assert plans.find("p10001", "12").is_fresh(_NEXT_MS, _FRESH_S) is (behind_s == 0)
    redis.delivered_at_ms += 1  # the CRM is back
    assert plans.find("p10001", "12").is_fresh(_NEXT_MS, _FRESH_S)
    redis.value = RedisAway("killed")
    assert plans.find("p10001", "12").is_fresh(_NEXT_MS, _FRESH_S)
    passed_s += 301
    assert not plans.find("p10001", "12").is_fresh(_NEXT_MS, _FRESH_S)


@pytest.mark.parametrize("caller", ["resident", "desk"])
@pytest.mark.parametrize("redis", [None, RedisAway("killed")], ids=["redis", "no redis"])
def test_that_of_who_calls_a_panel_opens_nothing(redis: RedisAway | None, caller: str) -> None:
    """It was never in Redis: nobody would have dropped it."""
    found = _lookup(redis, plan_json(caller=caller, caller_may_open=True)).find("p10001", "12")

    assert found.source == "last_known"
    assert not found.is_fresh(_NEXT_MS, _FRESH_S)
