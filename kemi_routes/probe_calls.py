"""Quality probes: a call of Asterisk to the handset of an apartment, through the panel that leads to it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import headers, registration
from kemi_routes.pipeline import DONE, Refusal
from kemi_routes.replies import refuse

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

USER = "probe"
# Asterisk ends the ringing itself; this only bounds it. A panel silent for 5 s is not there.
_RING_MS = 90_000
_PANEL_SILENT_MS = 5000


def ring_handset(ksr: Ksr, request: Request) -> Outcome:
    """Send a probe to its panel; 480 at once when the panel has no contact. No visitor calls, so no story is told."""
    try:
        target = headers.parse_target(ksr.hdr.gete(headers.TARGET))
    except ValueError as error:
        return refuse(ksr, request, Refusal(400, "Bad Target", str(error)))
    uri = f"sip:{target.panel}@{request.settings.domain}"
    if ksr.registrar.lookup_uri(registration.TABLE, uri) < 0:
        return refuse(ksr, request, Refusal(480, "Panel Not Registered", f"no contact of {target.panel}"))
    headers.strip_private(ksr)
    if target.naming == headers.IN_USER:
        ksr.pv.sets("$rU", target.apartment)
    else:
        ksr.hdr.append(f"{headers.TARGET}: handset;apartment={target.apartment}\r\n")
    ksr.hdr.remove("Route")
    ksr.rr.record_route()
    ksr.tm.t_set_fr(_RING_MS, _PANEL_SILENT_MS)
    if ksr.tm.t_relay() < 0:
        ksr.err(f"probe cannot be relayed to {target.panel}; call_id={request.call_id}\n")
        ksr.sl.send_reply_error()
    return DONE
