"""Apps that sleep: a stage waits for them, and rings each the moment it registers.

An account that a push wakes is marked in the stage (headers.py). While its stage rings it is listed in the table
`wake`, `account` -> `leg Call-ID, ...`; each leg has an entry in `wake_legs`:

    state index label deadline-ms stage call-id LF
    accounts that may wake, comma-separated LF
    ruid TAB account TAB contact, a line for each contact that rings or has rung, in the order of branches

A phone that has said anything to its INVITE is noted in `wake_heard`. One that has not may be an app that sleeps behind
an address that leads nowhere any more: when its account registers, its contact is a new one and is rung (`mute`). An
account whose person has declined on one device is not rung on another that wakes: the answer is known. One that is busy
says nothing of the person: several may share an account.

State `S`: nobody rings, the transaction is suspended and goes on with the first that wakes; `R`: it has branches, and
one more may be added; `J`: it is being added; `C`: nobody joins any more.

INVITE, REGISTER and CANCEL take turns at a leg, so that an app that registers in the same moment as the call comes is
neither missed nor rung twice. Replies take no turn: tm holds the lock of the transaction around their routes, and
whoever has the turn may be waiting for that lock. So the order of locks is turn, transaction, leg, account, and an
entry is locked only while it is read and written, never while tm is asked for another branch.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import foreign_text, nodes, story
from kemi_routes.clock import steady_ms
from kemi_routes.table_rows import locked

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from KSR import Ksr

    from kemi_routes.settings import Settings

ON_RESUME = "on_stage_resume"
_ACCOUNTS = "wake"
_LEGS = "wake_legs"
_TURNS = "wake_turns"
_HEARD = "wake_heard"
_LOCATION = "location"
_SUSPENDED = "S"
_CLOSED = "C"
_JOINS = "J"
RINGS = "R"
_RINGING_MS = 180_000
_MAX_CONTACTS = 10
# What a phone has said.
_SAID, _HAS_DECLINED = 1, 2
_DECLINED = "declined"
_NEGATIVE = 300
MAX_BRANCHES = 30


class Contact(NamedTuple):
    """One contact that rings; `ruid` is its unique id in the location table."""

    ruid: str
    account: str
    contact: str


@dataclass
class WakingLeg:
    """A stage that may still be joined."""

    state: str
    index: int
    label: int
    deadline_ms: int
    stage: int
    call_id: str
    accounts: tuple[str, ...]
    contacts: list[Contact] = field(default_factory=list)

    def text(self) -> str:
        """Return the entry."""
        head = f"{self.state} {self.index} {self.label} {self.deadline_ms} {self.stage} {self.call_id}"
        lines = "".join("\t".join(contact) + "\n" for contact in self.contacts)
        return f"{head}\n{','.join(self.accounts)}\n{lines}"

    @classmethod
    def parse(cls, text: str) -> WakingLeg:
        """Read an entry."""
        head, accounts, *lines = text.removesuffix("\n").split("\n")
        state, index, label, deadline_ms, stage, call_id = head.split(" ", 5)
        contacts = [Contact(*line.split("\t")) for line in lines]
        return cls(
            state, int(index), int(label), int(deadline_ms), int(stage), call_id, tuple(accounts.split(",")), contacts
        )


def turn(ksr: Ksr, leg_id: str) -> AbstractContextManager[None]:
    """Keep other requests away from this leg. Not for the routes of replies and failures."""
    return locked(ksr, _TURNS, leg_id)


def entry(ksr: Ksr, leg_id: str) -> AbstractContextManager[None]:
    """Keep everybody else from the entry of this leg, for a moment."""
    return locked(ksr, _LEGS, leg_id)


def find(ksr: Ksr, leg_id: str) -> WakingLeg | None:
    """Find a leg that may still be joined."""
    text = ksr.htable.sht_get(_LEGS, leg_id)
    return WakingLeg.parse(text) if isinstance(text, str) else None


def begin(ksr: Ksr, leg_id: str, leg: WakingLeg) -> None:
    """List a leg under each of its sleeping accounts. The transaction exists and it is the caller's turn."""
    keep(ksr, leg_id, leg)
    for account in leg.accounts:
        with locked(ksr, _ACCOUNTS, account):
            legs = ksr.htable.sht_get(_ACCOUNTS, account)
            ksr.htable.sht_sets(_ACCOUNTS, account, f"{legs} {leg_id}" if isinstance(legs, str) else leg_id)


def suspend(ksr: Ksr, leg_id: str, leg: WakingLeg) -> bool:
    """Wait for the first that wakes, at most until the leg's deadline. Nobody else may join meanwhile."""
    ksr.tm.t_set_fr(_RINGING_MS, max(1, leg.deadline_ms - steady_ms()))
    if ksr.tmx.t_suspend() < 0:
        return False
    leg.state = _SUSPENDED
    keep(ksr, leg_id, leg)
    return True


def close(ksr: Ksr, leg_id: str) -> None:
    """Let nobody join any more: the leg is being cancelled. Its list stays until the last branch has said so.

    A leg that waits has no branch: tm calls no route of ours at its end, so it ends here. A CANCEL asks for it before
    tm has it, and again after: the leg is listed, and then the INVITE asks tm whether it is cancelled, all in one turn.
    """
    if ksr.htable.sht_get(_LEGS, leg_id) is None:
        return
    with turn(ksr, leg_id), entry(ksr, leg_id):
        leg = find(ksr, leg_id)
        waits = leg is None or leg.state == _SUSPENDED
        if leg is not None:
            leg.state = _CLOSED
            keep(ksr, leg_id, leg)
    if waits:
        nodes.end_stage_leg(ksr, leg_id)
        end(ksr, leg_id)


def end(ksr: Ksr, leg_id: str) -> None:
    """Nobody joins this leg any more: it is answered, cancelled or over."""
    if ksr.htable.sht_get(_LEGS, leg_id) is None:
        return
    with entry(ksr, leg_id):
        leg = find(ksr, leg_id)
        ksr.htable.sht_rm(_LEGS, leg_id)
    for account in leg.accounts if leg is not None else ():
        with locked(ksr, _ACCOUNTS, account):
            legs = ksr.htable.sht_get(_ACCOUNTS, account)
            others = [other for other in legs.split(" ") if other != leg_id] if isinstance(legs, str) else []
            if others:
                ksr.htable.sht_sets(_ACCOUNTS, account, " ".join(others))
            else:
                ksr.htable.sht_rm(_ACCOUNTS, account)


def heard(ksr: Ksr, leg_id: str, ruid: object, status: int) -> None:
    """Note that a contact has replied to the INVITE of a leg that may still be joined, and whether it has declined."""
    if ksr.htable.sht_get(_LEGS, leg_id) is not None:
        key = f"{leg_id} {ruid}"
        if status >= _NEGATIVE and story.outcome_of(status) == _DECLINED:
            ksr.htable.sht_seti(_HEARD, key, _HAS_DECLINED)
        elif ksr.htable.sht_get(_HEARD, key) is None:  # a late 180 takes no refusal back
            ksr.htable.sht_seti(_HEARD, key, _SAID)


def waiting(ksr: Ksr, account: str) -> list[str]:
    """Return the legs that wait for an account."""
    legs = ksr.htable.sht_get(_ACCOUNTS, account)
    return legs.split(" ") if isinstance(legs, str) else []


def mute(ksr: Ksr, account: str, legs: list[str]) -> set[Contact]:
    """Return the account's contacts that ring in one of these legs and have said nothing to that yet."""
    found: set[Contact] = set()
    for leg_id in legs:
        leg = find(ksr, leg_id)
        for contact in leg.contacts if leg is not None else ():
            if contact.account == account and not _is_heard(ksr, leg_id, contact):
                found.add(contact)
    return found


def awaits(ksr: Ksr, leg_id: str, leg: WakingLeg) -> bool:
    """Tell whether an account of the leg may still wake: none of its phones has said anything."""
    said = {contact.account for contact in leg.contacts if _is_heard(ksr, leg_id, contact)}
    return not said.issuperset(leg.accounts)


def _has_declined(ksr: Ksr, leg_id: str, leg: WakingLeg, account: str) -> bool:
    ruids = [contact.ruid for contact in leg.contacts if contact.account == account]
    return any(ksr.htable.sht_get(_HEARD, f"{leg_id} {ruid}") == _HAS_DECLINED for ruid in ruids)


def _is_heard(ksr: Ksr, leg_id: str, contact: Contact) -> bool:
    return ksr.htable.sht_get(_HEARD, f"{leg_id} {contact.ruid}") is not None


def registered(ksr: Ksr, settings: Settings, account: str, legs: list[str]) -> None:
    """Ring an account that has just registered in the legs that waited for it when its contacts had been saved."""
    if legs:
        saved = _saved(ksr, account)
        for leg_id in legs:
            _join(ksr, settings, leg_id, saved)


def _join(ksr: Ksr, settings: Settings, leg_id: str, saved: list[Contact]) -> None:
    """Ring the contacts that do not yet ring in this leg."""
    with turn(ksr, leg_id):
        cseq = nodes.stage_cseq(ksr, leg_id)
        with entry(ksr, leg_id):
            leg = find(ksr, leg_id)
            if leg is None or leg.state == _CLOSED:
                return
            known = {contact.ruid for contact in leg.contacts}
            fresh = [contact for contact in saved if contact.ruid not in known]
            if not fresh or len(known) + len(fresh) > MAX_BRANCHES:
                return
            if _has_declined(ksr, leg_id, leg, fresh[0].account):
                return
            first = len(leg.contacts)
            was = leg.state
            leg.state = RINGS if was == _SUSPENDED else _JOINS
            leg.contacts += fresh
            keep(ksr, leg_id, leg)
        _tell(ksr, leg, fresh, first, "invited")  # before its first reply can be told
        if was == _SUSPENDED:
            joined = ksr.tmx.t_continue(leg.index, leg.label, ON_RESUME) > 0
        else:
            uri = f"sip:{fresh[0].account}@{settings.domain}"
            joined = ksr.tsilo.ts_append_to_uri(leg.index, leg.label, _LOCATION, uri) > 0
        with entry(ksr, leg_id):
            now = find(ksr, leg_id)
            if now is not None and now.state == _JOINS:
                now.state = RINGS
                keep(ksr, leg_id, now)
            elif now is not None and was != _SUSPENDED:
                joined = True  # take_over() was quicker
    if now is not None and joined:
        return
    _tell(ksr, leg, fresh, first, "cancelled")
    if joined and was != _SUSPENDED and cseq:
        # Answered or over while tm added the branch: nobody else would end it.
        ksr.tmx.t_cancel_callid(leg_id, cseq, 0)


def _tell(ksr: Ksr, leg: WakingLeg, contacts: list[Contact], first: int, outcome: str) -> None:
    events = [
        story.BranchEvent(index, contact.account, contact.contact, outcome, None)
        for index, contact in enumerate(contacts, first)
    ]
    story.branches(ksr, leg.call_id, leg.stage, events)


def take_over(ksr: Ksr, leg_id: str) -> str:
    """Return, in the failure route, the account that is being added and is not there yet; empty when there is none.

    tm takes the transaction for failed without it. Whoever asks has to ring it, before tm adds it.
    """
    if find(ksr, leg_id) is None:
        return ""
    with entry(ksr, leg_id):
        leg = find(ksr, leg_id)
        if leg is None or leg.state != _JOINS:
            return ""
        leg.state = RINGS
        keep(ksr, leg_id, leg)
        return leg.contacts[-1].account


def _saved(ksr: Ksr, account: str) -> list[Contact]:
    """Contacts of the account after save(): none when the last one was taken away."""
    found: list[Contact] = []
    for index in range(_MAX_CONTACTS):
        uri = foreign_text.read(ksr, f"$xavp(saved=>contact[{index}])")
        ruid = ksr.pv.get(f"$xavp(saved=>ruid[{index}])")
        if uri is None or ruid is None:
            break
        if uri in {contact.contact for contact in found}:
            continue  # it was saved twice, the last comes first (registration.py)
        found.append(Contact(str(ruid), account, uri))
    return found


def keep(ksr: Ksr, leg_id: str, leg: WakingLeg) -> None:
    """Write a leg; nobody else may change it meanwhile."""
    ksr.htable.sht_sets(_LEGS, leg_id, leg.text())
