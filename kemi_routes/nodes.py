"""Asterisk nodes, the legs in setup through each, and what becomes of these when a node dies.

A leg in setup is kept in shared memory under its Call-ID, from the INVITE to the final reply:
`P <node> <state> <sent_ms>` a panel's call (state `sent`, `dials`, `rings`, `lost`, `going`; receipt of
admission.setup_begins),
`S <node> <cseq>` what Asterisk has rung: a stage, a phone, a dispatch centre.
Requests, replies, timers and `NodeWatch` are in processes of their own: whoever changes what is kept looks and writes
while the row is locked, so that a call that has moved meanwhile is not put back. The lock is the last that is taken.

When the dispatcher finds a node dead, and it has sent nothing either (node_life.py), what it rings is cancelled, so
that no handset and no dispatcher is rung for nobody, and none is busy when the call comes again through the next node.
Its panels' calls get, in the node's name, the answer it can no longer give: 503 on the branch, made from its first
provisional reply and sent to ourselves. So the transaction ends that branch the ordinary
way (a transport failure counts as 503, RFC 3261, 8.1.3.1), its failure route runs and relays to the next node.

A node that crashes and is back within two seconds has missed no two probes. It says itself that it has started
(asterisk/extensions.conf, [node_started]): what it had in setup before is over just so.

A node that only stood still takes up such a call when it goes on, and would ring an apartment for nobody: it is
refused. Which calls have left which node is kept in `left`, as `<Call-ID> <node>`.
"""

from __future__ import annotations

import socket
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import foreign_text
from kemi_routes.node_life import address_of, bring_back, lives, name_of
from kemi_routes.pipeline import DONE
from kemi_routes.table_rows import locked

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from KSR import Ksr

    from kemi_routes.pipeline import Outcome, Request
    from kemi_routes.settings import Settings

QUEUE = "lost_nodes"
# User of the request URI with which a node says that it has started.
STARTED = "node-started"
_SETUP = "setup"
_PROVISIONAL = "provisional"
_LEFT = "left"
_ITERATOR = "setup"

SENT = "sent"
DIALS = "dials"
RINGS = "rings"
LOST = "lost"
# Its node is being stopped in good order, and has said so in its final reply.
GOING = "going"
EVERY_STATE = (SENT, DIALS, RINGS, LOST, GOING)


class PanelLeg(NamedTuple):
    """A panel's call in setup."""

    node: str
    state: str
    sent_ms: str


def panel_leg(ksr: Ksr, call_id: str) -> PanelLeg | None:
    """Find the panel's leg of this Call-ID, None when it is not in setup."""
    entry = ksr.htable.sht_get(_SETUP, call_id)
    if not isinstance(entry, str) or not entry.startswith("P "):
        return None
    _, node, state, sent_ms = entry.split(" ")
    return PanelLeg(node, state, sent_ms)


def keep_panel_leg(ksr: Ksr, call_id: str, leg: PanelLeg) -> None:
    """Write a panel's leg that is sent to a node."""
    ksr.htable.sht_sets(_SETUP, call_id, f"P {leg.node} {leg.state} {leg.sent_ms}")


def change_panel_leg(
    ksr: Ksr, call_id: str, node: str, state: str, before: Collection[str] = EVERY_STATE
) -> PanelLeg | None:
    """Have a panel's leg be in another state, if it is still this node's and in one of those `before`.

    Returns:
        The leg as it was, to the one who has changed it; None when somebody was quicker.
    """
    with locked(ksr, _SETUP, call_id):
        leg = panel_leg(ksr, call_id)
        if leg is None or leg.node != node or leg.state not in before:
            return None
        keep_panel_leg(ksr, call_id, leg._replace(state=state))
    return leg


def keep_left(ksr: Ksr, call_id: str, node: str) -> None:
    """Note that a call goes on without this node, which may not know."""
    ksr.htable.sht_seti(_LEFT, f"{call_id} {node}", 1)


def asking(ksr: Ksr) -> str:
    """Return the name of the node that sends the request at hand."""
    return f"{ksr.kx.get_srcip()}:{ksr.kx.get_srcport()}"


def has_left(ksr: Ksr, call_id: str) -> bool:
    """Tell whether the call for which a node rings somebody goes on without it; the request at hand is its INVITE."""
    node = asking(ksr)
    leg = panel_leg(ksr, call_id)
    if leg is not None:
        return leg.node != node
    return ksr.htable.sht_get(_LEFT, f"{call_id} {node}") is not None


def keep_stage_leg(ksr: Ksr, call_id: str) -> None:
    """Write the leg of a stage; the request at hand is the node's INVITE."""
    ksr.htable.sht_sets(_SETUP, call_id, f"S {asking(ksr)} {ksr.pv.get('$cs')}")


def node_of_stage(ksr: Ksr, call_id: str) -> str:
    """Return `host:port` of the node whose stage this is, empty when it is not in setup any more."""
    entry = ksr.htable.sht_get(_SETUP, call_id)
    return entry.split(" ")[1] if isinstance(entry, str) and entry.startswith("S ") else ""


def stage_cseq(ksr: Ksr, call_id: str) -> str:
    """Return the CSeq number of a stage's INVITE, empty when it is not in setup any more."""
    entry = ksr.htable.sht_get(_SETUP, call_id)
    return entry.split(" ")[2] if isinstance(entry, str) and entry.startswith("S ") else ""


def is_in_setup(ksr: Ksr, call_id: str) -> bool:
    """Tell whether a leg has had no final reply yet."""
    return ksr.htable.sht_get(_SETUP, call_id) is not None


def keep_provisional(ksr: Ksr, call_id: str) -> None:
    """Keep the node's first reply, in hexadecimal: from it 503 is made if the node dies.

    It repeats the panel's display name, in whatever encoding that is.
    """
    if ksr.htable.sht_get(_PROVISIONAL, call_id) is None:
        ksr.htable.sht_sets(_PROVISIONAL, call_id, foreign_text.hexadecimal(ksr, "$mb"))


def end_panel_leg(ksr: Ksr, call_id: str) -> PanelLeg | None:
    """Forget a panel's leg, as it has its final reply; return it as it was."""
    with locked(ksr, _SETUP, call_id):
        leg = panel_leg(ksr, call_id)
        ksr.htable.sht_rm(_SETUP, call_id)
    ksr.htable.sht_rm(_PROVISIONAL, call_id)
    return leg


def end_stage_leg(ksr: Ksr, call_id: str) -> None:
    """Forget the leg of a stage: it has its final reply."""
    ksr.htable.sht_rm(_SETUP, call_id)


def node_event(ksr: Ksr, event: str) -> None:
    """Note the dispatcher's event; the work is done by the process of `NodeWatch`, not by the dispatcher's timer."""
    uri = ksr.kx.get_ruri() or ""
    ksr.warn(f"node {uri}: {event}\n")
    if event == "dispatcher:dst-down":
        ksr.mqueue.mq_add(QUEUE, uri, event)


def has_started(ksr: Ksr, _request: Request) -> Outcome:
    """Note that a node knows nothing of the calls that it had, as it has just been started.

    Once: a copy of its INVITE, which it repeats after 200 ms, would end what it has begun since.
    """
    if ksr.tm.t_newtran() == 0:
        return DONE  # another worker has one in hand; later ones are absorbed (dialogs.absorb_retransmission)
    uri = f"sip:{ksr.kx.get_srcip()}:{ksr.kx.get_srcport()}"
    ksr.warn(f"node {uri} has started\n")
    ksr.mqueue.mq_add(QUEUE, uri, STARTED)
    ksr.sl.send_reply(480, "Noted")
    return DONE


def as_503(provisional: bytes) -> bytes:
    """Final reply made from a provisional one: same Via, From, To, Call-ID and CSeq, no body.

    Raises:
        ValueError: this is no provisional SIP reply.
    """
    head = provisional.partition(b"\r\n\r\n")[0].decode("latin-1")  # each byte stays what it is
    first, *lines = head.split("\r\n")
    if not first.startswith("SIP/2.0 1"):
        raise ValueError(f"no provisional reply: {first!r}")
    wanted = ("via:", "v:", "from:", "f:", "to:", "t:", "call-id:", "i:", "cseq:")
    kept: list[str] = []
    taking = False
    for line in lines:
        if line[:1] not in (" ", "\t"):  # a folded line belongs to the header before it (RFC 3261, 7.3.1)
            taking = line.lower().replace(" ", "").replace("\t", "").startswith(wanted)
        if taking:
            kept.append(line)
    for index, line in enumerate(kept):
        if line[:1] in "tT" and ";tag=" not in line.lower():
            kept[index] = line + ";tag=node-lost"
    return "\r\n".join(["SIP/2.0 503 Node Lost", *kept, "Content-Length: 0", "", ""]).encode("latin-1")


class NodeWatch:
    """Answers for dead nodes, in a process of its own."""

    def __init__(self, settings: Settings, closing: tuple[Callable[[Ksr, str], None], ...] = ()) -> None:
        """`closing` is called with the Call-ID of each leg that is cancelled, so that nobody joins it any more."""
        self._closing = closing
        self._us = (settings.sip_address, settings.sip_port)
        self._socket: socket.socket | None = None

    def tick(self, ksr: Ksr) -> None:
        """Take the nodes lost since the last tick and end what they had in setup."""
        while ksr.mqueue.mq_fetch(QUEUE) > 0:
            uri, event = ksr.mqueue.mqk_get(QUEUE), ksr.mqueue.mqv_get(QUEUE)
            ksr.mqueue.mq_pv_free(QUEUE)
            if not isinstance(uri, str):
                continue
            if event != STARTED and lives(ksr, address_of(uri)):
                bring_back(ksr, uri)
                ksr.warn(f"node {uri} does not answer probes but carries calls: it stays up\n")
            else:
                self._end_legs(ksr, name_of(uri))

    def close(self) -> None:
        """Close what it answers by."""
        if self._socket is not None:
            self._socket.close()
            self._socket = None

    def _end_legs(self, ksr: Ksr, node: str) -> None:
        legs = _legs_of(ksr, node)
        moved = cancelled = 0
        for call_id, entry in legs:
            if entry[0] == "S":
                for close in self._closing:
                    close(ksr, call_id)
                if ksr.tmx.t_cancel_callid(call_id, entry[2], 0) < 0:
                    ksr.notice(f"stage of lost node {node} has ended by itself; call_id={call_id}\n")
                else:
                    cancelled += 1
                # What cannot be cancelled, as nobody has replied yet, finds here that it is over.
                end_stage_leg(ksr, call_id)
                continue
            has_replied = entry[2] != SENT or ksr.htable.sht_get(_PROVISIONAL, call_id) is not None
            if has_replied and change_panel_leg(ksr, call_id, node, LOST) is not None:
                moved += self._answer(ksr, call_id)
            # Else it has not replied at all. The transaction's own timer sends the call on, unless the node is only
            # slow and takes it: then the call is its own, and nobody else is to ring for it when it ends.
        ksr.warn(f"node {node} lost: {moved} calls in setup sent on, {cancelled} ringing legs that rang cancelled\n")

    def _answer(self, ksr: Ksr, call_id: str) -> bool:
        """Answer in the node's name; False when it cannot be.

        Of a call that the node has dialled for, and whose replies were all lost, nothing is kept: the transaction's own
        timer ends that branch.
        """
        provisional = ksr.htable.sht_get(_PROVISIONAL, call_id)
        if not isinstance(provisional, str):
            ksr.notice(f"nothing was heard from the lost node of this call: its timer sends it on; call_id={call_id}\n")
            return False
        if self._socket is None:
            self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        try:
            self._socket.sendto(as_503(bytes.fromhex(provisional)), self._us)
        except (OSError, ValueError) as error:
            ksr.err(f"cannot answer for a lost node: {error}; call_id={call_id}\n")
            return False
        return True


def _legs_of(ksr: Ksr, node: str) -> list[tuple[str, list[str]]]:
    """Legs in setup through a node: Call-ID and the words of the entry. Collected first: the iterator holds a lock."""
    found = []
    if ksr.htable.sht_iterator_start(_ITERATOR, _SETUP) < 0:
        return []
    try:
        while ksr.htable.sht_iterator_next(_ITERATOR) > 0:
            entry = ksr.pv.get(f"$shtitval({_ITERATOR})")
            words = entry.split(" ") if isinstance(entry, str) else []
            if len(words) > 1 and words[1] == node:
                found.append((str(ksr.pv.get(f"$shtitkey({_ITERATOR})")), words))
    finally:
        ksr.htable.sht_iterator_end(_ITERATOR)
    return found
