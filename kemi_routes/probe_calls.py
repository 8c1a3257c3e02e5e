"""Quality probes: a call of Asterisk to the handset of an apartment, through the panel that leads to it.

Whoever else needs the panel has it at once: the probe's own node is told to end it. The scheduler sees the same from
Redis, and drops the probe too; but a scheduler may be dead, or slow, and a visitor waits for neither.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import dialogs, headers, registration
from kemi_routes.clock import steady_ms
from kemi_routes.pipeline import DONE, Refusal
from kemi_routes.replies import refuse, tell_no_redirect

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

USER = "probe"
END_PROBE = "end-probe"
ON_FAILURE = "on_probe_failure"
# Panel -> `<node> <probe>`; forgotten when no probe can last any more, as nobody looks for its end.
_PROBES = "probes"
# Panel -> when somebody else has taken it last (steady ms): for a probe that was on its way in that moment. Soon
# after, the scheduler sees it in Redis and begins none; a panel that was taken longer ago may be free again.
_TAKEN = "taken_panels"
_ON_ITS_WAY_MS = 1000
# Asterisk ends the ringing itself; this only bounds it. A panel silent for 5 s is not there.
_RING_MS = 90_000
_PANEL_SILENT_MS = 5000


def ring_handset(ksr: Ksr, request: Request) -> Outcome:
    """Send a probe to its panel; 480 at once when the panel has no contact. No visitor calls, so no story is told."""
    try:
        target = headers.parse_target(ksr.hdr.gete(headers.TARGET))
    except ValueError as error:
        return refuse(ksr, request, Refusal(400, "Bad Target", str(error)))
    taken_ms = ksr.htable.sht_get(_TAKEN, target.panel)
    if isinstance(taken_ms, str) and steady_ms() - int(taken_ms) < _ON_ITS_WAY_MS:
        return refuse(ksr, request, Refusal(486, "Panel Taken", f"somebody else has just taken {target.panel}"))
    uri = f"sip:{target.panel}@{request.settings.domain}"
    if not registration.look_up_first(ksr, uri):
        return refuse(ksr, request, Refusal(480, "Panel Not Registered", f"no contact of {target.panel}"))
    headers.strip_private(ksr)
    if target.naming == headers.IN_USER:
        ksr.pv.sets("$rU", target.apartment)
    else:
        ksr.hdr.append(f"{headers.TARGET}: handset;apartment={target.apartment}\r\n")
    ksr.hdr.remove("Route")
    ksr.rr.record_route()
    ksr.htable.sht_sets(_PROBES, target.panel, f"{request.source_ip}:{ksr.pv.get('$sp')} {target.probe}")
    ksr.tm.t_on_reply(dialogs.ON_REPLY)
    ksr.tm.t_on_failure(ON_FAILURE)
    ksr.tm.t_set_fr(_RING_MS, _PANEL_SILENT_MS)
    if ksr.tm.t_relay() < 0:
        ksr.err(f"probe cannot be relayed to {target.panel}; call_id={request.call_id}\n")
        ksr.sl.send_reply_error()
    return DONE


def on_failure(ksr: Ksr) -> None:
    """The panel has refused."""
    tell_no_redirect(ksr)


def give_way(ksr: Ksr, settings: Settings, panel: str) -> None:
    """Have the probe ended that a panel may be in: somebody else calls from it, or calls it.

    A probe that is over is not known to its node any more, which then does nothing.
    """
    ksr.htable.sht_sets(_TAKEN, panel, str(steady_ms()))
    kept = ksr.htable.sht_get(_PROBES, panel)
    if not isinstance(kept, str):
        return
    ksr.htable.sht_rm(_PROBES, panel)
    node, _, probe = kept.partition(" ")
    ours = f"sip:{USER}@{settings.sip_address}"
    told = f"From: <{ours}>\r\nTo: <sip:{END_PROBE}@{node}>\r\nContact: <{ours}>\r\n{headers.TARGET}: probe {probe}\r\n"
    if ksr.tm.t_uac_send("INVITE", f"sip:{END_PROBE}@{node}", "", "", told, "") < 0:
        ksr.err(f"node {node} cannot be told to end probe {probe} of panel {panel}\n")
