"""Ring plans as a call asks for them, permissions to open, call records, access records, health."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field

from crm_api.domain.kinds import AccountKind  # noqa: TC001 - pydantic reads the annotations
from crm_api.domain.outputs.base import Moment, Output, RowId, Version
from crm_api.domain.ring_plan import (  # noqa: TC001 - the same
    Caller,
    DoorMethod,
    LeftOut,
    OnRefusal,
    Outcome,
    TrunkKind,
)

BranchOutcome = Literal["invited", "ringing", "answered", "busy", "declined", "offline", "cancelled", "failed"]


class PlannedTarget(Output):
    """An account that rings; a phone has its `number` (E.164) besides; `wakes`: a push wakes it."""

    account: str
    kind: AccountKind
    may_open: bool
    number: str | None = None
    wakes: bool = False
    quiet: list[tuple[Moment, Moment]] = Field(default_factory=list, description="when it keeps still: from, until")


class PlannedStage(Output):
    """A stage of a call; when all have refused, the `next` stage rings at once, or the call `stop`s."""

    ring_timeout_s: int
    targets: list[PlannedTarget]
    on_refusal: OnRefusal
    confirm: bool


class PlannedTrunk(Output):
    """A carrier that dials the phones; `caller_number` is what they show."""

    trunk: str
    kind: TrunkKind
    caller_number: str | None


class PlannedDoor(Output):
    """The door that this panel opens; `dtmf` only where the method is `dtmf`."""

    door_id: RowId
    method: DoorMethod
    dtmf: str | None = None


class PlannedCall(Output):
    """What happens when a number is pressed on a panel at this moment (docs/contracts.md, 6)."""

    panel: str
    dialled: str
    issued_at_ms: Moment
    outcome: Outcome
    apartment_id: RowId | None
    company_id: RowId | None
    caller_name: str
    language: str
    talk_limit_s: int
    ring_limit_s: int
    stages: list[PlannedStage]
    door: PlannedDoor | None
    message_limit_s: int
    records: bool
    trunks: list[PlannedTrunk]
    caller: Caller
    caller_may_open: bool
    left_out: Annotated[dict[LeftOut, list[str]], Field(description="accounts that no stage has, by why")]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "panel": "p10001",
        "dialled": "12",
        "issued_at_ms": 1790000000000,
        "outcome": "ring",
        "apartment_id": 7,
        "company_id": 1,
        "caller_name": "Lenina 1, entrance 1",
        "language": "en",
        "talk_limit_s": 60,
        "ring_limit_s": 120,
        "stages": [
            {
                "ring_timeout_s": 30,
                "targets": [{"account": "h10012a", "kind": "handset", "may_open": True}],
                "on_refusal": "next",
                "confirm": False,
            },
            {
                "ring_timeout_s": 30,
                "targets": [{"account": "f10012", "kind": "phone", "may_open": True, "number": "+79001234567"}],
                "on_refusal": "next",
                "confirm": True,
            },
        ],
        "door": {"door_id": 3, "method": "dtmf", "dtmf": "1"},
        "message_limit_s": 0,
        "records": False,
        "trunks": [{"trunk": "carrier-a", "kind": "sip", "caller_number": "+78435550100"}],
        "caller": "panel",
        "caller_may_open": False,
        "left_out": {"disabled": ["a10012"]},
    }


class DoorOpeningAnswer(Output):
    """Yes or no to a resident who pressed the key; `granted`: the door is opened by DTMF.

    `access_record_id` is null while the database takes no record.
    """

    result: Literal["opened", "refused", "failed", "granted"]
    reason: str
    door: PlannedDoor | None
    access_record_id: RowId | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "result": "granted",
        "reason": "send the digits to the panel",
        "door": {"door_id": 3, "method": "dtmf", "dtmf": "1"},
        "access_record_id": 17,
    }


class CodeEntryAnswer(Output):
    """Yes or no to a code that was typed; `locked_until_ms`: this place takes no code before.

    `access_record_id` is null for a panel that nobody knows, and while the database takes no record.
    """

    result: Literal["opened", "refused", "failed", "granted"]
    reason: str
    language: str
    locked_until_ms: Moment | None
    door: PlannedDoor | None
    access_record_id: RowId | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "result": "refused",
        "reason": "nobody knows this code",
        "language": "en",
        "locked_until_ms": None,
        "door": {"door_id": 3, "method": "dtmf"},
        "access_record_id": 18,
    }


class CodeLockDocument(Output):
    """Wrong codes in a row at a panel, an entrance or a gate; `locked_until_ms`: since then it takes them again."""

    id: RowId
    company_id: RowId
    panel_id: RowId | None
    entrance_id: RowId | None
    gate_id: RowId | None
    wrong: int
    last_wrong_at_ms: Moment
    locked_until_ms: Moment | None
    version: Version

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "panel_id": 3,
        "entrance_id": None,
        "gate_id": None,
        "wrong": 0,
        "last_wrong_at_ms": 1790000000000,
        "locked_until_ms": 1790000600000,
        "version": 5,
    }


class AccessRecordDocument(Output):
    """One opening of a door, or one refusal: who, when, how, with which result."""

    id: RowId
    company_id: RowId | None
    at_ms: Moment
    panel_id: RowId | None
    apartment_id: RowId | None
    house_id: RowId | None
    key_id: RowId | None
    key_number: str | None
    access_code_id: RowId | None
    panel: str
    door_id: RowId | None
    account: str | None
    opened_by: str | None
    call_id: str | None
    key: str | None
    method: str | None
    result: Literal["granted", "sent", "opened", "refused", "failed"]
    reason: str | None
    event_at_ms: Moment | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 17,
        "company_id": 1,
        "at_ms": 1790000010000,
        "panel_id": 3,
        "apartment_id": 7,
        "house_id": 1,
        "key_id": None,
        "key_number": None,
        "access_code_id": None,
        "panel": "p10001",
        "door_id": 3,
        "account": "h10012a",
        "opened_by": None,
        "call_id": "3f1c9a0e@10.20.30.40",
        "key": "#",
        "method": "dtmf",
        "result": "sent",
        "reason": "send the digits to the panel",
        "event_at_ms": 1790000010050,
    }


class CallDocument(Output):
    """A call."""

    id: RowId
    call_id: str
    company_id: RowId | None
    panel_id: RowId | None
    apartment_id: RowId | None
    house_id: RowId | None
    panel: str | None
    dialled: str | None
    started_at_ms: Moment
    ended_at_ms: Moment | None
    talk_ms: int | None
    answered_by: str | None
    result: str | None
    reason: str | None
    cause: int | None
    plan_source: str | None

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 5,
        "call_id": "3f1c9a0e@10.20.30.40",
        "company_id": 1,
        "panel_id": 3,
        "apartment_id": 7,
        "house_id": 1,
        "panel": "p10001",
        "dialled": "12",
        "started_at_ms": 1790000000000,
        "ended_at_ms": 1790000021000,
        "talk_ms": 12000,
        "answered_by": "h10012a",
        "result": "answered",
        "reason": None,
        "cause": 16,
        "plan_source": "redis",
    }


class BranchDocument(Output):
    """One branch of a call: why a phone rang or did not."""

    stage: int
    account: str
    branch: str
    contact: str | None
    outcome: BranchOutcome
    sip_status: int | None
    invited_at_ms: Moment | None
    ringing_at_ms: Moment | None
    ended_at_ms: Moment | None


class PhoneLegDocument(Output):
    """A phone that answered: on which trunk, how long, what it costs in millionths of the currency.

    `connected`: the visitor talked with it; an answering machine that presses no key is paid and not connected.
    """

    stage: int
    account: str
    trunk: str
    ended_at_ms: Moment
    phone_ms: int
    billed_s: int
    cost_micros: int
    currency: str
    connected: bool


class StoryLine(BaseModel):
    """One event: what happened and when; the other fields depend on `event` (docs/contracts.md, 7)."""

    model_config = ConfigDict(extra="allow", frozen=True, use_attribute_docstrings=True)

    event: str
    at_ms: Moment


class WhyDocument(Output):
    """What became of one account in a call."""

    call_id: str
    account: str
    rang: bool
    sentence: str

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "call_id": "3f1c9a0e@10.20.30.40",
        "account": "a10012",
        "rang": False,
        "sentence": "a10012 was to ring, but no device of it was registered; a push was taken by fcm, but no device "
        "woke and registered in time.",
    }


class CallWithBranches(CallDocument):
    """A call with every branch and opening, what its phones cost, and all that happened in order."""

    branches: list[BranchDocument]
    access_records: list[AccessRecordDocument]
    phone_legs: list[PhoneLegDocument]
    story: list[StoryLine]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        **CallDocument.EXAMPLE,
        "branches": [
            {
                "stage": 0,
                "account": "h10012a",
                "branch": "0",
                "contact": "sip:h10012a@10.20.30.50:5060",
                "outcome": "answered",
                "sip_status": 200,
                "invited_at_ms": 1790000000100,
                "ringing_at_ms": 1790000000250,
                "ended_at_ms": 1790000009000,
            }
        ],
        "access_records": [AccessRecordDocument.EXAMPLE],
        "phone_legs": [
            {
                "stage": 1,
                "account": "f10012",
                "trunk": "carrier-a",
                "ended_at_ms": 1790000021000,
                "phone_ms": 12000,
                "billed_s": 60,
                "cost_micros": 14000,
                "currency": "USD",
                "connected": True,
            }
        ],
        "story": [
            {"event": "dialled", "at_ms": 1790000000000, "panel": "p10001", "dialled": "12"},
            {
                "event": "plan",
                "at_ms": 1790000000050,
                "outcome": "ring",
                "plan_source": "redis",
                "issued_at_ms": 1789999990000,
                "stage": 0,
                "ring_limit_s": 120,
                "stages": [{"ring_timeout_s": 30, "accounts": ["h10012a"]}],
                "left_out": {"quiet_hours": ["a10012"]},
            },
            {
                "event": "branch",
                "at_ms": 1790000000100,
                "stage": 0,
                "branch": 0,
                "account": "h10012a",
                "contact": "sip:h10012a@10.20.30.50:5060",
                "outcome": "invited",
            },
            {"event": "ended", "at_ms": 1790000021000, "result": "answered", "hung_up_by": "callee", "cause": 16},
        ],
    }


class HealthDocument(Output):
    """Whether each of them answers; why one does not is in the log."""

    status: Literal["ok", "degraded"]
    database: Literal["ok", "away"]
    redis: Literal["ok", "away"]

    EXAMPLE: ClassVar[dict[str, Any]] = {"status": "ok", "database": "ok", "redis": "ok"}
