"""Numbers of RFID keys: every way in which readers and cards write them becomes one.

A key has a number of 3 to 10 bytes (EM-Marin 5, of which cards print 4; Mifare 4, 7 or 10; Dallas 8; Wiegand-26
readers tell 3). Makers write the same number

* as hexadecimal, with or without separators: `00C688AC`, `00-C6-88-AC`, `00:C6:88:AC`;
* as decimal, usually ten digits: `0013011116`;
* as the two groups that are printed on cards, the third byte and the lower two (Wiegand-26): `198,34988`;
* with the bytes in the order in which the key sends them, lowest first: `AC88C600`.

Kept is the number as hexadecimal, highest byte first, without leading zero bytes, yet at least three bytes:
`C688AC`. So the panels' paddings (8, 10, 14 or 16 digits) all mean the same key.
"""

from __future__ import annotations

import re
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, get_args

if TYPE_CHECKING:
    from collections.abc import Iterable

Notation = Literal["auto", "hex", "decimal", "wiegand"]
ByteOrder = Literal["high_first", "low_first"]
Reading = tuple[Notation, ByteOrder]
"""A way to take what somebody types for a number."""
NOTATIONS: Final[tuple[Notation, ...]] = get_args(Notation)
BYTE_ORDERS: Final[tuple[ByteOrder, ...]] = get_args(ByteOrder)

LEAST_BYTES: Final = 3
MOST_BYTES: Final = 10
PRINTED_BYTES: Final = 4
"""What a card prints in decimal, and what a decimal number is padded to before its bytes are turned round."""
WIEGAND_BYTES: Final = 3
SIZES: Final = (PRINTED_BYTES, 5, 7, 8, MOST_BYTES)
"""Bytes that keys have; other numbers are padded to the next of them."""
DECIMAL_DIGITS: Final = 10
_SIZE_OF_DIGITS: Final = {len(str((1 << 8 * size) - 1)): size for size in SIZES}
"""A decimal number with so many digits, leading zeros included, has at least so many bytes: those that are zero count
when its bytes are turned round. One that is not padded has them by its value already."""

_SEPARATORS: Final = re.compile(r"[\s:.-]")
_WIEGAND: Final = re.compile(r"(\d{1,3})\s*[,/]\s*(\d{1,5})", re.ASCII)
_HEX: Final = re.compile(r"[0-9A-Fa-f]+")
_BYTE_MAX: Final = 0xFF
_WORD_MAX: Final = 0xFFFF


class KeyNumberError(ValueError):
    """A text that is no number of a key; the sentence says what would be one."""


def normalised(text: str, notation: Notation = "auto", byte_order: ByteOrder = "high_first") -> str:
    """Return the number as it is kept.

    Args:
        text: the number as a person or a file gives it.
        notation: how it is written. `auto` takes two groups for Wiegand, ten digits for decimal, anything with a
            letter, separators or `0x` before it for hexadecimal, and refuses what could be either.
        byte_order: `low_first` when the source writes the bytes in the order in which the key sends them.

    Raises:
        KeyNumberError: no number of a key, or one that could be meant in two ways.
    """
    text = text.strip()
    digits = text.removeprefix("0x").removeprefix("0X")
    if notation == "auto":
        notation = _detected(digits) if digits == text else "hex"
    raw = _bytes(digits, notation)
    if byte_order == "low_first":
        raw = raw[::-1]
    number = raw.lstrip(b"\0").rjust(LEAST_BYTES, b"\0")
    if len(number) > MOST_BYTES:
        raise KeyNumberError(f"has {len(number)} bytes: a key has at most {MOST_BYTES}")
    if not any(number) or set(number) == {_BYTE_MAX}:
        raise KeyNumberError("is what a reader tells when it has read nothing: read the key again")
    return number.hex().upper()


def meant(text: str, readings: Iterable[Reading]) -> list[str]:
    """Return every number that a text may mean, as keys are kept, each once, in the order of the readings."""
    found: dict[str, None] = {}
    for notation, byte_order in readings:
        with suppress(KeyNumberError):
            found[normalised(text, notation, byte_order)] = None
    return list(found)


def written(number: str, notation: Notation = "hex", byte_order: ByteOrder = "high_first") -> str:
    """Return a kept number in another notation (`auto` is hexadecimal).

    Hexadecimal is padded to the sizes that keys have (4, 5, 7, 8 or 10 bytes), decimal to ten digits; with the lowest
    byte first to as many as the greatest number of its size has, so that reading it finds the size again. Wiegand tells
    the lower three bytes, which is all that such readers know: of a longer key the others are lost.
    """
    raw = bytes.fromhex(number)
    size = next(size for size in SIZES if size >= len(raw))
    raw = raw[-WIEGAND_BYTES:] if notation == "wiegand" else raw.rjust(size, b"\0")
    digits = DECIMAL_DIGITS
    if byte_order == "low_first":
        raw = raw[::-1]
        digits = next(digits for digits, padded in _SIZE_OF_DIGITS.items() if padded == size)
    if notation == "decimal":
        return str(int.from_bytes(raw, "big")).rjust(digits, "0")
    if notation == "wiegand":
        return f"{raw[0]:03},{int.from_bytes(raw[1:], 'big'):05}"
    return raw.hex().upper()


def _detected(text: str) -> Notation:
    if _WIEGAND.fullmatch(text):
        return "wiegand"
    if not text.isascii() or not _HEX.fullmatch(_SEPARATORS.sub("", text)):
        raise KeyNumberError("is no number of a key: write hexadecimal (00C688AC), decimal (0013011116) or 198,34988")
    if not text.isdigit():
        return "hex"
    if len(text) == DECIMAL_DIGITS and int(text) < 1 << 8 * PRINTED_BYTES:
        return "decimal"
    raise KeyNumberError("may be decimal or hexadecimal: say which with notation")


def _bytes(text: str, notation: Notation) -> bytes:
    if notation == "wiegand":
        groups = _WIEGAND.fullmatch(text)
        if groups is None or int(groups[1]) > _BYTE_MAX or int(groups[2]) > _WORD_MAX:
            raise KeyNumberError("is not two groups up to 255 and 65535, such as 198,34988")
        return bytes([int(groups[1])]) + int(groups[2]).to_bytes(2, "big")
    if notation == "decimal":
        if not (text.isascii() and text.isdigit()) or len(text) > 3 * MOST_BYTES:
            raise KeyNumberError("is no decimal number")
        value = int(text)
        size = max(_SIZE_OF_DIGITS.get(len(text), PRINTED_BYTES), (value.bit_length() + 7) // 8)
        return value.to_bytes(size, "big")
    digits = _SEPARATORS.sub("", text)
    if not digits.isascii() or not _HEX.fullmatch(digits):
        raise KeyNumberError("is no hexadecimal number")
    if len(digits) < 2 * LEAST_BYTES or len(digits) > 4 * MOST_BYTES:
        raise KeyNumberError(f"has {len(digits)} digits: a key has {2 * LEAST_BYTES} to {2 * MOST_BYTES}")
    if len(digits) % 2:
        raise KeyNumberError(f"has {len(digits)} digits: whole bytes have an even number; keep leading zeros")
    return bytes.fromhex(digits)
