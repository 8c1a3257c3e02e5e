"""Probe campaigns as they are asked for."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, ClassVar, Literal, Self

from pydantic import Field, StringConstraints, model_validator

from crm_api.domain.inputs.base import (
    FilterId,
    Flag,
    Id,
    Input,
    Language,
    Ms,
    Name,
    OwnCompany,
    PageQuery,
    Zone,
    unchanged,
)

Weekday = Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun"]
Clock = Annotated[str, StringConstraints(pattern=r"^([01][0-9]|2[0-3]):[0-5][0-9]$|^24:00$")]


Tries = Annotated[int, Field(ge=1, le=10, strict=True)]
DaysBetween = Annotated[int, Field(ge=0, le=30, strict=True)]
AtOnce = Annotated[int, Field(ge=1, le=1000, strict=True)]
PerMinute = Annotated[int, Field(ge=1, le=60, strict=True)]
PauseS = Annotated[int, Field(ge=0, le=86_400, strict=True)]
RingS = Annotated[int, Field(ge=5, le=60, strict=True)]
Ids = Annotated[tuple[Id, ...], Field(max_length=10_000)]


class ProbeHours(Input):
    """Hours of one weekday."""

    day: Weekday
    from_: Annotated[Clock, Field(alias="from")]
    until: Clock

    EXAMPLE: ClassVar[dict[str, Any]] = {"day": "mon", "from": "10:00", "until": "13:00"}

    @model_validator(mode="after")
    def _in_order(self) -> Self:
        if self.from_ >= self.until:
            raise ValueError("until must be after from; write hours over midnight as two")
        return self


class ProbeSelection(Input):
    """Which apartments: those of the houses, of the groups, and those named; without any, all of the company."""

    house_ids: Ids = ()
    group_ids: Ids = ()
    apartment_ids: Ids = ()
    not_probed_days: Annotated[int, Field(ge=1, le=3650, strict=True)] | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {"house_ids": [1], "not_probed_days": 90}


Kind = Annotated[
    Literal[1, 2, 3], Field(description="1: the resident grades by key; 2: and says a sentence; 3: silent test")
]
SpansOfHours = Annotated[list[ProbeHours], Field(min_length=1, max_length=50)]
Holidays = Annotated[tuple[date, ...], Field(max_length=100)]


class NewProbeCampaign(Input):
    """A campaign, as a draft: nobody is called until it is started."""

    company_id: OwnCompany = None
    name: Name
    kind: Kind = 1
    selection: ProbeSelection = ProbeSelection()
    hours: SpansOfHours
    holidays: Holidays = ()
    zone: Zone | None = None
    tries: Tries = 2
    days_between: DaysBetween = 1
    calls_at_once: AtOnce = 10
    entrance_calls_per_minute: PerMinute = 1
    panel_pause_s: PauseS = 300
    ring_timeout_s: RingS = 25
    language: Language | None = None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "name": "Lenina, autumn",
        "kind": 1,
        "selection": ProbeSelection.EXAMPLE,
        "hours": [ProbeHours.EXAMPLE],
        "holidays": ["2026-11-04"],
    }


class ProbeCampaignChange(Input):
    """Fields of a draft, or of a campaign that is paused; only a draft changes whom it calls, and its kind."""

    name: Name = unchanged()
    kind: Kind = unchanged()
    selection: ProbeSelection = unchanged()
    hours: SpansOfHours = unchanged()
    holidays: Holidays = unchanged()
    zone: Zone | None = unchanged()
    tries: Tries = unchanged()
    days_between: DaysBetween = unchanged()
    calls_at_once: AtOnce = unchanged()
    entrance_calls_per_minute: PerMinute = unchanged()
    panel_pause_s: PauseS = unchanged()
    ring_timeout_s: RingS = unchanged()
    language: Language = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"calls_at_once": 20}


class ProbeCampaignQuery(PageQuery):
    """Campaigns, newest first unless asked otherwise."""

    company_id: FilterId = None
    state: Literal["draft", "running", "paused", "stopped", "done"] | None = None
    sort: Literal["id", "-id"] = "-id"


class ProbeCallQuery(PageQuery):
    """Probe calls, newest first unless asked otherwise."""

    company_id: FilterId = None
    campaign_id: FilterId = None
    apartment_id: FilterId = None
    verdict: Annotated[str, StringConstraints(max_length=30, pattern="^[a-z_]+$")] | None = None
    sort: Literal["id", "-id"] = "-id"


class ProbeResult(Input):
    """What the call path tells of a probe when it is over."""

    probe_id: Id
    grade: Annotated[int, Field(ge=1, le=4, strict=True)] | None = None
    answered_at_ms: Ms | None = None
    reason: Annotated[int, Field(ge=0, le=100, strict=True)] | None = None
    packets: Ms | None = None
    packets_lost: Ms | None = None
    jitter_us: Ms | None = None
    round_trip_us: Ms | None = None
    gave_way: Flag = False

    EXAMPLE: ClassVar[dict[str, Any]] = {"probe_id": 5, "grade": 2, "answered_at_ms": 1790000606200, "packets": 900}


class ProbePictureQuery(Input):
    """What is drawn."""

    of: Literal["course", "levels"] = "course"


class ProbeRecordingQuery(Input):
    """Which side of a probe is heard."""

    side: Literal["both", "heard", "sent"] = "both"
