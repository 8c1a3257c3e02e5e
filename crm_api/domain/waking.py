"""Hours at which people are awake."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from crm_api.domain.zones import zone_or_utc


def waking_moment(at_ms: int, zone: str, from_hour: int, until_hour: int) -> int:
    """Return this moment when it lies between two hours of the zone's wall clock, else the next one that does."""
    local = datetime.fromtimestamp(at_ms / 1000, zone_or_utc(zone))
    if from_hour <= local.hour < until_hour:
        return at_ms
    morning = local.replace(hour=from_hour, minute=0, second=0, microsecond=0, fold=0)
    if local.hour >= until_hour:
        morning += timedelta(days=1)
    return int(morning.astimezone(UTC).timestamp()) * 1000
