"""Slots: the times at which a job is due, by cron on the wall clock of a zone.

A slot is named by its wall-clock time, so each name comes once a calendar, whatever the clocks do: a time that a
change to summer time leaves out is due when the gap ends, one that comes twice is due the first time.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache
from typing import Any, Final

from apscheduler.triggers.cron import CronTrigger

from crm_api.domain.zones import moment_ms, zone_named

_NAME: Final = "%Y-%m-%dT%H:%M"
_DAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_FIELD: Final = re.compile(r"[0-9*,/-]+|[a-z,-]+")
_FIELDS: Final = 5
_LEAP_YEAR: Final = 2024
_MINUTE: Final = timedelta(minutes=1)
_COUNTED: Final = 1000
"""Missed slots that are counted one by one."""


@dataclass(frozen=True)
class Slot:
    """One time of a job: its name (wall clock in the job's zone) and the moment it is due."""

    name: str
    due_at_ms: int


def check_cron(cron: str) -> str:
    """Return the expression when it is one: minute, hour, day of month, month, day of week (0 and 7 are Sunday).

    Raises:
        ValueError: what is wrong, as a sentence.
    """
    _trigger(cron)
    return cron


@lru_cache(maxsize=256)
def _trigger(cron: str) -> Any:
    fields = cron.split(" ")
    if len(fields) != _FIELDS or not all(_FIELD.fullmatch(field) for field in fields):
        raise ValueError("give five fields: minute, hour, day of month, month, day of week, such as `0 5 * * 1`")
    minute, hour, day, month, weekday = fields
    if day != "*" and weekday != "*":
        # Cron means either of them, APScheduler both: nobody is left to guess.
        raise ValueError("give a day of month or a day of week, not both")
    try:
        trigger = CronTrigger(
            minute=minute, hour=hour, day=day, month=month, day_of_week=_weekdays(weekday), timezone=UTC
        )
        dates = CronTrigger(year=_LEAP_YEAR, month=month, day=day, timezone=UTC)
    except ValueError as error:
        raise ValueError(f"no cron expression: {error}") from error
    # A date that a leap year does not have never comes. Asked without a year APScheduler looks until 9999, for seconds.
    if dates.get_next_fire_time(None, datetime(_LEAP_YEAR, 1, 1, tzinfo=UTC)) is None:
        raise ValueError("such a day never comes")
    return trigger


def _weekdays(field: str) -> str:
    """Return the days by name: APScheduler counts them from Monday, cron from Sunday."""
    if field == "*":
        return field
    days: list[str] = []
    for part in field.split(","):
        first, dash, last = part.partition("-")
        begin, end = _day(first), _day(last if dash else first)
        days += [_DAYS[number % 7] for number in range(begin, end + 1 if end >= begin else end + 8)]
    return ",".join(dict.fromkeys(days))


def _day(text: str) -> int:
    if text.isdigit() and len(text) == 1 and int(text) < len(_DAYS):
        return int(text)
    if text in _DAYS:
        return _DAYS.index(text)
    raise ValueError(f"no day of week: {text}")


def slot_named(zone: str, name: str) -> Slot:
    """Return the slot of this name by the clock of a zone, which need not be the one that it was found in."""
    return Slot(name, moment_ms(datetime.strptime(name, _NAME), zone_named(zone)))  # noqa: DTZ007 - of the zone


def slot_after(cron: str, zone: str, name: str) -> Slot:
    """Return the slot that follows the one of this name."""
    return _slot(cron, zone, datetime.strptime(name, _NAME).replace(tzinfo=UTC) + _MINUTE)


def slot_from(cron: str, zone: str, at_ms: int) -> Slot:
    """Return the first slot that is due at this moment or later."""
    wall = datetime.fromtimestamp(at_ms / 1000, zone_named(zone)).replace(tzinfo=UTC)
    # The hour that comes twice: from its second time the first slots lie behind us.
    slot = _slot(cron, zone, wall - timedelta(hours=3))
    while slot.due_at_ms < at_ms:
        slot = slot_after(cron, zone, slot.name)
    return slot


def latest_due(cron: str, zone: str, first: Slot, now_ms: int) -> tuple[Slot, Slot, int]:
    """Return the last slot that is due now, the one after it, and how many were missed from `first` up to it."""
    slot, missed = first, 0
    following = slot_after(cron, zone, slot.name)
    while following.due_at_ms <= now_ms:
        slot, missed = following, missed + 1
        if missed == _COUNTED:
            slot = max(slot, slot_from(cron, zone, now_ms - 86_400_000), key=lambda one: one.due_at_ms)
        following = slot_after(cron, zone, slot.name)
    return slot, following, missed


def _slot(cron: str, zone: str, wall: datetime) -> Slot:
    found: datetime = _trigger(cron).get_next_fire_time(None, wall)
    local = found.replace(tzinfo=None)
    return Slot(local.strftime(_NAME), moment_ms(local, zone_named(zone)))
