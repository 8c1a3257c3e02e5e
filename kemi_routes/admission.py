"""Overload: how many new calls are let in. Emergency calls always are.

Two bounds: calls per second, and calls in setup: let in, and their node has neither rung nor dialled anybody yet. The
second follows the servers by what setups take: as many are in setup as come out of it a second, times how long each
takes (Little's law). While that is longer than `setup_ms`, only so many may be in setup as come out within this time.
Both are counted, no call is timed: nodes work on many calls at once, so that some are quick however many wait. Calls in
setup are counted by second, so that a count that is never taken back (a worker that died) is gone after a few seconds.
Seconds and windows are those of the clock that nobody sets: no second comes twice.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import nodes
from kemi_routes.clock import steady_ms
from kemi_routes.pipeline import NEXT, Refusal
from kemi_routes.replies import refuse, retry_after

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

_ADMITTED = "admitted"
_SETUPS = "silent"
# A call in setup counts for this long; by then it has been answered by a node, or failed over, or refused.
_SETUP_S = 3
# By window: calls that came out of their setup. `limit`: how many may be in it, while fewer than the setting.
_DIALLED = "dialled_calls"
_LIMIT = "limit"
_WINDOW_MS = 200
_WINDOWS = 3
# So many are always let in: setups also take long when the CRM is slow to tell plans, and no call may fail for that.
_LEAST = 30


def _count(ksr: Ksr, table: str, key: str) -> int:
    value = ksr.htable.sht_get(table, key)
    return value if isinstance(value, int) else 0


def _in_setup(ksr: Ksr, second: int) -> int:
    return sum(_count(ksr, _SETUPS, str(second - age)) for age in range(_SETUP_S))


def _over(ksr: Ksr, settings: Settings) -> str | None:
    """Name the bound that is reached, or None. The rate is that of a window sliding over two seconds."""
    now = steady_ms() / 1000
    second = int(now)
    rate = _count(ksr, _ADMITTED, str(second)) + _count(ksr, _ADMITTED, str(second - 1)) * (1 - (now - second))
    if rate >= settings.new_calls_per_s:
        return f"overload: {rate:.0f} new calls within a second"
    count = _in_setup(ksr, second)
    if count >= _LEAST and count >= (_count(ksr, _DIALLED, _LIMIT) or settings.silent_calls):
        return f"overload: {count} calls are in setup"
    return None


def check_load(ksr: Ksr, request: Request) -> Outcome:
    """Refuse a new call before any work is spent on it."""
    if request.emergency:
        return NEXT
    reason = _over(ksr, request.settings)
    if reason is None:
        return NEXT
    retry_after(ksr, request.settings.retry_after_s)
    return refuse(ksr, request, Refusal(503, "Overloaded", reason))


def take_token(ksr: Ksr, _request: Request) -> Outcome:
    """Count an authenticated call that is let in."""
    ksr.htable.sht_inc(_ADMITTED, str(steady_ms() // 1000))
    return NEXT


def setup_begins(ksr: Ksr) -> str:
    """Count a call that is sent to a node; the moment (steady ms) is the receipt for `setup_ends`."""
    sent_ms = steady_ms()
    ksr.htable.sht_inc(_SETUPS, str(sent_ms // 1000))
    return str(sent_ms)


def setup_ends(ksr: Ksr, sent_ms: str) -> None:
    """Take back a call that rings or has ended."""
    second = int(sent_ms) // 1000
    if steady_ms() // 1000 - second < _SETUP_S:
        ksr.htable.sht_dec(_SETUPS, str(second))


def node_dials(ksr: Ksr, call_id: str) -> None:
    """The node that asks dials somebody for this call: its setup is over. Two phones may be dialled at once."""
    leg = nodes.change_panel_leg(ksr, call_id, nodes.asking(ksr), nodes.DIALS, (nodes.SENT,))
    if leg is None:
        return
    setup_ends(ksr, leg.sent_ms)
    ksr.htable.sht_inc(_DIALLED, str(steady_ms() // _WINDOW_MS))


def is_overloaded(ksr: Ksr) -> bool:
    """Tell whether calls are refused because others wait too long: then we are late ourselves."""
    return _count(ksr, _DIALLED, _LIMIT) > 0


class SetupWatch:
    """Decides, five times a second and in a process of its own, how many calls may be in setup at once."""

    def __init__(self, settings: Settings) -> None:
        self._most = settings.silent_calls
        self._target_ms = settings.setup_ms
        self._window = steady_ms() // _WINDOW_MS
        self._limit = self._most
        self._was_late = False

    def tick(self, ksr: Ksr) -> None:
        """Look at the window that has just ended, if one has."""
        window = steady_ms() // _WINDOW_MS
        if window == self._window:
            return
        ended, self._window = self._window, window
        before, self._limit = self._limit, self._next(ksr, ended)
        if self._limit != self._most:
            # Written anew each time: should this process die, the bound is gone with its row.
            ksr.htable.sht_seti(_DIALLED, _LIMIT, self._limit)
        elif before != self._most:
            ksr.htable.sht_rm(_DIALLED, _LIMIT)
            ksr.notice(f"overload is over: {self._most} calls may be in setup again\n")
        if before == self._most != self._limit:
            ksr.warn(f"overload: setups take longer than {self._target_ms} ms, fewer calls are let in\n")

    def _next(self, ksr: Ksr, window: int) -> int:
        count = _in_setup(ksr, steady_ms() // 1000)
        dialled = sum(_count(ksr, _DIALLED, str(window - age)) for age in range(_WINDOWS))
        # So many come out of their setup within the time that a setup may take.
        within = dialled * self._target_ms // (_WINDOWS * _WINDOW_MS)
        was_late, self._was_late = self._was_late, count >= _LEAST and count > within
        if self._was_late:
            if not was_late and self._limit == self._most:
                return self._most  # a moment's standstill is no overload
            return max(_LEAST, min(self._limit, within))
        if count >= _LEAST and 2 * count > within:
            return self._limit
        return min(self._most, self._limit + self._limit // 4 + 1)
