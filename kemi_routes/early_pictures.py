"""A phone that shows its resident the visitor before it answers (183 with SDP) takes no ringing from the visitor.

To Asterisk a 183 is sound to come: the panel gets a 183 in its turn, stops the ringing that it makes by itself, and
hears nothing, as the phone says nothing before it has answered. So the phone's sound is put on hold: `a=inactive` (RFC
3264, 6.1) in its description, until it answers and describes itself anew. Asterisk plays ringing to whoever is on hold
(asterisk/musiconhold.conf). The picture passes as before, the visitor's voice only after the answer.

A phone that shows no picture may have something to say, such as the ringing of a line beyond it: that is let through.
A gateway that says so by `a=sendonly` has put nobody on hold, as Asterisk would take it: `a=sendrecv` is written there.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from kemi_routes import foreign_text

if TYPE_CHECKING:
    from KSR import Ksr

_SDP: Final = "application/sdp"
_DIRECTIONS: Final = (b"a=sendrecv", b"a=sendonly", b"a=recvonly", b"a=inactive")
_HELD, _HEARS_ONLY, _SENDS_ONLY, _OPEN = b"a=inactive", b"a=recvonly", b"a=sendonly", b"a=sendrecv"


def hold_sound(ksr: Ksr) -> None:
    """Put the sound of the provisional reply being handled on hold, if it is there to see or to listen alone.

    One that only sends is made one that has nobody on hold.
    """
    if foreign_text.header(ksr, "Content-Type").partition(";")[0].strip().lower() != _SDP:
        return
    description = bytes.fromhex(foreign_text.hexadecimal(ksr, "$rb"))
    held = with_sound_held(description)
    if held != description:
        ksr.textops.set_body_hex(held.hex(), _SDP)


def with_sound_held(description: bytes) -> bytes:
    """Return a description (SDP, RFC 8866) with its sound on hold; heard if the phone may have something to say."""
    sections: list[list[bytes]] = [[]]
    for line in description.splitlines():
        if line.startswith(b"m="):
            sections.append([])
        sections[-1].append(line)
    session, *media = sections
    shows = any(_is_accepted(section, b"video") for section in media)
    for section in media:
        if not _is_accepted(section, b"audio"):
            continue
        said = [line.strip() for line in (*session, *section) if line.strip() in _DIRECTIONS]
        last = said[-1] if said else _OPEN
        if shows or last in (_HEARS_ONLY, _SENDS_ONLY):
            section[:] = [line for line in section if line.strip() not in _DIRECTIONS]
            section.append(_HELD if shows or last == _HEARS_ONLY else _OPEN)
    return b"".join(line + b"\r\n" for section in sections for line in section)


def _is_accepted(section: list[bytes], kind: bytes) -> bool:
    """Tell whether a section is of this kind, and not refused (port 0; RFC 3264, 6)."""
    name, port = (*section[0].removeprefix(b"m=").split(), b"", b"")[:2]
    return name == kind and port.partition(b"/")[0] != b"0"
