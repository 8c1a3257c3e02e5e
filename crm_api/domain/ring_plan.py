"""The ring plan of (panel, dialled number): who rings, in which order, and who may open (docs/contracts.md §6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, Literal

import msgspec

from crm_api.domain.quiet_hours import Window  # noqa: TC001 - msgspec reads the annotation

if TYPE_CHECKING:
    from collections.abc import Mapping

Outcome = Literal["ring", "blocked", "unknown_number", "emergency", "forbidden"]
Caller = Literal["panel", "resident", "desk"]
DoorMethod = Literal["dtmf", "http"]
OnRefusal = Literal["next", "stop"]
TrunkKind = Literal["sip", "twilio_voice"]
LeftOut = Literal[
    "disabled",
    "residency_over",
    "not_named",
    "too_many",
    "not_for_neighbours",
    "off_duty",
    "not_a_residents_number",
    "country_not_allowed",
    "minutes_used_up",
]
"""Why an account that belongs to the apartment, or that its plan names, does not ring (docs/contracts.md §6)."""

MAX_ACCOUNTS_PER_STAGE: Final = 30
"""Limit of the header that carries a stage (docs/contracts.md §3)."""
DISPATCH_RING_TIMEOUT_S: Final = 120
DEFAULT_TALK_LIMIT_S: Final = 60
DEFAULT_RING_LIMIT_S: Final = 120
DEFAULT_STAGES: Final = (("all",), ("phone", "all"))
"""Kinds of the stages where no plan is kept. Of more accounts than ring together the others ring with the phones: later
than at once, and nobody's phone waits for a stage of theirs."""


class Target(msgspec.Struct, frozen=True, omit_defaults=True):
    """An account that rings, and whether it may open the door. `number` (E.164) is there for a phone alone.

    `wakes`: it has a device that a push wakes.
    """

    account: str
    kind: str
    may_open: bool
    number: str | None = None
    quiet: list[Window] = msgspec.field(default_factory=list)
    """When it does not ring: from and until, epoch milliseconds."""
    wakes: bool = False


class Trunk(msgspec.Struct, frozen=True):
    """A carrier that dials the phones of a plan; `caller_number` (E.164) is what they show."""

    trunk: str
    kind: TrunkKind
    caller_number: str | None


class Stage(msgspec.Struct, frozen=True):
    """Accounts that ring together, for so many seconds.

    `on_refusal`: when everybody who rang has refused, the call goes on to the `next` stage at once, or it `stop`s.
    `confirm`: who answers a phone presses a key before he is connected; an answering machine does not.
    """

    ring_timeout_s: int
    targets: list[Target]
    on_refusal: OnRefusal = "next"
    confirm: bool = False


class Door(msgspec.Struct, frozen=True):
    """The door that this panel opens, and how. `dtmf` is set when the method is `dtmf`."""

    door_id: int
    method: DoorMethod
    dtmf: str | None


class RingPlan(msgspec.Struct, frozen=True):
    """The answer of `GET /v1/ring-plans/{panel}/{dialled}`; field names are the contract's."""

    panel: str
    dialled: str
    issued_at_ms: int
    outcome: Outcome
    apartment_id: int | None
    company_id: int | None
    caller_name: str
    language: str
    talk_limit_s: int
    stages: list[Stage]
    door: Door | None
    ring_limit_s: int = DEFAULT_RING_LIMIT_S
    """All stages together."""
    message_limit_s: int = 0
    """When nobody answered the visitor may leave a message of this length; 0: he may not."""
    records: bool = False
    """The talk is recorded, and both sides are told so."""
    caller: Caller = "panel"
    """Who calls: the plan of a panel alone is kept in Redis."""
    caller_may_open: bool = False
    """A resident or a desk that looks through a panel opens its door with the same key as when it was called."""

    trunks: list[Trunk] = msgspec.field(default_factory=list)
    """Who dials the phones, the first choice first; empty when no stage has one."""
    left_out: dict[LeftOut, list[str]] = msgspec.field(default_factory=dict)
    """Accounts that no stage has, by why: of the apartment, named by its plan, or of desks."""

    def opens(self, account: str) -> bool:
        """Say whether this account may open the door of this plan."""
        if account == self.panel:
            return self.caller_may_open
        target = self.target(account)
        return target is not None and target.may_open

    def target(self, account: str) -> Target | None:
        """Return the target of this account, None when the plan does not ring it."""
        return next((t for stage in self.stages for t in stage.targets if t.account == account), None)


@dataclass(frozen=True)
class CallerFacts:
    """What is known of whoever calls, and what his company has set."""

    company_id: int
    caller_name: str
    language: str
    talk_limit_s: int
    ring_timeout_s: int
    ring_limit_s: int


@dataclass(frozen=True)
class PanelFacts(CallerFacts):
    """What is known of the calling panel and its company."""

    panel_id: int
    door: Door | None
    message_limit_s: int = 0
    records: bool = False


@dataclass(frozen=True)
class Member:
    """An account as the plan sees it; `apartment_id` is None for a concierge or a trunk, `number` is a phone's.

    `answers_here`: it is that of a desk which answers for this house; an account of kind concierge alone is no desk.
    `turn` is the place of its resident among those of the household (None: nobody's own), `quiet` when it keeps still.
    `unfit` says why it does not ring when it is not `enabled`.
    """

    account: str
    kind: str
    enabled: bool
    apartment_id: int | None
    number: str | None = None
    wakes: bool = False
    turn: tuple[int, int] | None = None
    quiet: tuple[Window, ...] = ()
    answers_here: bool = False
    unfit: LeftOut = "disabled"


@dataclass(frozen=True)
class Desks:
    """Desks that answer for some houses: those on duty by priority, lowest first, and those that do not ring."""

    ringing: tuple[tuple[Member, ...], ...] = ()
    unfit: tuple[Member, ...] = ()


@dataclass(frozen=True)
class TargetRule:
    """One line of a kept plan: either `kind` or one given account.

    Kinds: `all` (whatever of the household is reached over SIP), a kind of the household's accounts, or `concierge`
    (the desks on duty, one stage for each priority).
    """

    kind: str | None = None
    member: Member | None = None


@dataclass(frozen=True)
class StageRule:
    """One stage of a kept plan; `one_by_one`: the residents' own accounts ring one resident after another."""

    ring_timeout_s: int
    targets: tuple[TargetRule, ...]
    on_refusal: OnRefusal = "next"
    confirm: bool = False
    one_by_one: bool = False


@dataclass(frozen=True)
class Household:
    """What is known of the apartment called.

    `stages` is None when no plan is kept for it: everybody rings at once, then the phones. `desks` are those that
    answer for this house.
    """

    apartment_id: int
    members: tuple[Member, ...]
    stops_calls: bool
    stops_opening: bool
    stages: tuple[StageRule, ...] | None
    desks: Desks = Desks()


def unknown_number(panel: str, dialled: str, issued_at_ms: int, facts: PanelFacts | None) -> RingPlan:
    """Answer for a number that means nothing on this panel (or for a panel that nobody knows)."""
    return _plan(panel, dialled, issued_at_ms, "unknown_number", facts)


def emergency(panel: str, dialled: str, issued_at_ms: int, facts: PanelFacts, dispatch: Member | None) -> RingPlan:
    """Answer for an emergency number: the dispatch centre rings and opens nothing.

    Without a dispatch centre the plan has no stage; the visitor then hears that nobody can be reached.
    """
    stages = []
    if dispatch is not None and dispatch.enabled:
        target = Target(dispatch.account, dispatch.kind, may_open=False)
        stages = [Stage(DISPATCH_RING_TIMEOUT_S, [target])]
    return _plan(panel, dialled, issued_at_ms, "emergency", facts, stages=stages)


def household_plan(panel: str, dialled: str, issued_at_ms: int, facts: PanelFacts, household: Household) -> RingPlan:
    """Answer for an apartment: blocked, or the stages that ring.

    Disabled accounts are left out, an account rings once. Accounts of other apartments may talk but not open; so
    may one of kind concierge that the plan names and that has no desk here (any more).
    """
    if household.stops_calls:
        return _plan(panel, dialled, issued_at_ms, "blocked", facts, apartment_id=household.apartment_id)
    stages, left_out = stages_of(household, facts.ring_timeout_s)
    plan = _plan(
        panel,
        dialled,
        issued_at_ms,
        "ring",
        facts,
        apartment_id=household.apartment_id,
        stages=stages,
        door=facts.door,
    )
    return msgspec.structs.replace(
        plan, message_limit_s=facts.message_limit_s, records=facts.records, left_out=by_reason(left_out)
    )


def stages_of(household: Household, ring_timeout_s: int) -> tuple[list[Stage], dict[str, LeftOut]]:
    """Return who rings in which order, and of the others why they do not.

    By the kept plan, else everybody at once (for so long), then the phones.
    """
    seen: set[str] = set()
    left_out: dict[str, LeftOut] = {}
    stages = []
    for rule in default_rules(ring_timeout_s) if household.stages is None else household.stages:
        for members in _rung(rule, household):
            targets: list[Target] = []
            for member in members:
                if member.account in seen:
                    continue
                if not member.enabled:
                    left_out[member.account] = member.unfit
                elif len(targets) == MAX_ACCOUNTS_PER_STAGE:
                    left_out[member.account] = "too_many"
                else:
                    seen.add(member.account)
                    targets.append(_target(member, household))
            if targets:
                stages.append(Stage(rule.ring_timeout_s, targets, rule.on_refusal, rule.confirm))
    for member in household.members:
        left_out.setdefault(member.account, "not_named" if member.enabled else member.unfit)
    for desk in household.desks.unfit:
        left_out.setdefault(desk.account, desk.unfit)
    return stages, {account: why for account, why in left_out.items() if account not in seen}


def default_rules(ring_timeout_s: int) -> tuple[StageRule, ...]:
    """Return the stages of an apartment for which no plan is kept."""
    return tuple(StageRule(ring_timeout_s, tuple(TargetRule(kind=kind) for kind in kinds)) for kinds in DEFAULT_STAGES)


def by_reason(left_out: Mapping[str, LeftOut]) -> dict[LeftOut, list[str]]:
    """Return who is left out as a plan has it: the accounts of each reason."""
    accounts: dict[LeftOut, list[str]] = {}
    for account, why in left_out.items():
        accounts.setdefault(why, []).append(account)
    return accounts


def _rung(rule: StageRule, household: Household) -> list[list[Member]]:
    """Return who rings in this stage, and in those that follow it for desks of a lower priority or other residents.

    One by one: first the accounts of the whole household with those of the first resident, then each other resident's.
    """
    rung: list[list[Member]] = [[]]
    for line in rule.targets:
        if line.member is not None:
            rung[0].append(line.member)
        elif line.kind == "concierge":
            for place, desks in enumerate(household.desks.ringing):
                if place == len(rung):
                    rung.append([])
                rung[place].extend(desks)
        else:
            rung[0].extend(m for m in household.members if line.kind == m.kind or _by_all(line, m))
    if rule.one_by_one:
        turns = sorted({m.turn for m in rung[0] if m.turn is not None and m.enabled})
        first = [m for m in rung[0] if m.turn is None or m.turn in turns[:1]]
        rung[:1] = [first, *([m for m in rung[0] if m.turn == turn] for turn in turns[1:])]
    return rung


def _target(member: Member, household: Household) -> Target:
    may_open = _may_open(member, household)
    return Target(member.account, member.kind, may_open, member.number, list(member.quiet), member.wakes)


def _by_all(line: TargetRule, member: Member) -> bool:
    """A phone costs money and ends in an answering machine: it rings only where a plan names phones."""
    return line.kind == "all" and member.kind != "phone"


def _may_open(member: Member, household: Household) -> bool:
    if household.stops_opening:
        return False
    return member.answers_here or member.apartment_id == household.apartment_id


def _plan(
    panel: str,
    dialled: str,
    issued_at_ms: int,
    outcome: Outcome,
    facts: CallerFacts | None,
    *,
    apartment_id: int | None = None,
    stages: list[Stage] | None = None,
    door: Door | None = None,
) -> RingPlan:
    return RingPlan(
        panel=panel,
        ring_limit_s=facts.ring_limit_s if facts else DEFAULT_RING_LIMIT_S,
        dialled=dialled,
        issued_at_ms=issued_at_ms,
        outcome=outcome,
        apartment_id=apartment_id,
        company_id=facts.company_id if facts else None,
        caller_name=facts.caller_name if facts else panel,
        language=facts.language if facts else "en",
        talk_limit_s=facts.talk_limit_s if facts else DEFAULT_TALK_LIMIT_S,
        stages=stages or [],
        door=door,
    )
