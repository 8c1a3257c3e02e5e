"""Text of strangers, as Kamailio has it: bytes that need be no UTF-8.

A phone may write its name in cp1251 or GBK. app_python3 makes a `str` of whatever Kamailio returns (apy_kemi.c,
PyUnicode_FromStringAndSize): of other bytes it cannot, and raises UnicodeDecodeError. What it is given ends at a NUL,
so text with one raises, too. Whoever reads what strangers write reads it here, where nothing raises.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from KSR import Ksr

MARK = "\N{REPLACEMENT CHARACTER}"
"""Stands for what cannot be read."""
_NUL = "\0"


def read(ksr: Ksr, name: str) -> str | None:
    """Return a pseudo-variable as text, None without a value; MARK stands for what cannot be read."""
    try:
        value = ksr.pv.get(name)
    except UnicodeDecodeError:
        value = bytes.fromhex(hexadecimal(ksr, name)).decode(errors="replace")
    return None if value is None else str(value).replace(_NUL, MARK)


def header(ksr: Ksr, name: str) -> str:
    """Return the first header of this name, empty without one, as `read` has it."""
    try:
        return ksr.hdr.gete(name).replace(_NUL, MARK)
    except UnicodeDecodeError:
        return read(ksr, f"$hdr({name})") or ""


def nth_header(ksr: Ksr, name: str, index: int) -> str | None:
    """Return the header of this name and place (from 0), None without one, as `read` has it."""
    try:
        value = ksr.hdr.get_idx(name, index)
    except UnicodeDecodeError:
        return read(ksr, f"$(hdr({name})[{index}])")
    return None if value is None else str(value).replace(_NUL, MARK)


def caller(ksr: Ksr) -> str:
    """Return the user of From, empty without one, as `read` has it."""
    return _text(ksr, ksr.kx.gete_fuser, "$fU")


def called(ksr: Ksr) -> str:
    """Return the user of To, empty without one, as `read` has it."""
    return _text(ksr, ksr.kx.gete_tuser, "$tU")


def _text(ksr: Ksr, get: Callable[[], str], name: str) -> str:
    try:
        return get().replace(_NUL, MARK)
    except UnicodeDecodeError:
        return read(ksr, name) or ""


def one_line(text: str) -> str:
    """Return the text as a line of the log may have it: nothing in it ends the line, or seems to."""
    return " ".join(text.replace(_NUL, MARK).split())


def hexadecimal(ksr: Ksr, name: str) -> str:
    """Return the bytes of a pseudo-variable as they are, for bytes.fromhex(); empty without a value."""
    plain = name[2:-1] if name.startswith("$(") else name[1:]
    return str(ksr.pv.get(f"$({plain}{{s.encode.hexa}})") or "")
