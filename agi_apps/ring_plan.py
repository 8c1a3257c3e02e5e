"""The ring plan as the CRM writes it (docs/contracts.md, 6)."""

from __future__ import annotations

import re
from typing import Annotated, Literal

import msgspec

# An account ends up in a SIP header and in dialplan arguments; 30 of them must fit one AGI command.
_ACCOUNT = r"^[A-Za-z0-9][A-Za-z0-9._@+-]{0,59}\Z"
_is_account = re.compile(_ACCOUNT).match
Account = Annotated[str, msgspec.Meta(pattern=_ACCOUNT)]
Digits = Annotated[str, msgspec.Meta(pattern=r"^[0-9*#A-DwW]{1,16}$")]
DAY_MS = 86_400_000
# Whatever it is, a call speaks one of three (prompts.py).
Language = Annotated[str, msgspec.Meta(max_length=12)]


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """One account to ring; a phone has the `number` (E.164) that a trunk dials; `wakes`: a push wakes it."""

    account: str
    kind: str
    may_open: bool
    number: Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{2,14}$")] | None = None
    wakes: bool = False
    quiet: tuple[tuple[int, int], ...] = ()

    def is_quiet(self, now_ms: int) -> bool:
        """Whether it keeps still now: `quiet` holds moments from and until, epoch ms.

        They are those of some days. With the CRM away for longer the last of them comes again each day.
        """
        if not self.quiet:
            return False
        begin, end = self.quiet[-1]
        if now_ms >= end:
            return (now_ms - begin) % DAY_MS < end - begin
        return any(begin <= now_ms < end for begin, end in self.quiet)


class Trunk(msgspec.Struct, frozen=True):
    """A carrier that dials phones; `caller_number` (E.164) is what they show."""

    trunk: Account
    kind: str
    caller_number: Annotated[str, msgspec.Meta(pattern=r"^\+[1-9][0-9]{2,14}$")] | None = None


class Stage(msgspec.Struct, frozen=True):
    """Accounts that ring together, and for how long; `confirm`: who answers a phone presses a key first.

    Raises:
        ValueError: an account has no name that can be passed on.
    """

    ring_timeout_s: Annotated[int, msgspec.Meta(ge=1, le=600)]
    targets: Annotated[tuple[Target, ...], msgspec.Meta(max_length=30)]
    on_refusal: Literal["next", "stop"] = "next"
    confirm: bool = False

    def __post_init__(self) -> None:
        # Here, as a pattern costs msgspec 2 µs a target, most of what reading a plan takes.
        for target in self.targets:
            if _is_account(target.account) is None:
                raise ValueError(f"account {target.account!r} cannot be rung")


class Door(msgspec.Struct, frozen=True):
    """The door this panel opens. `dtmf` is what the panel wants to hear when `method` is `dtmf`."""

    door_id: int
    method: Literal["dtmf", "http"]
    dtmf: Digits | None = None


class RingPlan(msgspec.Struct, frozen=True):
    """Who rings, in which order, when a number is dialled; and who may open the door.

    `panel` is the calling account, also when a resident or a desk calls. `ring_limit_s` bounds all stages together.
    """

    panel: str
    dialled: str
    issued_at_ms: int
    outcome: Literal["ring", "blocked", "unknown_number", "emergency", "forbidden"]
    caller_name: str = ""
    language: Language = "en"
    talk_limit_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 120
    stages: tuple[Stage, ...] = ()
    apartment_id: int | None = None
    door: Door | None = None
    trunks: tuple[Trunk, ...] = ()
    ring_limit_s: Annotated[int, msgspec.Meta(ge=1, le=86_400)] = 120
    message_limit_s: Annotated[int, msgspec.Meta(ge=0, le=600)] = 0
    records: bool = False
    caller: Literal["panel", "resident", "desk"] = "panel"
    caller_may_open: bool = False
    left_out: dict[str, tuple[str, ...]] = {}
    """Accounts that no stage has, by why; empty also in a plan of an older CRM, which does not say."""

    def may_open(self, account: str) -> bool:
        """Whether this account may open the door of this plan."""
        if account == self.panel:
            return self.caller_may_open
        return any(target.may_open and target.account == account for stage in self.stages for target in stage.targets)


class InvalidPlan(ValueError):  # noqa: N818 - states the fact
    """A plan that does not follow the contract."""


_decoder = msgspec.json.Decoder(RingPlan)


def decode_plan(raw: bytes, panel: str, dialled: str) -> RingPlan:
    """Read a plan and check that it is the one asked for.

    Raises:
        InvalidPlan: it is not JSON, breaks the contract, or belongs to another panel or number.
    """
    try:
        plan = _decoder.decode(raw)
    except msgspec.MsgspecError as error:
        raise InvalidPlan(f"ring plan of {panel}:{dialled}: {error}") from error
    if (plan.panel, plan.dialled) != (panel, dialled):
        raise InvalidPlan(f"ring plan of {panel}:{dialled} says it is of {plan.panel}:{plan.dialled}")
    return plan
