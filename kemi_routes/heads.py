"""Messages whose head Asterisk would read as another one than we do: a header for us is two, or none, for it.

What we prove and take away - who calls, whom, whether within a dialog, what is said in our name - is of the headers as
Kamailio's parser has them; Asterisk's, PJSIP, gets the same bytes. They differ (sip_parser.c and scanner.c of 2.17):

- A header ends at LF for Kamailio, for PJSIP at a lone CR as well.
- For PJSIP a header whose value has a grammar (Contact, Content-Type, From, ...) also ends at an `&`, as in the URI of
  a web page. The next header may follow on the same line.
- PJSIP looks for the `]` of an address and for the `)` of a comment in Via on the lines that follow, too, and in the
  body. (In Replaces for the first `;` as well: that header is known to it by res_pjsip_refer, which is not loaded.)

A second header that follows a lone CR or an `&` is the one that Asterisk believes. What PJSIP cannot read at all, it
drops as a whole, so nothing is to be hidden there. What Kamailio cannot read and PJSIP can is for checks.py.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from kemi_routes import foreign_text

if TYPE_CHECKING:
    from KSR import Ksr

_NEWLINE, _BLANK_LINE = "\r\n", "\r\n\r\n"
# What both skip before the first line: it belongs to no head (parse_msg; of NUL PJSIP makes no message).
_BEFORE = "\r\n\t \0"
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
# Headers that PJSIP reads by a grammar: pjsip_register_hdr_parser() of it and of what Asterisk loads. Any other is text
# to it, up to the end of its last line. Of a Call-ID and of lists the first line is.
_OF_WORDS = r"call-id|i|accept|allow|require|supported|k|unsupported"
_OF_ADDRESSES = r"from|f|to|t|contact|m|route|record-route"
_READ_BY_GRAMMAR = (
    rf"{_OF_WORDS}|{_OF_ADDRESSES}|via|v|cseq|content-length|l|content-type|c|expires|min-expires|max-forwards|"
    r"retry-after|authorization|proxy-authorization|www-authenticate|proxy-authenticate|event|o|subscription-state|"
    r"session-expires|x|min-se|replaces"
)
# What PJSIP takes as it is: a maker's header, a Call-ID, a name. A panel may be called "AT&T: lobby [A", or so without
# the quotes but for the colon.
_PLAIN = re.compile(
    rf"^(?:(?!(?:{_READ_BY_GRAMMAR})[ \t]*:)[\w.!%*`'~+-]++[ \t]*+:[^\n]*+(?:\n[ \t][^\n]*+)*+|"
    rf"(?:{_OF_WORDS})[ \t]*+:[^\n]*+|"
    r'([\w-]++[ \t]*+:[ \t]*+)"(?:[^"\\\n]|\\[^\n])*"|'
    rf'((?:{_OF_ADDRESSES})[ \t]*+:)[^"<:\n]*+(?=<))',
    re.IGNORECASE | re.MULTILINE | re.ASCII,
)
# What is left of it: the name before a name.
_REST = r"\1\2"


def fault(ksr: Ksr, *, for_asterisk: bool = True) -> str:
    """Return what in the head of the message at hand is read in two ways; empty when nothing is.

    Of what never reaches Asterisk (a REGISTER) only a lone CR is a fault: nobody honest sends one.
    """
    try:
        text = ksr.kx.get_msgbuf() or ""
    except UnicodeDecodeError:
        text = bytes.fromhex(foreign_text.hexadecimal(ksr, "$mb")).decode("latin-1")
    return fault_of(text, for_asterisk=for_asterisk)


def fault_of(text: str, *, for_asterisk: bool = True) -> str:
    """As `fault`, of the text of a message. Asked of every message from outside: most are through after five looks."""
    text = text.lstrip(_BEFORE)
    if not text:
        return "no text"
    head = text.partition(_BLANK_LINE)[0]
    if "\r" in head.replace(_NEWLINE, ""):
        return "CR without LF"
    if for_asterisk and ("&" in head or "[" in head or "(" in head):
        return _second_reading(head)
    return ""


def _second_reading(head: str) -> str:
    if "&" in head and _NEXT_HEADER.search(head) and _NEXT_HEADER.search(_PLAIN.sub(_REST, head)):
        return "header after &"
    if "[" in head and _OPEN_ADDRESS.search(head) and _OPEN_ADDRESS.search(_PLAIN.sub(_REST, head)):
        return "[ without ]"
    if "(" in head and _may_be_in_via(head) and _COMMENT_IN_VIA.search(head):
        return "comment in Via"
    return ""


def _may_be_in_via(head: str) -> bool:
    """Tell whether a line with a parenthesis begins like Via, or goes on another: rarely, most are of User-Agent."""
    at = head.find("(")
    while at >= 0:
        begin = head.rfind("\n", 0, at) + 1
        if head[begin] in "Vv \t":
            return True
        at = head.find("(", at + 1)
    return False
