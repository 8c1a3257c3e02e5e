"""The numbering policy: which number, pressed on which panel, means which apartment.

* A panel that serves one place (an entrance, or one house) is dialled by the bare apartment number.
* A gate that serves several places gives each a code of two to four digits, from 12 on, none the beginning of another;
  the visitor presses code and apartment number without a pause: `2112` is apartment 12 of the place with code 21.
* A gate whose keypad sends `*` or `#` may have that as its separator: `7*12` is apartment 12 of the place with code 7,
  such as house 7. Codes then have one to four digits, as the operator likes.
* `112` is always the dispatch centre. `101` to `104` are, too, unless the company does not map them or an apartment of
  that number stands behind this very panel (such apartments exist in every tower, and 112 reaches the same dispatcher).
* Apartment 112 behind a panel without codes is dialled `0112`.

Every apartment has exactly one number on every panel that reaches it, so that a cached ring plan has one key.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

ALWAYS_EMERGENCY: Final = "112"
EMERGENCY_NUMBERS: Final = ("112", "101", "102", "103", "104")
CONCIERGE_NUMBERS: Final = ("concierge", "0")
"""What reaches the desks on duty, from every panel and every home; Kamailio's EP_CONCIERGE_NUMBERS names them, too."""
MAX_APARTMENT_NUMBER: Final = 9999
_SEPARATED: Final = re.compile(r"[0-9]{1,4}", re.ASCII)
# 10 and 11 would make emergency numbers of an apartment's last digit.
_UNSEPARATED: Final = re.compile(r"1[2-9]|[2-9][0-9]|[1-9][0-9]{2,3}", re.ASCII)


@dataclass(frozen=True)
class Place:
    """What a panel serves: a whole house, or one entrance of it, under a code (empty when it is the only one).

    `code` is all that is pressed before the apartment number: the panel's separator is its last character.
    """

    code: str
    house_id: int
    entrance_id: int | None


@dataclass(frozen=True)
class Candidate:
    """An apartment that a dialled number may mean: look it up by house (and entrance) and number."""

    house_id: int
    entrance_id: int | None
    number: int


def number_to_dial(code: str, apartment_number: int) -> str:
    """Return what a visitor presses for an apartment of the place with this code."""
    number = f"{code}{apartment_number}"
    return f"0{number}" if number == ALWAYS_EMERGENCY else number


def candidate(places: Iterable[Place], dialled: str) -> Candidate | None:
    """Return the only apartment that `dialled` can mean on a panel with these places, None when there is none."""
    if dialled == ALWAYS_EMERGENCY:
        return None
    for place in places:
        rest = dialled[len(place.code) :]
        if not dialled.startswith(place.code) or not 0 < len(rest) <= len(str(MAX_APARTMENT_NUMBER)):
            continue
        if not (rest.isascii() and rest.isdigit()):
            continue
        number = int(rest)
        if number > 0 and number_to_dial(place.code, number) == dialled:
            return Candidate(place.house_id, place.entrance_id, number)
    return None


def place_code_problem(codes: Sequence[str], separator: str | None = None) -> str | None:
    """Say what is wrong with the codes of one panel's places, None when nothing is."""
    if len(codes) == 1 and codes[0] == "":
        return None
    shape = _SEPARATED if separator else _UNSEPARATED
    for code in codes:
        if shape.fullmatch(code) is None:
            return (
                f"code {code!r}: a panel that serves several places gives each a code, of one to four digits where it "
                "has a separator, else of two to four from 12 on; a panel that serves one place may leave it empty"
            )
    if len(set(codes)) != len(codes):
        return "two places have the same code: give each its own"
    for one in codes:
        for other in codes:
            if not separator and one != other and other.startswith(one):
                return f"code {one!r} is the beginning of {other!r}: change one, or give the panel a separator"
    return None
