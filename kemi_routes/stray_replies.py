"""Replies without a transaction: what a node says goes on, of all others the 200 of an INVITE that a node has sent.

tm lets go of an INVITE soon after its 200. Until the ACK has come a phone repeats it (RFC 3261, 13.3.1.4), and it has
to reach the node, which then repeats the ACK (16.7). Anything else goes nowhere: it would be passed on to whatever its
second Via names, after a look into DNS for which the worker waits.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import answers, contact_address, headers, node_life, second_answers, trunk_cseq

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.settings import Settings

_ANSWER, _NEGATIVE = 200, 300


def judge(ksr: Ksr, settings: Settings) -> None:
    """Let a reply go on, in the form in which a node may have it, or drop it."""
    if ksr.dispatcher.ds_is_from_list(node_life.SET) > 0:
        return
    if not _ANSWER <= ksr.kx.get_status() < _NEGATIVE or not _is_of_a_nodes_invite(ksr):
        ksr.set_drop()
        return
    call_id = ksr.kx.get_callid() or ""
    if answers.is_late(ksr, call_id):
        second_answers.hang_up(ksr, settings)
        ksr.set_drop()
        return
    headers.strip_private(ksr)
    contact_address.mend(ksr)
    trunk_cseq.restore_repeated(ksr, call_id)
    answers.tell_again(ksr, call_id)


def _is_of_a_nodes_invite(ksr: Ksr) -> bool:
    """Tell whether this answers an INVITE, and the Via after ours leads to a node and to nowhere else."""
    if not ksr.hdr.gete("CSeq").endswith("INVITE"):
        return False
    _, another, rest = ksr.hdr.gete("Via").partition(",")
    via = rest if another else ksr.hdr.get_idx("Via", 1)
    if not isinstance(via, str):
        return False
    sent_by, *parameters = via.partition(",")[0].split(";")
    protocol, _, name = sent_by.strip().rpartition(" ")
    host, _, port = name.rpartition(":")
    said = {key.strip().lower(): value.strip() for key, _, value in (text.partition("=") for text in parameters)}
    leads_there = said.get("received", host) == host and said.get("rport", "") in ("", port) and "maddr" not in said
    return leads_there and protocol.strip() == "SIP/2.0/UDP" and node_life.is_node(ksr, f"sip:{name}")
