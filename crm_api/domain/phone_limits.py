"""What phones may cost: whose numbers are dialled, in which countries, and how many minutes of a month."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import msgspec
import phonenumbers

if TYPE_CHECKING:
    from crm_api.domain.ring_plan import LeftOut, RingPlan, Target


@dataclass(frozen=True)
class Limits:
    """What a company allows, and what was used in this month."""

    countries: frozenset[str]
    minutes: int | None
    apartment_minutes: int | None
    used_s: int
    apartment_used_s: int

    @property
    def is_used_up(self) -> bool:
        """Say whether nothing is left of this month, for the company or for the apartment."""
        return _over(self.minutes, self.used_s) or _over(self.apartment_minutes, self.apartment_used_s)


def _over(minutes: int | None, used_s: int) -> bool:
    return minutes is not None and used_s >= minutes * 60


def month_of(now_ms: int) -> tuple[int, int]:
    """Return when the calendar month (UTC) of a moment begins and when the next does, epoch milliseconds."""
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    first = datetime(now.year, now.month, 1, tzinfo=UTC)
    following = datetime(now.year + now.month // 12, now.month % 12 + 1, 1, tzinfo=UTC)
    return int(first.timestamp() * 1000), int(following.timestamp() * 1000)


def country_of(number: str) -> str:
    """Return the country of a number in E.164 (ISO 3166-1); empty when it is of none."""
    try:
        return phonenumbers.region_code_for_number(phonenumbers.parse(number)) or ""
    except phonenumbers.NumberParseException:
        return ""


def limited(plan: RingPlan, limits: Limits, residents: frozenset[str], desks: frozenset[str]) -> RingPlan:
    """Return the plan without the phones that may not be dialled, which are among `left_out` then.

    A stage that has nobody left is left out.

    Args:
        plan: the plan of an apartment.
        limits: what its company allows.
        residents: numbers of the apartment's residents.
        desks: accounts of the company's desks: their phones are its own and stay.
    """

    def stopped(target: Target) -> LeftOut | None:
        if target.number is None or target.account in desks:
            return None
        if target.number not in residents:
            return "not_a_residents_number"
        if limits.countries and country_of(target.number) not in limits.countries:
            return "country_not_allowed"
        return "minutes_used_up" if limits.is_used_up else None

    stages = []
    left_out = {why: list(accounts) for why, accounts in plan.left_out.items()}
    for stage in plan.stages:
        targets = []
        for target in stage.targets:
            why = stopped(target)
            if why is None:
                targets.append(target)
            else:
                left_out.setdefault(why, []).append(target.account)
        if targets:
            stages.append(msgspec.structs.replace(stage, targets=targets))
    return msgspec.structs.replace(plan, stages=stages, left_out=left_out)
