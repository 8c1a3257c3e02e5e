"""Time zones of the IANA database as the pinned `tzdata` has them, on every host the same.

Python reads the host's own files first, and those of a host that is seldom updated are years old: Vancouver, Winnipeg
and Casablanca were an hour off in 2026. Who needs a zone gets it here, so that no process reads the host's.
"""

from __future__ import annotations

import zoneinfo
from datetime import UTC, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from datetime import datetime, tzinfo

_MINUTE: Final = timedelta(minutes=1)

zoneinfo.reset_tzpath(to=())
zoneinfo.ZoneInfo.clear_cache()

NO_PLACE: Final = frozenset({"localtime", "Factory"})
"""Names that stand beside the zones and are the clock of no place: the host's own, and that of a host without one."""


class UnreadableZoneError(ValueError):
    """A zone that is kept somewhere, and that `tzdata` does not have."""


@cache
def zone_names() -> frozenset[str]:
    """Return the names that a city's zone may have."""
    return frozenset(zoneinfo.available_timezones()) - NO_PLACE


def zone_named(name: str) -> zoneinfo.ZoneInfo:
    """Return a zone.

    Raises:
        UnreadableZoneError: there is no such zone.
    """
    try:
        return zoneinfo.ZoneInfo(name)
    except (zoneinfo.ZoneInfoNotFoundError, OSError, ValueError) as error:
        raise UnreadableZoneError(f"time zone {name!r} cannot be read") from error


def zone_or_utc(name: str | None) -> tzinfo:
    """Return a zone; UTC where none is named, or where it cannot be read."""
    try:
        return UTC if name is None else zone_named(name)
    except UnreadableZoneError:
        return UTC


def moment_ms(local: datetime, zone: tzinfo, *, last: bool = False) -> int:
    """Return the moment (epoch ms) of a wall-clock time: the end of the gap when a change of the clock leaves it out.

    Args:
        local: without a zone, to the minute.
        zone: whose clock.
        last: of a time that comes twice the second; else the first.
    """
    while True:
        moment = local.replace(tzinfo=zone, fold=int(last)).astimezone(UTC)
        if moment.astimezone(zone).replace(tzinfo=None, fold=0) == local:
            return int(moment.timestamp()) * 1000
        local += _MINUTE
