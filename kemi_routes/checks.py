"""Bad input: what is too long, malformed, has hopped too often, or is meant for somebody else."""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import flood, foreign_text, headers, heads, node_life, trunk_addresses
from kemi_routes.pipeline import DONE, NEXT, Refusal
from kemi_routes.replies import METHODS, METHODS_OUTSIDE, refuse

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

_MAX_HOPS = 70
_HEADERS = 4
# Checks of the sanity module (default_checks in modules.cfg), and what each looks at.
_FAULTS = (
    (1, "SIP version"),
    (2, "request URI"),
    # Of these alone nobody is told: Kamailio makes no reply of headers that it cannot read, or has twice.
    (_HEADERS, "header that is missing, that cannot be read, or that is there twice"),
    (32, "CSeq of another method"),
    (64, "number in CSeq"),
    (128, "Content-Length"),
    (256, "Expires"),
    (512, "Proxy-Require"),
    (8192, "credentials"),
)
_URIS = 7
_BAD_CALL_ID = "Call-ID of several lines, or with what is no sign"
_STRAY_ROUTED = frozenset(("INVITE", "REGISTER", "OPTIONS"))


def answer_where_it_sends_from(ksr: Ksr, request: Request) -> Outcome:
    """Answer at the port that the request came from, as if its Via had asked for that (`rport`, RFC 3581).

    A phone behind NAT that does not ask knows neither its address nor its port as we see them, and heard nothing. Nodes
    and carriers are behind no NAT, and may listen at another port than they send from (RFC 3261, 18.2.2).
    """
    if not request.from_node and trunk_addresses.trunk_at(ksr, request.source_ip) is None:
        ksr.force_rport()
    return NEXT


def check_size(ksr: Ksr, request: Request) -> Outcome:
    """Refuse messages longer than a call needs (RFC 3261, 21.5.7)."""
    length = ksr.kx.get_msglen()
    if length > request.settings.max_message_bytes:
        return refuse(ksr, request, Refusal(513, "Message Too Large", f"message of {length} bytes"))
    return NEXT


def check_form(ksr: Ksr, request: Request) -> Outcome:
    """Refuse what Asterisk would read as another message, and what RFC 3261 does not let pass: 400 names the fault."""
    # Asterisk's own messages are well-formed; half of all requests are its.
    if request.from_node:
        return NEXT
    fault = heads.fault(ksr, for_asterisk=request.method != "REGISTER")
    is_sane = not fault and ksr.sanity.sanity_check_defaults() > 0
    # From here on a Call-ID is a line of the log, whoever writes it.
    if is_sane and request.call_id.isprintable():
        return NEXT
    # Anybody may send such, and name whatever address he likes: beyond the limits there is no answer, and no line.
    if flood.check_barred(ksr, request) is DONE or flood.count_unauthenticated(ksr, request) is DONE:
        return DONE
    if fault or is_sane:
        if request.method != "ACK":
            ksr.sl.send_reply(400, f"Bad Request: {fault or _BAD_CALL_ID}")
    else:
        ksr.sanity.sanity_reply()
    call_id = foreign_text.one_line(request.call_id)
    if fault:
        ksr.warn(f"refused {request.method}: forged, {fault}; source={request.source_ip} call_id={call_id}\n")
    else:
        what = _BAD_CALL_ID if is_sane else _malformation(ksr)
        ksr.notice(f"refused {request.method}: malformed, {what}; source={request.source_ip} call_id={call_id}\n")
    return DONE


def _malformation(ksr: Ksr) -> str:
    """Return what the sanity module has just refused the request for: it does not say, so it is asked of each."""
    return next((name for flag, name in _FAULTS if ksr.sanity.sanity_check(flag, _URIS) < 0), "no more is known")


def drop_forged_reply(ksr: Ksr, settings: Settings) -> Outcome:
    """Drop a reply that Asterisk would read as another one: the caller hears of it as of one that was lost.

    One whose headers Kamailio cannot read to their end goes the same way, whatever Asterisk makes of it: nothing could
    be taken away from it, nor added. A carrier's goes on (112), unless it speaks in our name.
    """
    fault = heads.fault(ksr)
    if not fault:
        if ksr.sanity.sanity_check(_HEADERS, _URIS) > 0 or _is_only_odd(ksr):
            return NEXT
        fault = "header that cannot be read, or is there twice"
    if ksr.dispatcher.ds_is_from_list(node_life.SET) > 0:
        return NEXT
    ksr.set_drop()
    source_ip = ksr.kx.get_srcip() or ""
    if flood.may_be_told(ksr, settings, source_ip):
        call_id = foreign_text.one_line(foreign_text.read(ksr, "$ci") or "-")
        ksr.warn(f"dropped a reply: forged, {fault}; source={source_ip} call_id={call_id}\n")
    return DONE


def _is_only_odd(ksr: Ksr) -> bool:
    return trunk_addresses.trunk_at(ksr, ksr.kx.get_srcip() or "") is not None and not headers.speaks_for_us(ksr)


def check_hops(ksr: Ksr, request: Request) -> Outcome:
    """Count Max-Forwards down (RFC 3261, 16.3 item 3): this also ends loops."""
    if ksr.maxfwd.process_maxfwd(_MAX_HOPS) < 0:
        return refuse(ksr, request, Refusal(483, "Too Many Hops", "Max-Forwards used up"))
    return NEXT


def strip_foreign_headers(ksr: Ksr, request: Request) -> Outcome:
    """Only Asterisk may speak in X-Entryphone headers."""
    if not request.from_node and request.method not in ("REGISTER", "ACK", "CANCEL"):
        headers.strip_private(ksr)
    return NEXT


def check_destination(ksr: Ksr, request: Request) -> Outcome:
    """Out of a dialog we serve our own domain only."""
    if not ksr.is_myself_ruri():
        return refuse(ksr, request, Refusal(404, "Not Here", "domain is not ours"))
    return NEXT


def check_method(ksr: Ksr, request: Request) -> Outcome:
    """Out of a dialog we know INVITE, REGISTER and OPTIONS; the latter is answered here."""
    if request.method not in _STRAY_ROUTED:
        ksr.hdr.append_to_reply(f"Allow: {METHODS_OUTSIDE}\r\n")
        return refuse(ksr, request, Refusal(405, "Method Not Allowed", "method not served out of a dialog"))
    if request.method == "OPTIONS":
        if not request.from_node and flood.count_unauthenticated(ksr, request) is DONE:
            return DONE
        ksr.hdr.append_to_reply(f"Allow: {METHODS}\r\n")
        ksr.sl.send_reply(200, "OK")
        return DONE
    return NEXT
