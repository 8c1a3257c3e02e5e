"""Phones: a leg of Asterisk to a phone goes through the first trunk that takes it.

A trunk that is silent, or says that it cannot (5xx, or that it does not let us in), is passed over; what the called
phone says (busy, declined, no such number) ends the leg. A trunk may challenge the INVITE: it is answered once.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import headers, registration, story, trunks
from kemi_routes.pipeline import DONE, Refusal
from kemi_routes.replies import refuse

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

ON_BRANCH = "on_trunk_branch"
ON_REPLY = "on_trunk_reply"
ON_FAILURE = "on_trunk_failure"
# Kept with the transaction: `call_id LF stage LF account LF number`.
_LEG = "$avp(phone_leg)"
# `index trunk caller-number` of the trunk in use; those that are left, `trunk=caller-number,...`.
_NOW = "$avp(trunk_now)"
_LEFT = "$avp(trunks_left)"
# Set while the answer to a challenge is on its way.
_CHALLENGED = "$avp(trunk_challenged)"
_USER, _REALM, _HA1 = "$avp(uac_user)", "$avp(uac_realm)", "$avp(uac_ha1)"
_IS_HA1 = 1
# Asterisk ends a leg itself; this only bounds it. A carrier that has said nothing at all by then is not there.
_STAGE_MS = 180_000
_CARRIER_SILENT_MS = 2500
_RING = 101
_ANSWER = 200
_NEGATIVE = 300
_SERVER_FAILS = 500
_GLOBAL = 600
_TIMEOUT = 408
_CHALLENGE = frozenset((401, 407))
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
    leg = PhoneLeg(wanted.call_id, wanted.number, request.number, number)
    shown = dict(reversed(wanted.trunks))
    names = trunks.in_order(ksr, list(dict.fromkeys(name for name, _ in wanted.trunks)))
    if not names:
        told = story.BranchEvent(None, leg.account, None, "failed", None)
        story.branches(ksr, leg.call_id, leg.stage, [told])
        return refuse(ksr, request, Refusal(480, "No Trunk", f"none of {[n for n, _ in wanted.trunks]} is known"))
    headers.strip_private(ksr)
    ksr.hdr.remove("Route")
    ksr.hdr.remove("P-Asserted-Identity")
    ksr.rr.record_route()
    ksr.pv.sets(_LEG, "\n".join((leg.call_id, str(leg.stage), leg.account, leg.number)))
    ksr.pv.sets(_LEFT, ",".join(f"{name}={shown[name]}" for name in names))
    if not _try_next(ksr, leg, -1):
        ksr.sl.send_reply(503, "No Trunk")
    return DONE


def _leg(ksr: Ksr) -> PhoneLeg:
    call_id, stage, account, number = str(ksr.pv.get(_LEG)).split("\n")
    return PhoneLeg(call_id, int(stage), account, number)


def _now(ksr: Ksr) -> _Now:
    index, trunk, caller_number = str(ksr.pv.get(_NOW)).split(" ")
    return _Now(int(index), trunk, caller_number)


def _try_next(ksr: Ksr, leg: PhoneLeg, last: int) -> bool:
    """Relay to the next trunk; False when none is left."""
    index = last
    while left := str(ksr.pv.get(_LEFT) or ""):
        first, _, rest = left.partition(",")
        ksr.pv.sets(_LEFT, rest)
        name, _, caller_number = first.partition("=")
        index += 1
        trunk = trunks.find(ksr, name)
        if trunk is None:
            continue
        uri = trunk.uri(leg.number)
        ksr.pv.sets(_NOW, f"{index} {name} {caller_number}")
        ksr.pv.sets(_CHALLENGED, "")
        ksr.seturi(uri)
        ksr.resetdsturi()
        _tell(ksr, leg, _Now(index, name, caller_number), "invited", None)
        if _relay(ksr):
            return True
        _tell(ksr, leg, _Now(index, name, caller_number), "failed", None)
        trunks.rest(ksr, name)
        ksr.err(f"trunk {name} cannot be reached at {uri}; call_id={leg.call_id}\n")
    return False


def _relay(ksr: Ksr) -> bool:
    ksr.tm.t_on_branch(ON_BRANCH)
    ksr.tm.t_on_reply(ON_REPLY)
    ksr.tm.t_on_failure(ON_FAILURE)
    ksr.tm.t_set_fr(_STAGE_MS, _CARRIER_SILENT_MS)
    return ksr.tm.t_relay() > 0


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
    ksr.uac.uac_replace_from("", uri)
    ksr.uac.uac_replace_to_uri(ksr.kx.get_ruri() or "")
    if shown:
        ksr.hdr.append(f"P-Asserted-Identity: <{uri}>\r\n")


def on_reply(ksr: Ksr) -> None:
    """A carrier's reply on its way to Asterisk."""
    status = ksr.kx.get_status()
    if status < _RING:
        return
    headers.strip_private(ksr)
    leg, now = _leg(ksr), _now(ksr)
    if status < _NEGATIVE and ksr.nathelper.nat_uac_test(registration.NAT_TESTS) > 0:
        ksr.nathelper.set_contact_alias()
    if status < _ANSWER:
        _tell(ksr, leg, now, "ringing", status)
    elif status < _NEGATIVE:
        _tell(ksr, leg, now, "answered", status)
        ksr.hdr.append(f"{headers.ANSWERED_BY}: {leg.account}\r\n")
        ksr.hdr.append(f"{headers.TRUNK}: {now.place} {leg.account} {now.trunk}\r\n")


def on_failure(ksr: Ksr) -> None:
    """The trunk has refused or is silent: answer its challenge, try the next, or let Asterisk judge."""
    leg, now = _leg(ksr), _now(ksr)
    if ksr.tm.t_is_canceled() > 0:
        _tell(ksr, leg, now, "cancelled", None)
        return
    status = ksr.tm.t_get_status_code()
    silent = ksr.tm.t_branch_timeout() > 0 and ksr.tm.t_branch_replied() < 0
    if status in _CHALLENGE and not ksr.pv.get(_CHALLENGED) and _answer_challenge(ksr, now):
        return
    outcome = "failed" if silent or status in _NOT_LET_IN else story.outcome_of(status)
    _tell(ksr, leg, now, outcome, None if silent else status)
    if not (silent or status in _NOT_LET_IN or _SERVER_FAILS <= status < _GLOBAL):
        return
    trunks.rest(ksr, now.trunk)
    why = "silent" if silent else f"answered {status}"
    if _try_next(ksr, leg, now.place):
        ksr.warn(f"trunk {now.trunk} {why}, {_now(ksr).trunk} tried instead; call_id={leg.call_id}\n")
    else:
        ksr.warn(f"trunk {now.trunk} {why}, none is left; call_id={leg.call_id}\n")


def _answer_challenge(ksr: Ksr, now: _Now) -> bool:
    trunk = trunks.find(ksr, now.trunk)
    if trunk is None or not trunk.ha1:
        return False
    ksr.pv.sets(_USER, trunk.username)
    ksr.pv.sets(_REALM, trunk.realm)
    ksr.pv.sets(_HA1, trunk.ha1)
    ksr.pv.sets(_CHALLENGED, "1")
    return ksr.uac.uac_auth_mode(_IS_HA1) > 0 and _relay(ksr)
