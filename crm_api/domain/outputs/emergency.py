"""Emergency calls as they are shown."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from crm_api.domain.outputs.base import Moment, Output, RowId, Version


class CentreTrunkDocument(Output):
    """A trunk to a dispatch centre."""

    trunk: str
    caller_in: str
    sends_location: bool

    EXAMPLE: ClassVar[dict[str, Any]] = {"trunk": "city-line", "caller_in": "both", "sends_location": True}


class EmergencyCentreDocument(Output):
    """The dispatch centre of a city."""

    id: RowId
    city_id: RowId
    name: str
    number: str
    public_number: str | None
    test_number: str | None
    country: str
    trunks: list[CentreTrunkDocument]
    records_calls: bool
    keep_s: int
    low_percent: int
    email: str | None
    webhook_url: str | None
    sms_number: str | None
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "city_id": 1,
        "name": "Riverside dispatch centre",
        "number": "112",
        "public_number": "+74951120112",
        "test_number": None,
        "country": "RU",
        "trunks": [CentreTrunkDocument.EXAMPLE],
        "records_calls": False,
        "keep_s": 86_400,
        "low_percent": 20,
        "email": "duty@112.example",
        "webhook_url": None,
        "sms_number": None,
        "version": 1,
    }


class CityNumberDocument(Output):
    """A number of a city's pool: city, number, status, time and panel."""

    id: RowId
    city_id: RowId
    fias_id: str | None
    number: str
    trunk: str
    status: Literal["shared", "out_of_service", "in_call", "kept", "free"]
    panel: str | None
    leased_at_ms: Moment | None
    held_until_ms: Moment | None
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "city_id": 1,
        "fias_id": "0c5b2444-70a0-4932-980c-b4dc0d3f02b5",
        "number": "+74951110001",
        "trunk": "city-line",
        "status": "kept",
        "panel": "p10001",
        "leased_at_ms": 1790000000000,
        "held_until_ms": 1790086400000,
        "version": 1,
    }


class NumberProblem(Output):
    """What is wrong in one row of a file of numbers."""

    row: int
    column: str
    value: str
    remedy: str

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "row": 3,
        "column": "number",
        "value": "12",
        "remedy": "give a whole phone number, such as +7 912 345-67-89",
    }


class CheckDone(Output):
    """How much is wrong; what it is stands in the list of findings."""

    findings: int

    EXAMPLE: ClassVar[dict[str, Any]] = {"findings": 0}


class NumbersTaken(Output):
    """What came of a file of numbers, or of a Twilio account's: all of it, or (with problems) nothing."""

    made: int
    unchanged: int
    dry_run: bool
    problems: list[NumberProblem]

    EXAMPLE: ClassVar[dict[str, Any]] = {"made": 49, "unchanged": 1, "dry_run": False, "problems": []}


class PoolDocument(Output):
    """How many numbers of a city are free, and when the pool will be empty at the pace of the last days.

    `peak` is the most that were held at once in those days, `gone_in_days` None where the pace does not empty it.
    """

    city_id: RowId
    city: str
    numbers: int
    held: int
    free: int
    free_percent: int
    peak: int
    gone_in_days: float | None
    running_out: bool

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "city_id": 1,
        "city": "Riverside",
        "numbers": 50,
        "held": 41,
        "free": 9,
        "free_percent": 18,
        "peak": 43,
        "gone_in_days": 2.5,
        "running_out": True,
    }


class PoolList(Output):
    """The pools of all cities."""

    items: list[PoolDocument]

    EXAMPLE: ClassVar[dict[str, Any]] = {"items": [PoolDocument.EXAMPLE]}


class EmergencyRulesDocument(Output):
    """What a company wants of emergency calls."""

    company_id: RowId
    numbers: list[str]
    sos_number: str | None
    from_apps: str
    email: str | None
    webhook_url: str | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "company_id": 1,
        "numbers": ["101", "102", "103"],
        "sos_number": "911",
        "from_apps": "own_house",
        "email": None,
        "webhook_url": None,
    }


class LeaseDocument(Output):
    """A panel held a number; `ended_at_ms` is empty while it does."""

    id: RowId
    number_id: RowId
    city_id: RowId
    company_id: RowId | None
    panel_id: RowId | None
    number: str
    panel: str
    leased_at_ms: Moment
    calls: int
    call_id: str
    held_until_ms: Moment
    ended_at_ms: Moment | None
    end_reason: str | None
    reason: str | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "number_id": 1,
        "city_id": 1,
        "company_id": 1,
        "panel_id": 1,
        "number": "+74951110001",
        "panel": "p10001",
        "leased_at_ms": 1790000000000,
        "calls": 1,
        "call_id": "3f1c9a0e@10.20.30.40",
        "held_until_ms": 1790086400000,
        "ended_at_ms": None,
        "end_reason": None,
        "reason": None,
    }


class EmergencyStep(Output):
    """One thing that happened in an emergency call."""

    at_ms: Moment
    step: str
    detail: str

    EXAMPLE: ClassVar[dict[str, Any]] = {"at_ms": 1790000000040, "step": "dial", "detail": "city-line 112"}


class EmergencyCallDocument(Output):
    """An emergency call, out or back."""

    id: RowId
    call_id: str
    direction: str
    company_id: RowId | None
    panel_id: RowId | None
    city_id: RowId | None
    panel: str | None
    dialled: str | None
    number: str | None
    number_source: str | None
    test: bool
    started_at_ms: Moment
    answered_at_ms: Moment | None
    ended_at_ms: Moment | None
    route: str | None
    result: str | None
    desks_told_at_ms: Moment | None
    steps: list[EmergencyStep]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "call_id": "3f1c9a0e@10.20.30.40",
        "direction": "out",
        "company_id": 1,
        "panel_id": 1,
        "city_id": 1,
        "panel": "p10001",
        "dialled": "112",
        "number": "+74951110001",
        "number_source": "leased",
        "test": False,
        "started_at_ms": 1790000000000,
        "answered_at_ms": 1790000004000,
        "ended_at_ms": 1790000064000,
        "desks_told_at_ms": 1790000001000,
        "route": "city-line 112",
        "result": "answered",
        "steps": [EmergencyStep.EXAMPLE],
    }


class FindingDocument(Output):
    """A panel from which an emergency call would not go the whole way."""

    id: RowId
    company_id: RowId
    panel_id: RowId
    panel: str
    city_id: RowId | None
    problem: str
    found_at_ms: Moment

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "panel_id": 1,
        "panel": "p10001",
        "city_id": 1,
        "problem": "no_number",
        "found_at_ms": 1790000000000,
    }


class NoticeDocument(Output):
    """A message about an emergency call or a pool.

    `destination` and `last_error` of what went to the dispatch centre are null for who sees some companies only.
    """

    id: RowId
    company_id: RowId | None
    city_id: RowId | None
    call_id: str | None
    kind: str
    channel: str
    destination: str | None
    made_at_ms: Moment
    attempts: int
    sent_at_ms: Moment | None
    given_up_at_ms: Moment | None
    last_error: str | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "city_id": 1,
        "call_id": "3f1c9a0e@10.20.30.40",
        "kind": "emergency_call",
        "channel": "email",
        "destination": "duty@112.example",
        "made_at_ms": 1790000000000,
        "attempts": 1,
        "sent_at_ms": 1790000000700,
        "given_up_at_ms": None,
        "last_error": None,
    }


class LeasedNumber(Output):
    """The number that a call goes out with; `source` is `leased`, `renewed` or `shared`, None without any number.

    `refused`: the company does not let apps call 112.
    """

    panel: str
    city_id: RowId | None
    number: str | None
    trunk: str | None
    source: str | None
    held_until_ms: Moment | None
    refused: bool
    test_number: str | None
    records_calls: bool

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "panel": "p10001",
        "city_id": 1,
        "number": "+74951110001",
        "trunk": "city-line",
        "source": "leased",
        "held_until_ms": 1790086400000,
        "refused": False,
        "test_number": None,
        "records_calls": False,
    }


class CallBackAnswer(Output):
    """Who is called back; without a panel the desks on duty take the call."""

    number: str
    panel: str | None
    company_id: RowId | None
    desks: list[str]
    source: str
    address: str
    entrance: int | None
    language: str
    auto_answer: bool

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "number": "+74951110001",
        "panel": "p10001",
        "company_id": 1,
        "desks": ["desk-riverside"],
        "source": "lease",
        "address": "Lenina 1",
        "entrance": 1,
        "language": "ru",
        "auto_answer": False,
    }
