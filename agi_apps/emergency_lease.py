"""The number that an emergency call goes out with: from the CRM, else what was known last, else the city's shared one.

The CRM alone leases. A call waits for it for `lease_timeout_s` at most; a panel that holds a number is found in Redis
and on this host's disk when the CRM is away.
"""

from __future__ import annotations

import logging
import sqlite3
from typing import TYPE_CHECKING, NamedTuple

import msgspec

from agi_apps.crm_client import CrmAway
from agi_apps.redis_keys import city_number_key, number_lease_key
from agi_apps.redis_link import RedisAway

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Executor

    from agi_apps.crm_client import CrmClient
    from agi_apps.local_store import LocalStore
    from agi_apps.redis_link import RedisLink

_log = logging.getLogger(__name__)

CRM, REDIS, LAST_KNOWN, SHARED = "crm", "redis", "last_known", "shared"


class Lease(msgspec.Struct, frozen=True):
    """What the CRM tells of a number (docs/contracts.md, 9)."""

    panel: str
    city_id: int | None = None
    number: str | None = None
    trunk: str | None = None
    source: str | None = None
    held_until_ms: int | None = None
    refused: bool = False
    test_number: str | None = None
    records_calls: bool = False


class CallBack(msgspec.Struct, frozen=True):
    """Who is called back."""

    number: str
    panel: str | None = None
    company_id: int | None = None
    desks: tuple[str, ...] = ()
    source: str = "desk"
    address: str = ""
    entrance: int | None = None
    language: str = "en"
    auto_answer: bool = False


class Found(NamedTuple):
    """A lease and who told it: `crm`, `redis`, `last_known`."""

    lease: Lease
    told_by: str


_lease = msgspec.json.Decoder(Lease)
_call_back = msgspec.json.Decoder(CallBack)
_OF_SHARED = frozenset({"last_caller", "shared"})
_CALL_BACK_KNOWN_S = 30 * 24 * 3600


class EmergencyLeases:
    """Leases for one worker."""

    def __init__(
        self, crm: CrmClient, redis: RedisLink, store: LocalStore, now_ms: Callable[[], int], beside: Executor
    ) -> None:
        self._crm = crm
        self._redis = redis
        self._store = store
        self._now_ms = now_ms
        self._beside = beside

    def find(self, panel: str, call_id: str) -> Found | None:
        """The number of a call; None when nobody can tell: the shared one is used then."""
        try:
            raw = self._crm.emergency_lease(panel, call_id)
            lease = _lease.decode(raw)
        except (CrmAway, msgspec.MsgspecError) as error:
            _log.warning("[%s] emergency call of %s: no lease from the CRM (%s)", call_id, panel, error)
            return self._known(panel)
        if lease.number is not None and lease.source != SHARED:
            self._beside.submit(self._remember, lease, raw)
        return Found(lease, CRM)

    def call_back(self, number: str, call_id: str) -> CallBack:
        """Who is called back on a number: asked of the CRM, else what is known here."""
        try:
            raw = self._crm.emergency_call_back(number, call_id)
            told = _call_back.decode(raw)
        except (CrmAway, msgspec.MsgspecError) as error:
            _log.warning("[%s] call back to %s: no answer from the CRM (%s)", call_id, number, error)
            return self._known_back(number)
        # Who called last with the shared number is another one soon: Kamailio knows it when the CRM is away.
        if told.source not in _OF_SHARED:
            self._beside.submit(self._remember_back, told, raw)
        return told

    def _known(self, panel: str) -> Found | None:
        for told_by, read in ((REDIS, self._in_redis), (LAST_KNOWN, self._on_disk)):
            raw = read(number_lease_key(panel))
            try:
                lease = None if raw is None else _lease.decode(raw)
            except msgspec.MsgspecError:
                continue
            if lease is None or (lease.held_until_ms or 0) <= self._now_ms():
                continue
            # It was kept for a shorter time than was said when the call began: it may be another panel's now.
            holder = read(city_number_key(lease.number or ""))
            try:
                is_ours = holder is None or _call_back.decode(holder).panel == panel
            except msgspec.MsgspecError:
                is_ours = False
            return Found(lease, told_by) if is_ours else None
        return None

    def _known_back(self, number: str) -> CallBack:
        key = city_number_key(number)
        for read in (self._in_redis, self._on_disk):
            raw = read(key)
            if raw is None:
                continue
            try:
                told = _call_back.decode(raw)
            except msgspec.MsgspecError:
                continue
            if told.source not in _OF_SHARED:  # a former release remembered these
                return told
        return CallBack(number)

    def _in_redis(self, key: str) -> bytes | None:
        try:
            return self._redis.mget(key)[0]
        except RedisAway:
            return None

    def _on_disk(self, key: str) -> bytes | None:
        try:
            return self._store.known_lease(key)
        except sqlite3.Error:
            _log.exception("known leases cannot be read")
            return None

    def _remember(self, lease: Lease, raw: bytes) -> None:
        number = lease.number or ""
        left_s = max(1, ((lease.held_until_ms or 0) - self._now_ms()) // 1000)
        back = msgspec.json.encode(CallBack(number, panel=lease.panel, source="known"))
        self._write({number_lease_key(lease.panel): raw, city_number_key(number): back}, left_s)

    def _remember_back(self, told: CallBack, raw: bytes) -> None:
        self._write({city_number_key(told.number): raw}, _CALL_BACK_KNOWN_S)

    def _write(self, values: dict[str, bytes], ttl_s: int) -> None:
        try:
            self._redis.pipeline([("SET", key, raw, "EX", ttl_s) for key, raw in values.items()])
        except RedisAway as error:
            _log.warning("leases are kept on this host only: %s", error)
        try:
            self._store.remember_leases(list(values.items()))
        except sqlite3.Error:
            _log.exception("leases could not be kept on this host")
