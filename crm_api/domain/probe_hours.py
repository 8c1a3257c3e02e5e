"""When probes may call: hours of each weekday on a zone's wall clock, holidays left out."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from crm_api.domain.zones import UnreadableZoneError, moment_ms, zone_named

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from zoneinfo import ZoneInfo

DAY_MINUTES: Final = 24 * 60
LOOKED_AHEAD_DAYS: Final = 400
"""Hours that do not come within so many days never come."""


@dataclass(frozen=True)
class Hours:
    """Hours of a week.

    Args:
        zone: IANA name.
        of_weekday: 0 (Monday) to 6: minutes of the day, from and until (1440 is midnight), several in order.
        holidays: days without hours.
    """

    zone: str
    of_weekday: Mapping[int, tuple[tuple[int, int], ...]]
    holidays: frozenset[date] = field(default_factory=frozenset)

    def windows(self, from_ms: int) -> Iterator[tuple[int, int]]:
        """Yield the spans (epoch ms, end not included) that end after a moment; two that meet are one.

        None where the zone cannot be read: nobody is called in the middle of a night.
        """
        try:
            zone = zone_named(self.zone)
        except UnreadableZoneError:
            return
        first = datetime.fromtimestamp(from_ms / 1000, zone).date() - timedelta(days=1)
        held: tuple[int, int] | None = None
        for number in range(LOOKED_AHEAD_DAYS):
            day = first + timedelta(days=number)
            if day in self.holidays:
                continue
            for begin, end in self.of_weekday.get(day.weekday(), ()):
                span = (_moment_ms(day, begin, zone), _moment_ms(day, end, zone))
                if span[1] <= from_ms or span[0] >= span[1]:
                    continue
                if held is not None and span[0] <= held[1]:
                    held = (held[0], max(held[1], span[1]))
                    continue
                if held is not None:
                    yield held
                held = span
        if held is not None:
            yield held


def _moment_ms(day: date, minute: int, zone: ZoneInfo) -> int:
    if minute >= DAY_MINUTES:
        day, minute = day + timedelta(days=1), minute - DAY_MINUTES
    return moment_ms(datetime.combine(day, time(minute // 60, minute % 60)), zone)
