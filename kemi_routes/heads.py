"""Messages whose head Asterisk would read as another one than we do: a header for us is two, or none, for it.

What we prove and take away - who calls, whom, whether within a dialog, what is said in our name - is of the headers as
Kamailio's parser has them; Asterisk's, PJSIP, gets the same bytes. They differ (sip_parser.c and scanner.c of 2.17):

- A header ends at LF for Kamailio, for PJSIP at a lone CR as well.
- For PJSIP a header whose value has a grammar (Contact, Content-Type, From, ...) also ends at an `&`, as in the URI of
  a web page. The next header may follow on the same line.
- PJSIP looks for the `]` of an address and for the `)` of a comment in Via on the lines that follow, too, and in the
  body. (In Replaces for the first `;` as well: that header is known to it by res_pjsip_refer, which is not loaded.)

A second header that follows a lone CR or an `&` is the one that Asterisk believes. Whatever else PJSIP cannot read, it
drops as a whole, so nothing is to be hidden there.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kemi_routes import foreign_text

if TYPE_CHECKING:
    from KSR import Ksr

_NEWLINE, _BLANK_LINE = "\r\n", "\r\n\r\n"
# What we look at, take away or write ourselves; any other header may be sent openly, so nobody need hide it. Names that
# mean nothing to us must pass: iPhones register with `pn-prid=<token>:remote&<token>:voip` in Contact.
_OURS = (
    r"from|f|to|t|call-id|i|cseq|via|v|contact|m|route|record-route|path|max-forwards|content-length|l|content-type|c|"
    r"content-encoding|e|require|proxy-require|expires|reason|authorization|proxy-authorization|p-asserted-identity|"
    r"p-preferred-identity|remote-party-id|diversion|privacy|geolocation|geolocation-routing|alert-info|call-info|"
    r"x-entryphone-[^\s:]*"
)
_NEXT_HEADER = re.compile(rf"&\s*+(?:{_OURS})\s*+:", re.IGNORECASE)
_OPEN_ADDRESS = re.compile(r"\[[^\[\]\n]*(?:\n|\Z)")
_COMMENT_IN_VIA = re.compile(r"^(?:via|v)[ \t]*:(?:[^\n(]|\n[ \t])*\(", re.IGNORECASE | re.MULTILINE)
# What PJSIP takes as it is, up to the end of the line or of the quoted name: a Call-ID may hold any sign, and a panel
# be called "AT&T: lobby [A".
_PLAIN = re.compile(
    r"^(?:(?:call-id|i|in-reply-to|subject|s|user-agent|server|organization|warning)[ \t]*:[^\n]*|"
    r'([\w-]+[ \t]*:[ \t]*)"(?:[^"\\\n]|\\[^\n])*")',
    re.IGNORECASE | re.MULTILINE | re.ASCII,
)


def fault(ksr: Ksr) -> str:
    """Return what in the head of the message at hand is read in two ways; empty when nothing is."""
    try:
        text = ksr.kx.get_msgbuf() or ""
    except UnicodeDecodeError:
        text = bytes.fromhex(foreign_text.hexadecimal(ksr, "$mb")).decode("latin-1")
    return fault_of(text)


def fault_of(text: str) -> str:
    """As `fault`, of the text of a message. Asked of every message from outside: most are through after four looks."""
    if text[:1] in _NEWLINE:  # what comes before the first line belongs to no head
        text = text.lstrip(_NEWLINE)
        if not text:
            return "no text"
    head = text.partition(_BLANK_LINE)[0]
    if "\r" in head.replace(_NEWLINE, ""):
        return "CR without LF"
    if "&" in head and _NEXT_HEADER.search(head) and _NEXT_HEADER.search(_PLAIN.sub(r"\1", head)):
        return "header after &"
    if "[" in head and _OPEN_ADDRESS.search(head) and _OPEN_ADDRESS.search(_PLAIN.sub(r"\1", head)):
        return "[ without ]"
    if "(" in head and _may_be_in_via(head) and _COMMENT_IN_VIA.search(head):
        return "comment in Via"
    return ""


def _may_be_in_via(head: str) -> bool:
    """Tell whether a line with a parenthesis begins like Via, or goes on another: rarely, most are of User-Agent."""
    return any(before.rpartition("\n")[2][:1] in "Vv \t" for before in head.split("(")[:-1])
