"""Quiet hours of an account: a time of day, where the house stands, at which it does not ring."""

from __future__ import annotations

from datetime import datetime, time, timedelta
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from crm_api.domain.zones import moment_ms, zone_named

if TYPE_CHECKING:
    from datetime import date, tzinfo

AHEAD_DAYS: Final = 2
"""A plan is kept for a day; the windows of two days cover it at any moment. While the CRM is away FastAGI repeats the
last of them."""
Window = tuple[int, int]
"""From and until, epoch milliseconds."""


def minutes_of(text: str | None) -> int | None:
    """Return the minutes after midnight of `HH:MM`."""
    if text is None:
        return None
    hours, _, minutes = text.partition(":")
    return int(hours) * 60 + int(minutes)


def clock_of(minutes: int | None) -> str | None:
    """Return `HH:MM` of minutes after midnight."""
    return None if minutes is None else f"{minutes // 60:02}:{minutes % 60:02}"


def windows(from_min: int, until_min: int, time_zone: str, now_ms: int) -> list[Window]:
    """Return when it is quiet, from now on for two days; over midnight when `until_min` is not after `from_min`.

    A clock that is put forward or back in between is followed: local times are turned into moments day by day. One
    that is left out is the end of the gap; of an hour that comes twice they begin in the first and end in the second.

    Raises:
        UnreadableZoneError: there is no such zone.
    """
    zone = zone_named(time_zone)
    today = datetime.fromtimestamp(now_ms / 1_000, zone).date()
    return [window for window in _windows_around(from_min, until_min, zone, today) if window[1] > now_ms]


@lru_cache(maxsize=4096)
def _windows_around(from_min: int, until_min: int, zone: tzinfo, today: date) -> tuple[Window, ...]:
    """Return the windows that begin from yesterday on: half of what a plan of three such accounts cost.

    Nearly all who keep still do so at the same few times, and there is a new day once in a day.
    """
    found = []
    for offset in range(-1, AHEAD_DAYS + 1):
        day = today + timedelta(days=offset)
        last = day if until_min > from_min else day + timedelta(days=1)
        begin = moment_ms(datetime.combine(day, _time(from_min)), zone)
        end = moment_ms(datetime.combine(last, _time(until_min)), zone, last=True)
        if begin < end:
            found.append((begin, end))
    return tuple(found)


def _time(minutes: int) -> time:
    return time(minutes // 60, minutes % 60)
