"""A phone that answers a stage which another one has just answered: its talk is ended at once.

Its 200 is on its way before the CANCEL arrives. tm passes it on as every 200 (RFC 3261, 16.7), but Asterisk knows one
answer of a leg (13.2.2.4): it would neither acknowledge the second nor end it, yet send the first one's BYE, and maybe
its sound, to the second. So we acknowledge it and hang up, and Asterisk gets the first answer once more in its place.
The 200 is repeated until the ACK has arrived, and each time this is done again.
"""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, NamedTuple

from kemi_routes import contact_address, foreign_text, headers

if TYPE_CHECKING:
    from KSR import Ksr

    from kemi_routes.settings import Settings

# Of the transaction: the first answer, its parts with LF between them and the body last.
_FIRST = "$avp(first_answer)"
_SDP = "application/sdp"
_ANSWER, _NEGATIVE = 200, 300


class Answer(NamedTuple):
    """What Asterisk has been told by the phone that answered first; `contact` is where we reach it."""

    ruid: str
    account: str
    contact: str
    to: str
    body: str


def first_of(ksr: Ksr, ruid: object, account: str) -> Answer | None:
    """Return the answer that came before the 200 at hand from another phone; None when this phone's is the first."""
    kept = ksr.pv.get(_FIRST)
    if isinstance(kept, str):
        first = Answer(*kept.split("\n", 4))
        return None if first.ruid == str(ruid) else first
    body = foreign_text.read(ksr, "$rb") or ""
    contact, to = (
        foreign_text.one_line(text) for text in (contact_address.mended(ksr), foreign_text.header(ksr, "To"))
    )
    ksr.pv.sets(_FIRST, "\n".join((str(ruid), account, contact, to, body)))
    return None


def ends_given_up(ksr: Ksr, settings: Settings) -> bool:
    """End the talk of the reply at hand when it is a 200 of a branch that tm has failed before; tell whether it is.

    A trunk that was silent for too long answers after all, while the next one is being asked. tm throws it away.
    """
    if not _ANSWER <= ksr.kx.get_status() < _NEGATIVE:
        return False
    last = ksr.pv.get("$T_reply_last")
    if not isinstance(last, int) or last < _NEGATIVE:
        return False
    hang_up(ksr, settings)
    return True


def end(ksr: Ksr, settings: Settings, first: Answer) -> None:
    """End the talk of the 200 at hand; what goes on to Asterisk says what the first said.

    Its own X-Entryphone headers are gone already.
    """
    hang_up(ksr, settings)
    told = (("To", first.to), ("Contact", first.contact), (headers.ANSWERED_BY, first.account))
    for name, value in told:
        ksr.hdr.remove(name)
        ksr.hdr.append(f"{name}: {value}\r\n")
    ksr.textops.set_body(first.body, _SDP)


def hang_up(ksr: Ksr, settings: Settings) -> None:
    """Acknowledge the 200 at hand and hang up, towards where it came from."""
    contact, phone = foreign_text.read(ksr, "$(ct{nameaddr.uri})"), ksr.pv.get("$sut")
    if not isinstance(contact, str) or not isinstance(phone, str) or not _sent(ksr, settings, contact, phone):
        ksr.err(f"{phone} answered after another and cannot be hung up; call_id={ksr.kx.get_callid()}\n")


def _sent(ksr: Ksr, settings: Settings, contact: str, phone: str) -> bool:
    number = int(ksr.pv.get("$cs") or 0)
    caller, called = foreign_text.header(ksr, "From"), foreign_text.header(ksr, "To")
    dialog = f"From: {caller}\r\nTo: {called}\r\nCall-ID: {ksr.kx.get_callid()}\r\n"
    via = f"SIP/2.0/{phone.rpartition('=')[2].upper()} {settings.sip_address}:{settings.sip_port}"
    ack = (
        f"ACK {contact} SIP/2.0\r\nVia: {via};branch=z9hG4bK{secrets.token_hex(12)}\r\nMax-Forwards: 70\r\n"
        f"{dialog}CSeq: {number} ACK\r\nContent-Length: 0\r\n\r\n"
    )
    why = 'Reason: SIP;cause=200;text="Call completed elsewhere"\r\n'
    return (
        ksr.corex.send_data(phone, ack) > 0
        and ksr.tm.t_uac_send("BYE", contact, phone, "", f"{dialog}CSeq: {number + 1} BYE\r\n{why}", "") > 0
    )
