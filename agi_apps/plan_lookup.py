"""Finds the ring plan of a call: Redis, then the CRM, then what this host remembers. Calls fail open."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from typing import TYPE_CHECKING, NamedTuple

from agi_apps.crm_client import CrmAway
from agi_apps.redis_keys import DELIVERED_AT_KEY, PLAN_TTL_S, UNKNOWN_NUMBER_TTL_S, ring_plan_key
from agi_apps.redis_link import RedisAway
from agi_apps.ring_plan import InvalidPlan, RingPlan, decode_plan

if TYPE_CHECKING:
    from collections.abc import Callable

    from agi_apps.crm_client import CrmClient
    from agi_apps.local_store import LocalStore
    from agi_apps.redis_link import RedisLink

_log = logging.getLogger(__name__)

SEEN_LIMIT = 200_000
# Between a plan and its place on disk: short, as a plan that Redis could not take yet is nowhere else.
GATHER_S = 0.03
REDIS, CRM, LAST_KNOWN = "redis", "crm", "last_known"


class FoundPlan(NamedTuple):
    """A plan, where it came from (`redis`, `crm`, `last_known`), and from when on its permissions are vouched for."""

    plan: RingPlan
    source: str
    vouched_at_ms: int

    def is_fresh(self, now_ms: int, fresh_s: int) -> bool:
        """Whether its permission to open a door still stands (docs/contracts.md, 7).

        A moment from the future is nobody's word: clocks apart by more than a few seconds make it stale.
        """
        return -CLOCK_SKEW_MS <= now_ms - self.vouched_at_ms <= fresh_s * 1_000


CLOCK_SKEW_MS = 5_000
NEVER_MS = -(10**15)


def vouched_at_ms(plan: RingPlan, delivered_at: bytes | None) -> int:
    """When the CRM last stood by a plan read from Redis: its issue, or the heartbeat of deliveries if later."""
    if delivered_at is not None and delivered_at.isdigit():
        return max(plan.issued_at_ms, int(delivered_at))
    return plan.issued_at_ms


class NoPlan(Exception):  # noqa: N818 - states the fact
    """Redis and CRM are away and this host has never seen the number."""


class PlanLookup:
    """Ring plans for one worker."""

    def __init__(self, redis: RedisLink, crm: CrmClient, store: LocalStore) -> None:
        self._redis = redis
        self._crm = crm
        self._store = store
        self._seen: dict[tuple[str, str], int] = {}
        self._to_remember: dict[tuple[str, str], bytes] = {}
        self._gathering = threading.Lock()
        self._wake = threading.Event()

    def find(self, panel: str, dialled: str) -> FoundPlan:
        """The plan of a number.

        Raises:
            NoPlan: nobody knows it.
        """
        redis_is_away = False
        try:
            raw, delivered_at = self._redis.mget(ring_plan_key(panel, dialled), DELIVERED_AT_KEY)
            if raw:
                plan = decode_plan(raw, panel, dialled)
                self._remember(panel, dialled, raw)
                return FoundPlan(plan, REDIS, vouched_at_ms(plan, delivered_at))
        except RedisAway:
            redis_is_away = True
        except InvalidPlan as error:
            _log.error("Redis: %s; asking the CRM", error)
        try:
            raw = self._crm.ring_plan(panel, dialled)
            plan = decode_plan(raw, panel, dialled)
        except (CrmAway, InvalidPlan) as error:
            return self._last_known(panel, dialled, error, redis_is_away=redis_is_away)
        self._publish(plan, raw)
        self._remember(panel, dialled, raw)
        return FoundPlan(plan, CRM, plan.issued_at_ms)

    def run(self) -> None:
        """Write remembered plans to disk as long as the process lives."""
        while True:
            self._wake.wait()
            time.sleep(GATHER_S)
            self.flush()

    def flush(self) -> None:
        """Write remembered plans to disk now."""
        self._wake.clear()
        with self._gathering:
            gathered, self._to_remember = self._to_remember, {}
        plans = [(panel, dialled, raw) for (panel, dialled), raw in gathered.items()]
        if not plans:
            return
        try:
            self._store.remember_plans(plans)
        except sqlite3.Error:
            _log.exception("%d last known ring plans could not be written", len(plans))
            self._seen.clear()

    def _last_known(self, panel: str, dialled: str, reason: Exception, *, redis_is_away: bool) -> FoundPlan:
        raw = self._to_remember.get((panel, dialled))
        try:
            raw = raw or self._store.last_known_plan(panel, dialled)
            if raw is not None:
                plan = decode_plan(raw, panel, dialled)
                # Who may ring may be out of date. Nobody vouches for who may open where Redis has no such plan: the CRM
                # may have dropped it. Those of residents and desks are not in Redis, so nobody ever drops them.
                is_vouched = redis_is_away and plan.caller == "panel"
                return FoundPlan(plan, LAST_KNOWN, plan.issued_at_ms if is_vouched else NEVER_MS)
        except (sqlite3.Error, InvalidPlan) as error:
            raise NoPlan(f"{reason}; last known plan: {error}") from error
        raise NoPlan(f"{reason}; no last known plan")

    def _publish(self, plan: RingPlan, raw: bytes) -> None:
        if plan.caller != "panel":  # the CRM drops the plans of panels only
            return
        ttl_s = UNKNOWN_NUMBER_TTL_S if plan.outcome == "unknown_number" else PLAN_TTL_S
        try:
            self._redis.execute("SET", ring_plan_key(plan.panel, plan.dialled), raw, "NX", "EX", ttl_s)
        except RedisAway:
            return

    def _remember(self, panel: str, dialled: str, raw: bytes) -> None:
        key, mark = (panel, dialled), hash(raw)
        if self._seen.get(key) == mark:
            return
        with self._gathering:
            if len(self._seen) >= SEEN_LIMIT:
                self._seen.clear()
            self._seen[key] = mark
            self._to_remember[key] = raw
        self._wake.set()


def epoch_ms(clock: Callable[[], float] = time.time) -> int:
    """Now, in milliseconds since 1970."""
    return int(clock() * 1_000)
