"""Calls back: a dispatcher calls a number of a city, from a known trunk's address, and reaches the panel that has it.

Which panel that is the CRM knows; here only who called with the number last is remembered, for when nobody else can
tell. A panel that talks is freed: its talk is ended, after a tone, on the node that carries it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kemi_routes import emergency_table, headers, node_life, trunk_addresses
from kemi_routes.pipeline import DONE, NEXT, Refusal
from kemi_routes.replies import refuse

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request

USER = "call-back"
END_TALK = "end-talk"
KIND = "trunk"
_HELD = "held_numbers"
_TALKS = "talks"
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


def talk_begins(ksr: Ksr, panel: str, node: str, call_id: str) -> None:
    """Remember the answered call of a panel."""
    ksr.htable.sht_sets(_TALKS, panel, f"{node} {call_id}")


def talk_ends(ksr: Ksr, panel: str, call_id: str) -> None:
    """Forget it, unless another has begun."""
    kept = ksr.htable.sht_get(_TALKS, panel)
    if isinstance(kept, str) and kept.partition(" ")[2] == call_id:
        ksr.htable.sht_rm(_TALKS, panel)


def end_talk(ksr: Ksr, request: Request) -> Outcome:
    """Pass a node's wish to end a panel's talk to the node that carries it; 480 when the panel does not talk."""
    panel = ksr.hdr.gete(headers.CALL_BACK)
    kept = ksr.htable.sht_get(_TALKS, panel)
    if not isinstance(kept, str):
        return refuse(ksr, request, Refusal(480, "No Talk", f"panel {panel} does not talk"))
    node, _, call_id = kept.partition(" ")
    headers.strip_private(ksr)
    ksr.hdr.remove("Route")
    ksr.hdr.append(f"{headers.CALL_BACK}: {call_id}\r\n")
    ksr.rr.record_route()
    ksr.seturi(f"sip:{END_TALK}@{node}")
    ksr.tm.t_set_fr(10_000, 2000)
    if not node_life.is_node(ksr, f"sip:{node}") or ksr.tm.t_relay() < 0:
        ksr.sl.send_reply_error()
    return DONE
