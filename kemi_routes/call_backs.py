"""Calls back: a dispatcher calls a number of a city, from a known trunk's address, and reaches the panel that has it.

Which panel that is the CRM knows; here only who called with the number last is remembered, for when nobody else can
tell. A panel that talks, or rings somebody, is freed: its call is ended, after a tone, on the node that carries it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kemi_routes import emergency_table, headers, node_life, panel_talks, talks, trunk_addresses
from kemi_routes.pipeline import DONE, NEXT, Refusal
from kemi_routes.replies import refuse

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

USER = "call-back"
END_TALK = "end-talk"
KIND = "trunk"
_HELD = "held_numbers"
_NUMBER = re.compile(r"\+?[0-9]{2,15}", re.ASCII)


def take(ksr: Ksr, request: Request) -> Outcome:
    """Recognise a call from a trunk: it goes on as a call back, or is refused; anything else goes on as it is."""
    if request.method != "INVITE" or request.from_node:
        return NEXT
    trunk = trunk_addresses.trunk_at(ksr, request.source_ip)
    if trunk is None:
        return NEXT
    number = request.number if request.number.startswith("+") else f"+{request.number}"
    if _NUMBER.fullmatch(number) is None or not emergency_table.is_city_number(ksr, number):
        return refuse(ksr, request, Refusal(404, "Not Here", f"trunk {trunk} calls a number that is no city's"))
    last = ksr.htable.sht_get(_HELD, number)
    told = headers.WORDS_BY.join((number, trunk, last if isinstance(last, str) else "-"))
    for name in ("Alert-Info", "Call-Info"):
        ksr.hdr.remove(name)
    ksr.hdr.append(f"{headers.CALL_BACK}: {told}\r\n")
    ksr.pv.sets("$rU", USER)
    request.account, request.kind, request.emergency = trunk, KIND, True
    return NEXT


def end_talk(ksr: Ksr, request: Request) -> Outcome:
    """Pass a node's wish to end a panel's talk to the node that carries it; 480 when the panel does not talk."""
    panel = ksr.hdr.gete(headers.CALL_BACK)
    talk = panel_talks.of(ksr, panel)
    if talk is None:
        return refuse(ksr, request, Refusal(480, "No Talk", f"panel {panel} neither talks nor rings anybody"))
    if not talks.gives_way(ksr, talk.call_id):
        return refuse(ksr, request, Refusal(480, "No Talk", f"panel {panel} calls a dispatch centre"))
    headers.strip_private(ksr)
    ksr.hdr.remove("Route")
    ksr.hdr.append(f"{headers.CALL_BACK}: {talk.call_id}\r\n")
    ksr.rr.record_route()
    ksr.seturi(f"sip:{END_TALK}@{talk.node}")
    ksr.tm.t_set_fr(10_000, 2000)
    if not node_life.is_node(ksr, f"sip:{talk.node}") or ksr.tm.t_relay() < 0:
        ksr.sl.send_reply_error()
    return DONE
