"""Probe campaigns, forecasts and calls as they are shown."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class ProbeProgress(Output):
    """How far a campaign is."""

    waiting: int
    calling: int
    done: int
    given_up: int
    left_out: int
    verdicts: dict[str, int]


class ProbeCampaignDocument(Output):
    """A campaign with its progress."""

    id: RowId
    version: Version
    company_id: RowId
    name: str
    kind: Literal[1, 2, 3]
    state: Literal["draft", "running", "paused", "stopped", "done"]
    selection: dict[str, Any]
    hours: list[dict[str, str]]
    holidays: list[str]
    zone: str | None
    tries: int
    days_between: int
    calls_at_once: int
    entrance_calls_per_minute: int
    panel_pause_s: int
    ring_timeout_s: int
    language: str
    created_at_ms: Moment
    started_at_ms: Moment | None
    finished_at_ms: Moment | None
    progress: ProbeProgress

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "version": 2,
        "company_id": 1,
        "name": "Lenina, autumn",
        "kind": 1,
        "state": "running",
        "selection": {"house_ids": [1], "group_ids": [], "apartment_ids": [], "not_probed_days": 90},
        "hours": [{"day": "mon", "from": "10:00", "until": "13:00"}],
        "holidays": ["2026-11-04"],
        "zone": None,
        "tries": 2,
        "days_between": 1,
        "calls_at_once": 10,
        "entrance_calls_per_minute": 1,
        "panel_pause_s": 300,
        "ring_timeout_s": 25,
        "language": "en",
        "created_at_ms": 1790000000000,
        "started_at_ms": 1790000600000,
        "finished_at_ms": None,
        "progress": {
            "waiting": 70,
            "calling": 2,
            "done": 41,
            "given_up": 3,
            "left_out": 1,
            "verdicts": {"good": 38, "noisy": 3},
        },
    }


class PlannedProbe(Output):
    """One call of a dry run."""

    apartment_id: RowId
    panel: str
    at_ms: Moment


class ProbeForecast(Output):
    """What a dry run tells: the first calls, how many in all, and when the campaign would end without retries."""

    apartments: int
    left_out: Annotated[dict[str, int], Field(description="apartments that would not be called, by reason")]
    calls: int
    begins_at_ms: Moment | None
    ends_at_ms: Annotated[int | None, Field(description="null: hours never come for some")]
    first: list[PlannedProbe]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "apartments": 117,
        "left_out": {"the residents said no": 1},
        "calls": 116,
        "begins_at_ms": 1790000600000,
        "ends_at_ms": 1790007200000,
        "first": [{"apartment_id": 7, "panel": "p10001", "at_ms": 1790000600000}],
    }


class ProbeCallDocument(Output):
    """One probe call, and what it said about the handset."""

    id: RowId
    company_id: RowId
    campaign_id: RowId
    apartment_id: RowId
    panel: str
    number: Annotated[int, Field(description="which call to this apartment in the campaign it is, from 1")]
    state: Literal["calling", "ended"]
    began_at_ms: Moment
    answered_after_ms: int | None
    ended_at_ms: Moment | None
    outcome: Annotated[
        str | None,
        Field(
            description="`answered`, `no_answer`, `busy`, `failed`, `dropped` (gave way to a visitor: no try), "
            "`panel_not_ready` (not called), `line_fault` (the panel reports the line short or open: not called)"
        ),
    ]
    grade: int | None
    verdict: str | None
    reasons: list[str]
    measures: dict[str, Any] | None
    recording_kept_until_ms: Annotated[
        int | None, Field(description="null: nothing was recorded; from then on it is given to nobody")
    ]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 5,
        "company_id": 1,
        "campaign_id": 1,
        "apartment_id": 7,
        "panel": "p10001",
        "number": 1,
        "state": "ended",
        "began_at_ms": 1790000600000,
        "answered_after_ms": 6200,
        "ended_at_ms": 1790000622000,
        "outcome": "answered",
        "grade": 2,
        "verdict": "noisy",
        "reasons": ["speech is 14 dB above the noise"],
        "measures": {"active_level_dbov": -27.1, "noise_floor_dbov": -41.0},
        "recording_kept_until_ms": 1797776622000,
    }


class ProbeResultAnswer(Output):
    """Whether the end of a probe was kept; one that was given up meanwhile is not."""

    probe_id: RowId
    kept: bool

    EXAMPLE: ClassVar[dict[str, Any]] = {"probe_id": 5, "kept": True}


class HandsetDocument(Output):
    """One apartment's handset by its latest verdict."""

    apartment_id: RowId
    number: int
    verdict: str | None
    reasons: list[str]
    probed_at_ms: Moment | None


class EntranceHandsetsDocument(Output):
    """The handsets of an entrance, and whether single ones are bad or what they share."""

    entrance_id: RowId
    finding: Annotated[
        str,
        Field(description="`good`, `not known`; `single handsets`, `line or panel`, `too few handsets`, and how many"),
    ]
    handsets: list[HandsetDocument]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "entrance_id": 1,
        "finding": "single handsets: 1 of 5",
        "handsets": [
            {
                "apartment_id": 7,
                "number": 12,
                "verdict": "noisy",
                "reasons": ["speech is 14 dB above the noise"],
                "probed_at_ms": 1790000622000,
            }
        ],
    }
