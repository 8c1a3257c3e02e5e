"""The ring plan of (panel, dialled number): who rings, in which order, and who may open (docs/contracts.md §6)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

import msgspec

from crm_api.domain.quiet_hours import Window  # noqa: TC001 - msgspec reads the annotation

Outcome = Literal["ring", "blocked", "unknown_number", "emergency", "forbidden"]
Caller = Literal["panel", "resident", "desk"]
DoorMethod = Literal["dtmf", "http"]
OnRefusal = Literal["next", "stop"]
TrunkKind = Literal["sip", "twilio_voice"]

MAX_ACCOUNTS_PER_STAGE: Final = 30
"""Limit of the header that carries a stage (docs/contracts.md §3)."""
DISPATCH_RING_TIMEOUT_S: Final = 120
DEFAULT_TALK_LIMIT_S: Final = 60
DEFAULT_RING_LIMIT_S: Final = 120


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

    `turn` is the place of its resident among those of the household (None: nobody's own), `quiet` when it keeps still.
    """

    account: str
    kind: str
    enabled: bool
    apartment_id: int | None
    number: str | None = None
    wakes: bool = False
    turn: tuple[int, int] | None = None
    quiet: tuple[Window, ...] = ()


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

    `stages` is None when no plan is kept for it: everybody rings at once, then the phones. `desks` are the desks on
    duty that answer for this house, by priority, lowest first.
    """

    apartment_id: int
    members: tuple[Member, ...]
    stops_calls: bool
    stops_opening: bool
    stages: tuple[StageRule, ...] | None
    desks: tuple[tuple[Member, ...], ...] = ()


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

    Disabled accounts are left out, an account rings once, accounts of other apartments may talk but not open.
    """
    if household.stops_calls:
        return _plan(panel, dialled, issued_at_ms, "blocked", facts, apartment_id=household.apartment_id)
    plan = _plan(
        panel,
        dialled,
        issued_at_ms,
        "ring",
        facts,
        apartment_id=household.apartment_id,
        stages=stages_of(household, facts.ring_timeout_s),
        door=facts.door,
    )
    return msgspec.structs.replace(plan, message_limit_s=facts.message_limit_s, records=facts.records)


def stages_of(household: Household, ring_timeout_s: int) -> list[Stage]:
    """Return who rings in which order: by the kept plan, else everybody at once (for so long), then the phones."""
    rules = household.stages
    if rules is None:
        rules = tuple(StageRule(ring_timeout_s, (TargetRule(kind=kind),)) for kind in ("all", "phone"))
    seen: set[str] = set()
    stages = []
    for rule in rules:
        for members in _rung(rule, household):
            targets: list[Target] = []
            for member in members:
                if member.enabled and member.account not in seen and len(targets) < MAX_ACCOUNTS_PER_STAGE:
                    seen.add(member.account)
                    targets.append(_target(member, household))
            if targets:
                stages.append(Stage(rule.ring_timeout_s, targets, rule.on_refusal, rule.confirm))
    return stages


def _rung(rule: StageRule, household: Household) -> list[list[Member]]:
    """Return who rings in this stage, and in those that follow it for desks of a lower priority or other residents.

    One by one: first the accounts of the whole household with those of the first resident, then each other resident's.
    """
    rung: list[list[Member]] = [[]]
    for line in rule.targets:
        if line.member is not None:
            rung[0].append(line.member)
        elif line.kind == "concierge":
            for place, desks in enumerate(household.desks):
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
    # Of those who belong to no apartment a desk opens, at its table or on its phone.
    is_desk = member.apartment_id is None and member.kind in {"concierge", "phone"}
    return is_desk or member.apartment_id == household.apartment_id


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
