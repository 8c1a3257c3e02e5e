"""Where a device is reached: at the address that it sends from, whatever its Contact says.

Behind NAT it cannot know that address, and nobody may name another's: calls would go where he wants, an Asterisk node
included, which believes what comes from us.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kemi_routes import foreign_text, sip_uri

if TYPE_CHECKING:
    from KSR import Ksr

# nat_uac_test: address (2) and port (16) of Via against where the request came from, a private source address (32),
# port of Contact (128).
NAT_TESTS = 2 | 16 | 32 | 128
# Kamailio's numbers of transports, from 1 (`PROTO_UDP`, core/ip_addr.h), as the parameter `alias` has them.
_TRANSPORTS = ("udp", "tcp", "tls", "sctp", "ws", "wss")
_QUOTED = re.compile(r'"(?:[^"\\]|\\.)*"')
# A URI of a Contact, in brackets or alone; quoted names are gone by then.
_URI = re.compile(r"<([^>]*)>|(?:^|,)\s*([^\s<,;]+)\s*(?=[;,]|$)")
# What comes before the address: a name, which no call has any use for.
_NAME = re.compile(r'^\s*(?:"(?:[^"\\]|\\.)*"|[^"<,]*)\s*(?=<)')


def mend(ksr: Ksr) -> None:
    """Write the address that the message came from to its Contact, unless that says just this (as `alias`).

    Without it the requests of Asterisk within the dialog would go to what the device calls itself (RFC 3261,
    12.2.1.1). An address that cannot be read makes way for the one that is: Asterisk would drop the whole message.
    """
    contact = foreign_text.header(ksr, "Contact")
    if not is_readable(contact):
        ours = mended(ksr)
        ksr.hdr.remove("Contact")
        ksr.hdr.append(f"Contact: {ours}\r\n")
    elif contact and is_elsewhere(ksr, contact):
        ksr.nathelper.set_contact_alias_trim()


def mended(ksr: Ksr) -> str:
    """Return the Contact as `mend` writes it; empty without one."""
    contact = foreign_text.header(ksr, "Contact")
    if not is_readable(contact):
        uri = f"sip:{ksr.kx.get_srcip()}:{ksr.kx.get_srcport()}"
    elif not contact or not is_elsewhere(ksr, contact):
        return contact
    else:
        uri = contact.partition("<")[2].partition(">")[0] if "<" in contact else contact.partition(";")[0].strip()
    kept = ";".join(part for part in uri.split(";") if not part.lower().startswith("alias="))
    transport = _TRANSPORTS.index(ksr.kx.get_proto()) + 1
    return f"<{kept};alias={ksr.kx.get_srcip()}~{ksr.kx.get_srcport()}~{transport}>"


def is_readable(contact: str) -> bool:
    """Tell whether a Contact is text but for its name."""
    return foreign_text.MARK not in contact or foreign_text.MARK not in _NAME.sub("", contact)


def unusable(ksr: Ksr, contacts: list[str]) -> str:
    """Return a URI of these Contacts that nothing can be sent to, as Kamailio cannot read it; empty without one.

    It is asked rather than told what a URI is: a host with `^` it cannot read, `tel:` from behind NAT it can ring.
    """
    for contact in contacts:
        for bracketed, plain in _URI.findall(_QUOTED.sub("", contact) if '"' in contact else contact):
            uri = bracketed or plain
            if uri != "*" and ksr.siputils.is_uri(uri) < 0:
                return uri or "<>"
    return ""


def mend_of_carrier(ksr: Ksr) -> None:
    """As `mend`, of a request from a carrier: it may well be reached at another address than it sends from."""
    if ksr.nathelper.nat_uac_test(NAT_TESTS) > 0:
        ksr.nathelper.set_contact_alias_trim()


def is_elsewhere(ksr: Ksr, contact: str) -> bool:
    """Tell whether the Contact of the message at hand says anything but the address that it came from."""
    kx = ksr.kx
    if host_and_port(contact) != f"{kx.get_srcip()}:{kx.get_srcport()}" or kx.get_proto() != "udp":
        return True
    said = contact.lower()
    return ";alias=" in said or ";maddr=" in said


def host_and_port(contact: str) -> str:
    """Return `host:port` of the only URI of a Contact; empty for `*`, for several and for what is none."""
    if "," in contact:
        return ""
    uri = contact.partition("<")[2].partition(">")[0] if "<" in contact else contact.strip()
    return sip_uri.host_and_port(uri) if uri[:4].lower() == "sip:" else ""
