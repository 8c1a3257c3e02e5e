"""Phones that a voice API calls: the leg of Asterisk waits here, and is joined by the call that the API places to us.

Nothing goes out: the wish to have the phone called is queued (voice_wishes.py), and how that goes comes back as a
change `voice:<token> <SIP status>`. When the called person answers, the API calls us; the user of its request URI is
the token, which nobody else knows, which is good once and for as long as the leg waits. Its call goes to the node whose
leg waits, with what that node has told of it in `X-Entryphone-Waiting`; the node joins both (asterisk/extensions.conf,
`voice`).

An entry of the table `voice_calls` is a leg that waits; whoever takes it from there decides what becomes of the leg.
"""

from __future__ import annotations

import json
import re
import secrets
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import contact_address, headers, node_life, nodes, story, table_rows, voice_trunks, voice_wishes
from kemi_routes.clock import steady_ms
from kemi_routes.pipeline import DONE, NEXT, Refusal
from kemi_routes.replies import refuse
from kemi_routes.table_rows import locked

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

CHANGE_MARK = "voice:"
ON_RESUME = "on_voice_resume"
USER = "voice"
_CALLS = "voice_calls"
# Call-ID of a leg that waits -> its token. Call-ID of a leg that goes on -> what it is told.
_LEGS = "voice_legs"
_RESULTS = "voice_results"
_TOKEN = re.compile(r"v[0-9a-f]{32}", re.ASCII)
_TOKEN_BYTES = 16
# Asterisk ends a leg itself; this only bounds it.
_RINGING_MS = 180_000
# By then somebody has told that the phone is being called, or the leg goes on to the next trunk.
PLACED_WITHIN_MS = 5000
_ASKED, _PLACED, _RINGS = "asked", "placed", "rings"
_RINGING = 180
_NEGATIVE = 300
_NOBODY_CALLS = 503


class VoiceLeg(NamedTuple):
    """A phone's leg that waits: its transaction, whose it is, where it is, what its node has told of it."""

    state: str
    until_ms: int
    identity: tuple[int, int]
    leg_id: str
    call_id: str
    stage: int
    account: str
    number: str
    place: int
    trunk: str
    node: str
    waiting: str

    def event(self, outcome: str, sip_status: int | None) -> story.BranchEvent:
        """Return what happened to this branch, for the story."""
        return story.BranchEvent(self.place, self.account, self.number, outcome, sip_status, self.trunk)


class Wanted(NamedTuple):
    """A phone that is to be called: `waiting` is the node's header, `node` its `host:port`."""

    leg_id: str
    call_id: str
    stage: int
    account: str
    number: str
    place: int
    trunk: str
    caller_number: str
    node: str
    waiting: str


def wait(ksr: Ksr, wanted: Wanted) -> bool:
    """Have the phone called and let the leg wait: its transaction exists. False when it cannot."""
    index, label = (int(ksr.pv.get(name) or 0) for name in ("$T(id_index)", "$T(id_label)"))
    token = f"v{secrets.token_hex(_TOKEN_BYTES)}"
    leg = VoiceLeg(
        _ASKED, steady_ms() + PLACED_WITHIN_MS, (index, label), wanted.leg_id, wanted.call_id, wanted.stage,
        wanted.account, wanted.number, wanted.place, wanted.trunk, wanted.node, wanted.waiting,
    )  # fmt: skip
    # Before the node hears anything: whom it has heard of it may cancel.
    _keep(ksr, token, leg)
    ksr.htable.sht_sets(_LEGS, wanted.leg_id, token)
    ksr.tm.t_set_fr(_RINGING_MS, _RINGING_MS)
    # The visitor hears ringing meanwhile.
    ksr.tm.t_reply(_RINGING, "Ringing")
    if ksr.tmx.t_suspend() < 0:
        _take(ksr, token)
        return False
    # A CANCEL that came while this trunk was tried after another has found no leg. It marks the transaction, then looks
    # for a leg again (dialogs.py); the leg is kept first and asks for the mark then: one of the two sees the other.
    # tm lets a cancelled transaction be put to wait, and nothing would end that.
    if ksr.tm.t_is_canceled() > 0:
        close(ksr, wanted.leg_id)
    wish: dict[str, str | int] = {
        "event": "call", "token": token, "call_id": wanted.call_id, "stage": wanted.stage, "branch": wanted.place,
        "account": wanted.account,
        "trunk": wanted.trunk, "number": wanted.number, "caller_number": wanted.caller_number,
    }  # fmt: skip
    with locked(ksr, _CALLS, token):
        # Not when it is being cancelled already: nobody would end that call.
        if find(ksr, token) is not None:
            voice_wishes.add(ksr, wish)
    return True


def find(ksr: Ksr, token: str) -> VoiceLeg | None:
    """Find the leg that waits for this token."""
    entry = ksr.htable.sht_get(_CALLS, token)
    return VoiceLeg._make(json.loads(entry)) if isinstance(entry, str) else None


def _keep(ksr: Ksr, token: str, leg: VoiceLeg) -> None:
    ksr.htable.sht_sets(_CALLS, token, json.dumps(leg))


def _take(ksr: Ksr, token: str) -> VoiceLeg | None:
    """Take a leg that waits, once: whoever gets it decides what becomes of it."""
    with locked(ksr, _CALLS, token):
        leg = find(ksr, token)
        ksr.htable.sht_rm(_CALLS, token)
    if leg is not None:
        ksr.htable.sht_rm(_LEGS, leg.leg_id)
    return leg


def join(ksr: Ksr, request: Request) -> Outcome:
    """The called person has answered: the voice API's call goes to the node where the leg waits.

    A stranger with a token is a stranger, and learns nothing. The API is told when nobody waits any more.
    """
    if request.method != "INVITE" or request.from_node or _TOKEN.fullmatch(request.number) is None:
        return NEXT
    waits = find(ksr, request.number)
    is_known = waits is not None and voice_trunks.calls_from(ksr, waits.trunk, request.source_ip)
    if not is_known and not voice_trunks.is_edge(ksr, request.source_ip):
        return NEXT
    leg = _take(ksr, request.number) if is_known else None
    if leg is None or not node_life.is_node(ksr, f"sip:{leg.node}"):
        return refuse(ksr, request, Refusal(404, "Nobody Waits", "the call that this phone was called for is over"))
    nodes.end_stage_leg(ksr, leg.leg_id)
    story.branches(ksr, leg.call_id, leg.stage, [leg.event("answered", 200)])
    for name in ("Route", "Alert-Info", "Call-Info"):
        ksr.hdr.remove(name)
    ksr.hdr.append(f"{headers.WAITING}: {leg.place} {leg.account} {leg.trunk}|{leg.account}|{leg.waiting}\r\n")
    ksr.rr.record_route()
    contact_address.mend_of_carrier(ksr)
    ksr.seturi(f"sip:{USER}@{leg.node}")
    ksr.tm.t_set_fr(10_000, 2000)
    if ksr.tm.t_relay() < 0:
        ksr.sl.send_reply_error()
    return DONE


def close(ksr: Ksr, leg_id: str) -> None:
    """The leg is being cancelled: the visitor has left, or somebody else has answered; the phone stops ringing."""
    token = ksr.htable.sht_get(_LEGS, leg_id)
    if not isinstance(token, str):
        return
    leg = _take(ksr, token)
    if leg is not None:
        nodes.end_stage_leg(ksr, leg_id)
        story.branches(ksr, leg.call_id, leg.stage, [leg.event("cancelled", None)])
        voice_wishes.add(ksr, {"event": "end", "token": token})


def told(ksr: Ksr, change: str) -> None:
    """How the call to a phone goes: `<token> <SIP status>`, as if a carrier had said so. The same may be told again."""
    token, _, text = change.partition(" ")
    if not text.isdecimal():
        return
    status = int(text)
    if status >= _NEGATIVE:
        leg = _take(ksr, token)
        if leg is not None:
            _go_on(ksr, leg, status)
        return
    state = _RINGS if status >= _RINGING else _PLACED
    with locked(ksr, _CALLS, token):
        leg = find(ksr, token)
        if leg is None or leg.state in (_RINGS, state):
            return
        _keep(ksr, token, leg._replace(state=state))
    if state == _RINGS:
        story.branches(ksr, leg.call_id, leg.stage, [leg.event("ringing", status)])


def tick(ksr: Ksr) -> None:
    """Let legs go on whose phone nobody is calling: the worker, Redis, the database or the voice API is away."""
    at_ms = steady_ms()
    for token, entry in table_rows.collect(ksr, _CALLS).items():
        leg = VoiceLeg._make(json.loads(entry))
        if leg.state != _ASKED or at_ms < leg.until_ms:
            continue
        taken = _take(ksr, token)
        if taken is not None:
            ksr.warn(f"trunk {leg.trunk} does not call {leg.account} in time; call_id={leg.call_id}\n")
            voice_wishes.add(ksr, {"event": "end", "token": token})
            _go_on(ksr, taken, _NOBODY_CALLS)


def _go_on(ksr: Ksr, leg: VoiceLeg, status: int) -> None:
    ksr.htable.sht_seti(_RESULTS, leg.leg_id, status)
    if ksr.tmx.t_continue(*leg.identity, ON_RESUME) < 0:
        ksr.notice(f"leg of {leg.account} has ended by itself; call_id={leg.call_id}\n")


def result_of(ksr: Ksr, leg_id: str) -> int:
    """Return, in the route of a leg that goes on, what the phone has said."""
    status = ksr.htable.sht_get(_RESULTS, leg_id)
    ksr.htable.sht_rm(_RESULTS, leg_id)
    return status if isinstance(status, int) else _NOBODY_CALLS
