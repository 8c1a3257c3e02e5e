"""Phones: a leg of Asterisk to a phone goes through the first trunk that takes it.

A trunk that is silent, or says that it cannot (5xx, or that it does not let us in), is passed over; what the called
phone says (busy, declined, no such number) ends the leg. A trunk may challenge the INVITE: it is answered once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import (
    admission,
    answers,
    foreign_text,
    headers,
    nodes,
    second_answers,
    story,
    trunk_branch,
    trunks,
    voice_calls,
    voice_trunks,
)
from kemi_routes.pipeline import DONE, Refusal
from kemi_routes.replies import CANCELLED, refuse, refuse_who_was_left, tell_no_redirect

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

# Kept with the transaction: `call_id LF stage LF account LF number`.
_LEG = "$avp(phone_leg)"
# `index trunk caller-number` of the trunk in use; those that are left, `trunk=caller-number,...`.
_NOW = "$avp(trunk_now)"
_LEFT = "$avp(trunks_left)"
# Of a leg that may wait for a voice API: `node LF` and what its node has told of it.
_WAITING = "$avp(waiting)"
# Asterisk ends a leg itself; the first limit only bounds it. A carrier that says nothing until the second is not there.
RELAYING = trunk_branch.Relaying("on_trunk_branch", "on_trunk_reply", "on_trunk_failure", 180_000, 2500)
_RING = 101
_ANSWER = 200
_NEGATIVE = 300
_SERVER_FAILS = 500
_GLOBAL = 600
_TIMEOUT = 408
_NOT_LET_IN = frozenset((401, 403, 407, 488))


class PhoneLeg(NamedTuple):
    """A phone that is being dialled."""

    call_id: str
    stage: int
    account: str
    number: str


class _Now(NamedTuple):
    """The trunk in use: its place among those tried, its name, the number shown."""

    place: int
    trunk: str
    caller_number: str


def ring_phone(ksr: Ksr, request: Request) -> Outcome:
    """Send the INVITE of a phone's leg to the first trunk; 480 at once when there is none."""
    try:
        wanted = headers.parse_trunk(ksr.hdr.gete(headers.TRUNK))
        number = wanted.phones[request.number]
    except (ValueError, KeyError) as error:
        return refuse(ksr, request, Refusal(400, "Bad Phone", str(error)))
    if nodes.has_left(ksr, wanted.call_id):
        return refuse_who_was_left(ksr, request)
    if wanted.number == 0:
        admission.node_dials(ksr, wanted.call_id)
    leg = PhoneLeg(wanted.call_id, wanted.number, request.number, number)
    shown = dict(reversed(wanted.trunks))
    names = trunks.in_order(ksr, list(dict.fromkeys(name for name, _ in wanted.trunks)))
    if not names:
        told = story.BranchEvent(None, leg.account, None, "failed", None)
        story.branches(ksr, leg.call_id, leg.stage, [told])
        return refuse(ksr, request, Refusal(480, "No Trunk", f"none of {[n for n, _ in wanted.trunks]} is known"))
    ksr.pv.sets(_WAITING, f"{request.source_ip}:{ksr.kx.get_srcport()}\n{ksr.hdr.gete(headers.WAITING)}")
    headers.strip_private(ksr)
    ksr.hdr.remove("Route")
    ksr.hdr.remove("P-Asserted-Identity")
    ksr.rr.record_route()
    nodes.keep_stage_leg(ksr, request.call_id)
    ksr.pv.sets(_LEG, "\n".join((leg.call_id, str(leg.stage), leg.account, leg.number)))
    ksr.pv.sets(_LEFT, ",".join(f"{name}={shown[name]}" for name in names))
    if voice_trunks.is_known(ksr, names[0]) and ksr.tm.t_newtran() == 0:
        return DONE
    if not _try_next(ksr, leg, -1):
        status, phrase = CANCELLED if trunk_branch.is_over(ksr) else (503, "No Trunk")
        nodes.end_stage_leg(ksr, request.call_id)
        ksr.sl.send_reply(status, phrase)
    return DONE


def _leg(ksr: Ksr) -> PhoneLeg:
    call_id, stage, account, number = str(ksr.pv.get(_LEG)).split("\n")
    return PhoneLeg(call_id, int(stage), account, number)


def _now(ksr: Ksr) -> _Now:
    index, trunk, caller_number = str(ksr.pv.get(_NOW)).split(" ")
    return _Now(int(index), trunk, caller_number)


def _try_next(ksr: Ksr, leg: PhoneLeg, last: int) -> bool:
    """Relay to the next trunk; False when none is left, or nobody waits for it any more."""
    index = last
    while left := str(ksr.pv.get(_LEFT) or ""):
        first, _, rest = left.partition(",")
        ksr.pv.sets(_LEFT, rest)
        name, _, caller_number = first.partition("=")
        index += 1
        now = _Now(index, name, caller_number)
        trunk = trunks.find(ksr, name)
        if trunk is None and not voice_trunks.is_known(ksr, name):
            continue
        ksr.pv.sets(_NOW, f"{index} {name} {caller_number}")
        _tell(ksr, leg, now, "invited", None)
        if _wait(ksr, leg, now) if trunk is None else trunk_branch.send(ksr, RELAYING, trunk.uri(leg.number)):
            return True
        if trunk_branch.is_over(ksr):
            _tell(ksr, leg, now, "cancelled", None)
            return False
        _tell(ksr, leg, now, "failed", None)
        trunks.rest(ksr, name)
        where = "" if trunk is None else f" at {trunk.uri(leg.number)}"
        ksr.err(f"trunk {name} cannot be reached{where}; call_id={leg.call_id}\n")
    return False


def _wait(ksr: Ksr, leg: PhoneLeg, now: _Now) -> bool:
    """Have a voice API call the phone; False when the node cannot be joined by its call."""
    node, _, waiting = str(ksr.pv.get(_WAITING)).partition("\n")
    if not waiting:
        return False
    ksr.tm.t_on_failure(RELAYING.on_failure)
    leg_id = ksr.kx.get_callid() or ""
    wanted = voice_calls.Wanted(
        leg_id, leg.call_id, leg.stage, leg.account, leg.number, now.place, now.trunk, now.caller_number, node, waiting
    )
    return voice_calls.wait(ksr, wanted)


def _tell(ksr: Ksr, leg: PhoneLeg, now: _Now, outcome: str, sip_status: int | None) -> None:
    event = story.BranchEvent(now.place, leg.account, leg.number, outcome, sip_status, now.trunk)
    story.branches(ksr, leg.call_id, leg.stage, [event])


def on_branch(ksr: Ksr, settings: Settings) -> None:
    """Show the number that this trunk lets pass; only this branch is changed."""
    now = _now(ksr)
    trunk = trunks.find(ksr, now.trunk)
    shown = now.caller_number
    if trunk is not None:
        shown = trunk.shown(shown) or trunk.username
    uri = f"sip:{shown or 'anonymous'}@{settings.domain}"
    trunk_branch.show_caller(ksr, uri)
    if shown:
        ksr.hdr.append(f"P-Asserted-Identity: <{uri}>\r\n")


def on_reply(ksr: Ksr, settings: Settings) -> None:
    """A carrier's reply on its way to Asterisk."""
    status = ksr.kx.get_status()
    if status < _RING:
        return
    if second_answers.ends_given_up(ksr, settings):
        return
    trunk_branch.clean_reply(ksr, status)
    leg, now = _leg(ksr), _now(ksr)
    if status < _ANSWER:
        ksr.tm.t_set_fr(RELAYING.ring_ms, trunk_branch.CANCEL_MS)
        _tell(ksr, leg, now, "ringing", status)
    elif status < _NEGATIVE:
        leg_id = ksr.kx.get_callid() or ""
        on_trunk = f"{now.place} {leg.account} {now.trunk}"
        told = ((headers.ANSWERED_BY, leg.account), (headers.TRUNK, on_trunk), (headers.KEYS, _keys(ksr)))
        answers.tell(ksr, leg_id, *told)
        if nodes.is_in_setup(ksr, leg_id):  # told once, though it may come twice
            nodes.end_stage_leg(ksr, leg_id)
            _tell(ksr, leg, now, "answered", status)


def _keys(ksr: Ksr) -> str:
    """How the keys of a phone come whose answer is at hand: as `events` (RFC 4733), else as `sound`.

    Anybody whose voice reaches the phone can make a sound: Asterisk takes such a key with care.
    """
    return "events" if "telephone-event/" in (foreign_text.read(ksr, "$rb") or "").lower() else "sound"


def on_failure(ksr: Ksr) -> None:
    """The trunk has refused or is silent: answer its challenge, try the next, or let Asterisk judge."""
    if not _goes_on(ksr):
        nodes.end_stage_leg(ksr, ksr.kx.get_callid() or "")
        tell_no_redirect(ksr)


def _goes_on(ksr: Ksr) -> bool:
    leg, now = _leg(ksr), _now(ksr)
    if voice_trunks.is_known(ksr, now.trunk):
        voice_calls.close(ksr, ksr.kx.get_callid() or "")
        return False
    status = ksr.tm.t_get_status_code()
    silent = trunk_branch.was_silent(ksr)
    if not trunk_branch.is_over(ksr) and trunk_branch.answer_challenge(ksr, RELAYING, now.trunk, status):
        return True
    return _judge(ksr, leg, now, status, silent=silent)


def on_resume(ksr: Ksr) -> None:
    """A voice API has not brought the called person: try the next trunk, or tell Asterisk what was said."""
    leg, now = _leg(ksr), _now(ksr)
    status = voice_calls.result_of(ksr, ksr.kx.get_callid() or "")
    if not _judge(ksr, leg, now, status, silent=False):
        nodes.end_stage_leg(ksr, ksr.kx.get_callid() or "")
        ksr.tm.t_reply(status, "From The Voice API")


def _judge(ksr: Ksr, leg: PhoneLeg, now: _Now, status: int, *, silent: bool) -> bool:
    """Tell what came of a trunk; whether another is tried instead. Nobody's call blames no trunk, and dials none."""
    if trunk_branch.is_over(ksr):
        _tell(ksr, leg, now, "cancelled", None)
        return False
    outcome = "failed" if silent or status in _NOT_LET_IN else story.outcome_of(status)
    _tell(ksr, leg, now, outcome, None if silent else status)
    if not (silent or status in _NOT_LET_IN or _SERVER_FAILS <= status < _GLOBAL):
        return False
    trunks.rest(ksr, now.trunk)
    why = "silent" if silent else f"answered {status}"
    if _try_next(ksr, leg, now.place):
        ksr.warn(f"trunk {now.trunk} {why}, {_now(ksr).trunk} tried instead; call_id={leg.call_id}\n")
        return True
    if not trunk_branch.is_over(ksr):
        ksr.warn(f"trunk {now.trunk} {why}, none is left; call_id={leg.call_id}\n")
    return False
