"""Who has a panel: a visitor, a probe, nobody, or nobody knows (docs/contracts.md, section 7).

A panel is known to be free only while Redis answers and Kamailio says that it watches calls; it is taken by writing its
key where there is none, so that there is one taker, however many try.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.adapters.plan_cache import RedisErrors
from crm_api.adapters.redis_keys import PANELS_SEEN_AT_KEY, panel_call

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    import redis

WATCHED_MS: Final = 3000
"""Calls are being watched if Kamailio has said so not longer ago."""
LONGEST_PROBE_S: Final = 180
_FREE: Final = "if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end return 0"


class PanelLines:
    """Takes and frees panels in Redis."""

    def __init__(self, link: redis.Redis, now_ms: Callable[[], int]) -> None:
        self._redis: Any = link
        self._now_ms = now_ms

    def take(self, panel: str, probe: str) -> bool:
        """Take a panel for a probe, if it is known to be free."""
        try:
            seen = self._redis.get(PANELS_SEEN_AT_KEY)
            if seen is None or abs(self._now_ms() - int(seen)) > WATCHED_MS:
                return False
            return bool(self._redis.set(panel_call(panel), _mine(probe), nx=True, ex=LONGEST_PROBE_S))
        except (*RedisErrors, ValueError):
            return False

    def free(self, panel: str, probe: str) -> None:
        """Free a panel that the probe has; with Redis away it becomes free by itself, later."""
        try:
            self._redis.eval(_FREE, 1, panel_call(panel), _mine(probe))
        except RedisErrors:
            return

    def lost(self, probes: Collection[tuple[str, str]]) -> set[str]:
        """Return those of the (panel, probe) pairs that have lost their panel; all of them when nobody can tell."""
        pairs = list(probes)
        if not pairs:
            return set()
        try:
            values = self._redis.mget([panel_call(panel) for panel, _ in pairs])
        except RedisErrors:
            return {probe for _, probe in pairs}
        return {
            probe
            for (_, probe), value in zip(pairs, values, strict=True)
            if value is None or value.decode("utf-8", "replace") != _mine(probe)
        }


def _mine(probe: str) -> str:
    return f"probe {probe}"
