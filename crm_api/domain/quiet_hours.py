"""Quiet hours of an account: a time of day, where the house stands, at which it does not ring."""

from __future__ import annotations

from datetime import UTC, datetime, time, timedelta
from typing import Final
from zoneinfo import ZoneInfo

AHEAD_DAYS: Final = 2
"""A plan is kept for a day; the windows of two days cover it at any moment."""
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

    A clock that is put forward or back in between is followed: local times are turned into moments day by day.
    """
    zone = ZoneInfo(time_zone)
    today = datetime.fromtimestamp(now_ms / 1_000, UTC).astimezone(zone).date()
    found = []
    for offset in range(-1, AHEAD_DAYS + 1):
        day = today + timedelta(days=offset)
        last = day if until_min > from_min else day + timedelta(days=1)
        begin, end = (
            int(datetime.combine(date, time(minutes // 60, minutes % 60), zone).timestamp() * 1_000)
            for date, minutes in ((day, from_min), (last, until_min))
        )
        if end > now_ms and begin < end:
            found.append((begin, end))
    return found
