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
    """A plan, where it came from (`redis`, `crm`, `last_known`), and from when on its permissions are vouched for.

    `known_for_ms`: for how long this process has known of that moment at least, by a clock that nobody sets.
    """

    plan: RingPlan
    source: str
    vouched_at_ms: int
    known_for_ms: int = 0

    def is_fresh(self, now_ms: int, fresh_s: int) -> bool:
        """Whether its permission to open a door still stands (docs/contracts.md, 7).

        A moment from the future is nobody's word: clocks apart by more than a few seconds make it stale. And one that
        was heard of long ago is old, whatever the clock says since it was put back.
        """
        fresh_ms = fresh_s * 1_000
        return self.known_for_ms <= fresh_ms and -CLOCK_SKEW_MS <= now_ms - self.vouched_at_ms <= fresh_ms


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
        # The last heartbeat of the CRM's deliveries, and when this process first saw it (monotonic seconds).
        self._heartbeat: tuple[bytes, float] | None = None
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
            self._note(delivered_at)
            if raw:
                plan = decode_plan(raw, panel, dialled)
                self._remember(panel, dialled, raw)
                at_ms = vouched_at_ms(plan, delivered_at)
                return FoundPlan(plan, REDIS, at_ms, self._known_for_ms(at_ms))
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
                at_ms = plan.issued_at_ms if is_vouched else NEVER_MS
                return FoundPlan(plan, LAST_KNOWN, at_ms, self._known_for_ms(at_ms))
        except (sqlite3.Error, InvalidPlan) as error:
            raise NoPlan(f"{reason}; last known plan: {error}") from error
        raise NoPlan(f"{reason}; no last known plan")

    def _note(self, delivered_at: bytes | None) -> None:
        """A heartbeat of the CRM's deliveries was read, this one or the same as before."""
        heartbeat = self._heartbeat
        if delivered_at is not None and delivered_at.isdigit() and (heartbeat is None or heartbeat[0] != delivered_at):
            self._heartbeat = delivered_at, time.monotonic()

    def _known_for_ms(self, at_ms: int) -> int:
        """For how long a moment of the CRM's clock is over at least.

        The heartbeat is one of its moments, too, and time has gone on since this process first saw it. So clocks of
        hosts that are apart, or are set while the CRM is away, make no old permission new.
        """
        if self._heartbeat is None:
            return 0
        value, since_s = self._heartbeat
        return max(0, int((time.monotonic() - since_s) * 1_000) + int(value) - at_ms)

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
