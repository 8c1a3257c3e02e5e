"""The answer of a leg: what Asterisk is told with it of who answered, and told again when it is repeated.

A 200 that did not arrive is sent again by the phone (RFC 3261, 13.3.1.4), and tm has let go of the leg by then.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from kemi_routes import foreign_text

if TYPE_CHECKING:
    from KSR import Ksr

# Leg -> To tag of its answer and the headers told with it, a line each, for as long as a 200 is repeated.
_TABLE = "answers"


def tell(ksr: Ksr, leg_id: str, *told: tuple[str, str]) -> None:
    """Add headers to the answer at hand, the first of its leg."""
    lines = [f"{name}: {value}" for name, value in told]
    ksr.htable.sht_sets(_TABLE, leg_id, "\n".join((_tag(ksr), *lines)))
    _append(ksr, lines)


def tell_again(ksr: Ksr, leg_id: str) -> None:
    """Add the same headers to an answer that is repeated."""
    _append(ksr, _kept(ksr, leg_id)[1:])


def is_late(ksr: Ksr, leg_id: str) -> bool:
    """Tell whether the 200 at hand, for whose leg tm has let go, is of another than the one who answered first."""
    kept = _kept(ksr, leg_id)
    return bool(kept) and kept[0] != _tag(ksr)


def _tag(ksr: Ksr) -> str:
    return foreign_text.read(ksr, "$tt") or ""


def _kept(ksr: Ksr, leg_id: str) -> list[str]:
    """Return To tag and headers of a leg's answer, nothing for a leg that has none."""
    kept = ksr.htable.sht_get(_TABLE, leg_id)
    return kept.split("\n") if isinstance(kept, str) else []


def _append(ksr: Ksr, lines: list[str]) -> None:
    for line in lines:
        ksr.hdr.append(f"{line}\r\n")
