"""CSeq of a leg to trunks: each INVITE that it sends has a higher number than the one before, though Asterisk sent one.

The answer to a challenge must have a higher number (RFC 3261, 22.2), and a carrier that is asked once more within
seconds with the same Call-ID, tag and number takes it for a loop (8.2.2.2). So numbers begin below that of Asterisk's
INVITE and grow with each try; its next request within the dialog is higher than all of them, and need not be changed.
Replies get the number of Asterisk's INVITE, its ACK that of the INVITE which the carrier has answered.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from KSR import Ksr

# Of the transaction: how many INVITEs were sent; the numbers of Asterisk's INVITE and of the one on its way.
_SENT = "$avp(trunk_sent)"
_NUMBERS = "$avp(trunk_cseq)"
# More than a leg tries: every trunk, each with a challenge.
_ROOM = 80
# Call-ID of a leg that a carrier has answered -> the two numbers, for as long as the 200 may be repeated.
_TABLE = "trunk_cseq"


def next_number(ksr: Ksr) -> None:
    """Take the number of the INVITE that is to be relayed now."""
    sent = ksr.pv.get(_SENT)
    sent = sent if isinstance(sent, int) else 0
    ours = int(str(ksr.pv.get("$cs")))
    ksr.pv.seti(_SENT, sent + 1)
    ksr.pv.sets(_NUMBERS, f"{ours} {min(ours, max(ours - _ROOM, 1) + sent)}")


def write(ksr: Ksr) -> None:
    """Give the branch its number."""
    _replace(ksr, str(ksr.pv.get(_NUMBERS)).partition(" ")[2], "INVITE")


def restore(ksr: Ksr, *, answered: bool) -> None:
    """Give a carrier's reply the number that Asterisk knows; keep the carrier's for the ACK of an answer."""
    ours = str(ksr.pv.get(_NUMBERS)).partition(" ")[0]
    if answered:
        ksr.htable.sht_sets(_TABLE, ksr.kx.get_callid() or "", f"{ours} {ksr.pv.get('$cs')}")
    _replace(ksr, ours, "INVITE")


def restore_repeated(ksr: Ksr, call_id: str) -> None:
    """Give a carrier's 200 that it repeats the number that Asterisk knows; any other is left as it is."""
    ours, theirs = _answered(ksr, call_id)
    if theirs and theirs == str(ksr.pv.get("$cs")):
        _replace(ksr, ours, "INVITE")


def acknowledge(ksr: Ksr, call_id: str) -> None:
    """Give Asterisk's ACK of an answered leg the number that the carrier knows; any other ACK is left as it is."""
    ours, theirs = _answered(ksr, call_id)
    if ours and ours == str(ksr.pv.get("$cs")):
        _replace(ksr, theirs, "ACK")


def _answered(ksr: Ksr, call_id: str) -> tuple[str, str]:
    """Return Asterisk's number and the carrier's of an answered leg; both empty for any other."""
    kept = ksr.htable.sht_get(_TABLE, call_id)
    ours, _, theirs = kept.partition(" ") if isinstance(kept, str) else ("", "", "")
    return ours, theirs


def _replace(ksr: Ksr, number: str, method: str) -> None:
    ksr.hdr.remove("CSeq")
    ksr.hdr.append(f"CSeq: {number} {method}\r\n")
