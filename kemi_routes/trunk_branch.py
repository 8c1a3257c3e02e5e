"""What every leg through a trunk has in common: how it is relayed, what is done to replies, one answer to a challenge.

trunk_calls.py (phones) and emergency_calls.py (dispatch centres) decide which trunk is next and what is told of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import contact_address, headers, nodes, trunk_addresses, trunk_cseq, trunks
from kemi_routes.relaying import relay_or_keep
from kemi_routes.replies import name_ringing

if TYPE_CHECKING:
    from KSR import Ksr

# Set while the answer to a challenge is on its way.
_CHALLENGED = "$avp(trunk_challenged)"
_USER, _REALM, _HA1 = "$avp(uac_user)", "$avp(uac_realm)", "$avp(uac_ha1)"
_IS_HA1 = 1
_CHALLENGE = frozenset((401, 407))
_ANSWER, _NEGATIVE = 200, 300
# How long a CANCEL of a leg that rings is repeated (timer F of RFC 3261). tm takes the time for which the leg may say
# nothing, and that is short until it rings.
CANCEL_MS = 32_000


class Relaying(NamedTuple):
    """Callbacks of a leg, how long it may ring, and how long a trunk may say nothing at all (milliseconds)."""

    on_branch: str
    on_reply: str
    on_failure: str
    ring_ms: int
    silent_ms: int


def send(ksr: Ksr, relaying: Relaying, uri: str) -> bool:
    """Relay the leg to a trunk that it has not been to; False when it cannot be reached."""
    ksr.pv.sets(_CHALLENGED, "")
    ksr.seturi(uri)
    ksr.resetdsturi()
    return _relay(ksr, relaying)


def _relay(ksr: Ksr, relaying: Relaying) -> bool:
    hop = trunk_addresses.next_hop(ksr, ksr.kx.get_ruri() or "")
    if hop is not None:
        ksr.setdsturi(hop)
    trunk_cseq.next_number(ksr)
    ksr.tm.t_on_branch(relaying.on_branch)
    ksr.tm.t_on_reply(relaying.on_reply)
    ksr.tm.t_on_failure(relaying.on_failure)
    ksr.tm.t_set_fr(relaying.ring_ms, relaying.silent_ms)
    return relay_or_keep(ksr)


def show_caller(ksr: Ksr, uri: str) -> None:
    """Write who calls and who is called as this trunk wants it, and the number of this try; in this branch alone."""
    trunk_cseq.write(ksr)
    ksr.uac.uac_replace_from("", uri)
    ksr.uac.uac_replace_to_uri(ksr.kx.get_ruri() or "")


def clean_reply(ksr: Ksr, status: int) -> None:
    """Take our headers from a trunk's reply, and note where it came from when that is not what its Contact says."""
    name_ringing(ksr, status)
    headers.strip_private(ksr)
    trunk_cseq.restore(ksr, answered=_ANSWER <= status < _NEGATIVE)
    if status < _NEGATIVE:
        contact_address.mend(ksr)


def is_over(ksr: Ksr) -> bool:
    """Tell whether nobody waits for this leg any more: it is cancelled, or its node is lost. Its transaction exists.

    tm sends nothing for a call that is cancelled, which looks as if the trunk could not be reached.
    """
    return ksr.tm.t_is_canceled() > 0 or not nodes.is_in_setup(ksr, ksr.kx.get_callid() or "")


def was_silent(ksr: Ksr) -> bool:
    """Tell, in a failure route, whether the trunk has said nothing."""
    return ksr.tm.t_branch_timeout() > 0 and ksr.tm.t_branch_replied() < 0


def answer_challenge(ksr: Ksr, relaying: Relaying, name: str, status: int) -> bool:
    """Answer a trunk's challenge with its password, once (RFC 3261, 22.2); False when it was not."""
    if status not in _CHALLENGE or ksr.pv.get(_CHALLENGED):
        return False
    trunk = trunks.find(ksr, name)
    if trunk is None or not trunk.ha1:
        return False
    ksr.pv.sets(_USER, trunk.username)
    ksr.pv.sets(_REALM, trunk.realm)
    ksr.pv.sets(_HA1, trunk.ha1)
    ksr.pv.sets(_CHALLENGED, "1")
    return ksr.uac.uac_auth_mode(_IS_HA1) > 0 and _relay(ksr, relaying)
