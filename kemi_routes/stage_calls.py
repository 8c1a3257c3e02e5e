"""Stages: one INVITE of Asterisk forked to every contact of every account it names; one answer ends the others."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import unquote

from kemi_routes import (
    admission,
    answers,
    contact_address,
    early_pictures,
    emergency_table,
    foreign_text,
    full_accounts,
    headers,
    late_ringing,
    nodes,
    probe_calls,
    registration,
    second_answers,
    story,
    talks,
    waking,
)
from kemi_routes.clock import steady_ms
from kemi_routes.pipeline import DONE, Refusal
from kemi_routes.relaying import relay_or_keep
from kemi_routes.replies import CANCELLED, name_ringing, refuse, refuse_who_was_left, tell_no_redirect

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

Branch = waking.Contact
USER = headers.STAGE_USER
ON_REPLY = "on_stage_reply"
ON_FAILURE = "on_stage_failure"
# Kept with the transaction: lines of Call-ID, stage, plan source, whose; `ruid TAB account TAB contact` of each branch.
_BRANCHES = "$avp(branches)"
# Of the transaction: a device has rung, and Asterisk knows.
_RUNG = "$avp(rung)"
# Branches that have had a negative reply: `leg Call-ID, ruid`.
_ENDED = "ended"
_MAX_BRANCHES = 30
# Asterisk ends a stage itself; this only bounds it. A device silent for 5 s is not there.
_STAGE_MS = 180_000
_DEVICE_SILENT_MS = 5000
_WORTH_WAITING_MS = 300
_TIMEOUT = 408
_RING = 101
_NEGATIVE = 300
_ANSWER = 200
_TRYING = 100
_RINGING = 180


class Kept(NamedTuple):
    """What is kept of a stage while it rings; a branch is `ruid TAB account TAB contact`."""

    call_id: str
    stage: str
    plan_source: str
    whose: str
    branches: list[str]

    def index_of(self, ruid: object) -> int:
        """Return the place of the branch with this ruid, -1 when it is none of ours."""
        own = f"{ruid}\t"
        for index, branch in enumerate(self.branches):
            if branch.startswith(own):
                return index
        return -1


def ring_stage(ksr: Ksr, request: Request) -> Outcome:
    """Fork the stage's INVITE; 480 at once when no account has a contact and none may wake."""
    try:
        asked = headers.parse_stage(ksr.hdr.gete(headers.STAGE))
    except ValueError as error:
        return refuse(ksr, request, Refusal(400, "Bad Stage", str(error)))
    if nodes.has_left(ksr, asked.call_id):
        return refuse_who_was_left(ksr, request)
    if len(asked.accounts) == 1 and emergency_table.is_panel(ksr, asked.accounts[0]):
        story.panel_called(ksr, asked.call_id, asked.accounts[0])
        probe_calls.give_way(ksr, request.settings, asked.accounts[0])
    if asked.number == 0:
        admission.node_dials(ksr, asked.call_id)
    if asked.sleepers:
        return _ring_with_sleepers(ksr, request, asked)
    branches, absent = _find_contacts(ksr, asked.accounts, request.settings.domain)
    _tell_begin(ksr, asked.call_id, asked.number, branches, absent)
    if not branches:
        return refuse(ksr, request, Refusal(480, "Nobody Registered", f"no contact of {','.join(asked.accounts)}"))
    lines = "\n".join(f"{b.ruid}\t{b.account}\t{b.contact}" for b in branches)
    ksr.pv.sets(_BRANCHES, f"{_head(asked)}{lines}\n")
    _prepare(ksr, request)
    return DONE if _relay(ksr) else _reaches_nobody(ksr, request, asked, branches)


def _reaches_nobody(ksr: Ksr, request: Request, asked: headers.Stage, branches: list[Branch]) -> Outcome:
    nodes.end_stage_leg(ksr, request.call_id)
    _tell_unreachable(ksr, request.call_id, asked, branches)
    if ksr.tm.t_is_canceled() > 0:
        ksr.sl.send_reply(*CANCELLED)
        return DONE
    return refuse(
        ksr, request, Refusal(480, "Nobody Reached", f"no route to any contact of {','.join(asked.accounts)}")
    )


def _head(stage: headers.Stage) -> str:
    return f"{stage.call_id}\n{stage.number}\n{stage.plan_source}\n{stage.whose}\n"


def _prepare(ksr: Ksr, request: Request) -> None:
    """Take away what is ours and note the leg; what follows is relayed or waits."""
    headers.strip_stage(ksr)
    ksr.hdr.remove("Route")
    ksr.rr.record_route()
    nodes.keep_stage_leg(ksr, request.call_id)


def _relay(ksr: Ksr) -> bool:
    _arm(ksr)
    ksr.tm.t_set_fr(_STAGE_MS, _DEVICE_SILENT_MS)
    return relay_or_keep(ksr)


def _arm(ksr: Ksr) -> None:
    ksr.tm.t_on_reply(ON_REPLY)
    ksr.tm.t_on_failure(ON_FAILURE)


def _tell_begin(ksr: Ksr, call_id: str, stage: int, branches: list[Branch], absent: list[str]) -> None:
    events = [story.BranchEvent(None, account, None, "offline", None) for account in absent]
    events += [
        story.BranchEvent(index, account, contact, "invited", None)
        for index, (_, account, contact) in enumerate(branches)
    ]
    story.branches(ksr, call_id, stage, events)


def _tell_unreachable(ksr: Ksr, leg_id: str, stage: headers.Stage, branches: list[Branch]) -> None:
    """Nothing could be sent to any of these: this host has no route there, or the connection is gone.

    Or the stage is cancelled already: tm sends nothing then.
    """
    outcome = "cancelled" if ksr.tm.t_is_canceled() > 0 else "failed"
    for branch in branches:
        _note_end(ksr, leg_id, branch)
    told = [story.BranchEvent(i, b.account, b.contact, outcome, None) for i, b in enumerate(branches)]
    story.branches(ksr, stage.call_id, stage.number, told)


def _ring_with_sleepers(ksr: Ksr, request: Request, stage: headers.Stage) -> Outcome:
    """Ring who is there, and be ready for those that a push is waking (waking.py)."""
    leg_id = request.call_id
    ksr.pv.sets(_BRANCHES, _head(stage))
    _prepare(ksr, request)
    _arm(ksr)
    if ksr.tm.t_newtran() == 0:
        return DONE
    deadline_ms = steady_ms() + request.settings.wake_s * 1000
    transaction = (int(ksr.pv.get("$T(id_index)") or 0), int(ksr.pv.get("$T(id_label)") or 0))
    with waking.turn(ksr, leg_id):
        # Listed before contacts are looked up: who registers from now on finds the leg and waits for its turn.
        leg = waking.WakingLeg(waking.RINGS, *transaction, deadline_ms, stage.number, stage.call_id, stage.sleepers)
        waking.begin(ksr, leg_id, leg)
        branches, absent = _find_contacts(ksr, stage.accounts, request.settings.domain)
        _tell_begin(ksr, stage.call_id, stage.number, branches, absent)
        leg.contacts = branches
        waking.keep(ksr, leg_id, leg)
        going = bool(branches) and _relay(ksr)
        if not going:
            if branches:
                _tell_unreachable(ksr, leg_id, stage, branches)
            if ksr.tm.t_is_canceled() < 0:
                # The visitor hears ringing meanwhile.
                ksr.tm.t_send_reply(180, "Ringing")
                going = waking.suspend(ksr, leg_id, leg)
    if not going:
        nodes.end_stage_leg(ksr, leg_id)
        waking.end(ksr, leg_id)
        if ksr.tm.t_is_canceled() > 0:
            ksr.tm.t_reply(*CANCELLED)
            return DONE
        ksr.err(f"stage can neither be relayed nor wait; call_id={leg_id}\n")
        ksr.tm.t_reply(500, "Cannot Wait")
    return DONE


def on_resume(ksr: Ksr, settings: Settings) -> None:
    """The first sleeper has registered: ring it. Runs in the process of its REGISTER, which has the turn at the leg."""
    leg_id = ksr.kx.get_callid() or ""
    leg = waking.find(ksr, leg_id)
    if leg is None:
        ksr.tm.t_reply(480, "Nobody Registered")
        return
    account = leg.contacts[-1].account
    if not _ring_account(ksr, settings, account):
        ksr.err(f"a phone that woke cannot be rung; account={account} call_id={leg_id}\n")
        ksr.tm.t_reply(480, "Nobody Registered")


def _ring_account(ksr: Ksr, settings: Settings, account: str) -> bool:
    uri = f"sip:{account}@{settings.domain}"
    return bool(registration.look_up_first(ksr, uri)) and _relay(ksr)


def _find_contacts(ksr: Ksr, accounts: tuple[str, ...], domain: str) -> tuple[list[Branch], list[str]]:
    """Set request URI and branches to the accounts' contacts; return these, and the accounts without one.

    The first contact found becomes the request URI (lookup_uri), all others are appended (lookup_to_dset).
    """
    branches: list[Branch] = []
    absent: list[str] = []
    for account in full_accounts.fewest_first(ksr, accounts, domain, _MAX_BRANCHES):
        uri = f"sip:{account}@{domain}"
        if branches:
            before = len(branches) - 1
            if len(branches) >= _MAX_BRANCHES or ksr.registrar.lookup_to_dset(registration.TABLE, uri) < 0:
                absent.append(account)
                continue
        else:
            before = 0
            first = registration.look_up_first(ksr, uri)
            if not first:
                absent.append(account)
                continue
            branches.append(Branch(str(ksr.pv.get("$ruid")), account, first))
        count = ksr.pv.get("$branch(count)")
        for index in range(before, count if isinstance(count, int) else 0):
            ruid = str(ksr.pv.get(f"$(branch(ruid)[{index}])"))
            branches.append(Branch(ruid, account, foreign_text.read(ksr, f"$(branch(uri)[{index}])") or ""))
    return branches, absent


def parse_branches(text: str) -> Kept:
    """Read what is kept with the transaction."""
    call_id, stage, plan_source, whose, *branches = text.split("\n")[:-1]
    return Kept(call_id, stage, plan_source, whose, branches)


def on_reply(ksr: Ksr, settings: Settings) -> None:
    """A device's reply on its way to Asterisk: tell who answered, and the story of the branch.

    First of all it loses what it says in our name: whatever happens then, it opens no door (unlock).
    """
    headers.strip_private(ksr)
    status = ksr.kx.get_status()
    leg_id = ksr.kx.get_callid() or ""
    ruid = ksr.pv.get("$T_reply_ruid")
    waking.heard(ksr, leg_id, ruid, status)
    if status < _RING:
        return
    if status < _ANSWER:
        if not nodes.is_in_setup(ksr, leg_id):
            return  # another phone has answered meanwhile
        late_ringing.let_go(ksr, leg_id)
    stage = _stage_of(ksr)
    index = -1 if stage is None else stage.index_of(ruid)
    branch = None if stage is None or index < 0 else Branch(*stage.branches[index].split("\t"))
    is_answer = _ANSWER <= status < _NEGATIVE
    if is_answer:
        if second_answers.ends_given_up(ksr, settings):
            return
        # Of a stage that some may join the list is gone with the first answer: the second has no branch there.
        first = second_answers.first_of(ksr, ruid, branch.account if branch is not None else "")
        if first is not None:
            second_answers.end(ksr, settings, first)
            return
    _make_ours(ksr, status)
    if stage is None or branch is None:
        return
    if is_answer:
        answers.tell(ksr, leg_id, (headers.ANSWERED_BY, branch.account))
    _tell(ksr, stage, index, branch, status)


def _stage_of(ksr: Ksr) -> Kept | None:
    """Read what is kept of the stage to which a device replies."""
    kept = ksr.pv.get(_BRANCHES)
    if not isinstance(kept, str):
        return None
    stage = parse_branches(kept)
    if stage.branches:
        return stage
    # Some may wake: the list grows, and is kept where the others add to it.
    leg = waking.find(ksr, ksr.kx.get_callid() or "")
    return stage._replace(branches=["\t".join(contact) for contact in leg.contacts] if leg is not None else [])


def _make_ours(ksr: Ksr, status: int) -> None:
    """Make a device's reply one that Asterisk may have; what it says in our name is gone already."""
    if name_ringing(ksr, status) == _RINGING and _rings_already(ksr):
        # A 100 goes no further (RFC 3261, 16.7). To drop the reply would do, too, but tm would forget that the branch
        # has replied, and would not cancel it.
        ksr.textopsx.change_reply_status_code(_TRYING)
    elif status < _NEGATIVE:
        if status < _ANSWER and ksr.kx.get_bodylen() > 0:
            early_pictures.hold_sound(ksr)
        contact_address.mend(ksr)


def _rings_already(ksr: Ksr) -> bool:
    """Tell whether Asterisk has been told that this stage rings: the second phone that does is no news to it.

    One that shows something while it rings (a body) is.
    """
    if ksr.kx.get_bodylen() > 0:
        return False
    if ksr.pv.get(_RUNG) is not None:
        return True
    ksr.pv.seti(_RUNG, 1)
    return False


def _note_end(ksr: Ksr, leg_id: str, branch: Branch) -> None:
    """Note that this branch is over, so that an answer elsewhere does not cancel it in the story."""
    ksr.htable.sht_seti(_ENDED, f"{leg_id} {branch.ruid}", 1)


def _tell(ksr: Ksr, stage: Kept, index: int, branch: Branch, status: int) -> None:
    """Write the story of a reply. A final one is told once, though 200 and negative replies are repeated."""
    leg_id = ksr.kx.get_callid() or ""
    if not _ANSWER <= status < _NEGATIVE:
        if status >= _NEGATIVE:
            _note_end(ksr, leg_id, branch)
        event = story.BranchEvent(index, branch.account, branch.contact, story.outcome_of(status), status)
        story.branches(ksr, stage.call_id, int(stage.stage), [event])
        return
    if not nodes.is_in_setup(ksr, leg_id):
        return
    if stage.plan_source:
        talks.begins(ksr, stage.call_id, leg_id, stage.whose)
    elif unquote(stage.whose.partition(",")[2]) == branch.account:  # a panel was called by its name
        talks.look_begins(ksr, leg_id, branch.account, nodes.node_of_stage(ksr, leg_id), stage.call_id)
    waking.end(ksr, leg_id)  # first: whoever registers now finds no leg to join
    nodes.end_stage_leg(ksr, leg_id)
    events = [story.BranchEvent(index, branch.account, branch.contact, "answered", status)]
    # The others are being cancelled by tm, which passes their 487 to no callback once the call is answered.
    events += [
        story.BranchEvent(other, account, contact, "cancelled", None)
        for other, (ruid, account, contact) in enumerate(line.split("\t") for line in stage.branches)
        if other != index and ksr.htable.sht_get(_ENDED, f"{leg_id} {ruid}") is None
    ]
    story.branches(ksr, stage.call_id, int(stage.stage), events, stage.plan_source)


def on_failure(ksr: Ksr, settings: Settings) -> None:
    """Nobody answered: wait for those who may still wake, else Asterisk gets the best reply (RFC 3261, 16.7)."""
    leg_id = ksr.kx.get_callid() or ""
    if ksr.tm.t_is_canceled() < 0:
        woken = waking.take_over(ksr, leg_id)
        if (woken and _ring_account(ksr, settings, woken)) or _wait_for_sleepers(ksr, leg_id):
            return
    awaited = waking.find(ksr, leg_id) is not None
    waking.end(ksr, leg_id)
    nodes.end_stage_leg(ksr, leg_id)
    if ksr.tm.t_is_canceled() < 0:
        if awaited and ksr.tm.t_get_status_code() == _TIMEOUT:
            ksr.tm.t_reply(480, "Nobody Woke")
        else:
            tell_no_redirect(ksr)


def _wait_for_sleepers(ksr: Ksr, leg_id: str) -> bool:
    """Everybody who rang has refused: wait for a sleeper that has said nothing yet, as long as one may come."""
    if waking.find(ksr, leg_id) is None:
        return False
    with waking.entry(ksr, leg_id):
        leg = waking.find(ksr, leg_id)
        if leg is None or leg.state != waking.RINGS or leg.deadline_ms - steady_ms() < _WORTH_WAITING_MS:
            return False
        if not waking.awaits(ksr, leg_id, leg):
            return False
        if ksr.pv.get(_RUNG) is None:  # the visitor hears ringing meanwhile
            ksr.pv.seti(_RUNG, 1)
            ksr.tm.t_reply(180, "Ringing")
        _arm(ksr)
        return waking.suspend(ksr, leg_id, leg)
