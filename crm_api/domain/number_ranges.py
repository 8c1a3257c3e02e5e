"""Ranges of apartment numbers: `1-36, 40` in, a layout over entrances and floors out, and back to ranges to tell."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crm_api.domain.numbering import MAX_APARTMENT_NUMBER

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

_PART: Final = re.compile(r"(\d{1,9})(?:\s*[-–—]\s*(\d{1,9}))?", re.ASCII)  # noqa: RUF001 - people type dashes


class RangeError(ValueError):
    """Ranges that cannot be; `field` is what to correct, the sentence says how."""

    def __init__(self, field: str, value: object, remedy: str) -> None:
        super().__init__(f"{field}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy


@dataclass(frozen=True)
class Slot:
    """Where one apartment stands: its number (what is dialled), entrance number, floor, and what its door says."""

    number: int
    entrance: int
    floor: int | None
    label: str | None = None


@dataclass(frozen=True)
class Part:
    """Apartments that an operator lists for one floor (None: not known) of one entrance."""

    entrance: int
    floor: int | None
    numbers: str


def parsed(text: str, field: str = "numbers") -> list[int]:
    """Return the numbers of `1-36, 40`, in the order given.

    Raises:
        RangeError: not ranges, backwards, out of 1 to 9999, or a number twice.
    """
    numbers: list[int] = []
    for part in text.split(","):
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise RangeError(field, text[:200], "write numbers and ranges separated by commas, such as 1-36, 40")
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= MAX_APARTMENT_NUMBER:
            remedy = f"{part.strip()}: a range goes from low to high, within 1 to {MAX_APARTMENT_NUMBER}"
            raise RangeError(field, text[:200], remedy)
        numbers.extend(range(first, last + 1))
    twice = repeated(numbers)
    if twice:
        raise RangeError(field, text[:200], f"{told(twice)} named twice: an apartment stands in one place")
    return numbers


def told(numbers: Iterable[int]) -> str:
    """Return numbers as ranges: `13-40, 45`."""
    ranges: list[list[int]] = []
    for number in sorted(set(numbers)):
        if ranges and ranges[-1][1] == number - 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return ", ".join(f"{first}-{last}" if last > first else str(first) for first, last in ranges)


def repeated(numbers: Iterable[int]) -> list[int]:
    """Return the numbers that come more than once."""
    seen: set[int] = set()
    twice: list[int] = []
    for number in numbers:
        if number in seen:
            twice.append(number)
        seen.add(number)
    return twice


def spread(first: int, last: int, entrances: Sequence[int], floors: int, first_floor: int = 1) -> list[Slot]:
    """Return a regular house: numbers run on through floors, then through entrances, as many on each floor.

    Raises:
        RangeError: the numbers cannot be shared out evenly, or an entrance is named twice.
    """
    if last < first:
        raise RangeError("last", last, f"must not be below the first, {first}")
    if repeated(entrances):
        raise RangeError("entrances", list(entrances), f"{told(repeated(entrances))} named twice")
    count, landings = last - first + 1, len(entrances) * floors
    if count % landings:
        remedy = (
            f"{count} apartments do not share out evenly over {len(entrances)} entrances of {floors} floors: "
            "list them in parts"
        )
        raise RangeError("last", last, remedy)
    on_floor = count // landings
    return [
        Slot(number, entrances[landing // floors], first_floor + landing % floors)
        for number in range(first, last + 1)
        for landing in [(number - first) // on_floor]
    ]


def listed(parts: Sequence[Part]) -> list[Slot]:
    """Return an irregular house as the operator lists it.

    Raises:
        RangeError: a part is no range, or two parts name the same apartment; both are named.
    """
    slots: list[Slot] = []
    owner: dict[int, int] = {}
    for index, part in enumerate(parts):
        field = f"parts.{index}.numbers"
        numbers = parsed(part.numbers, field)
        taken: dict[int, list[int]] = {}
        for number in numbers:
            if number in owner:
                taken.setdefault(owner[number], []).append(number)
            owner[number] = index
        if taken:
            where = "; ".join(
                f"{told(same)} stands in parts.{other} ({parts[other].numbers}) already"
                for other, same in taken.items()
            )
            raise RangeError(field, part.numbers, f"{where}: an apartment stands in one place")
        slots += [Slot(number, part.entrance, part.floor) for number in numbers]
    return slots


def labelled(slots: Sequence[Slot], labels: Mapping[int, str]) -> list[Slot]:
    """Give apartments what their doors say instead of the number, such as 12A.

    Raises:
        RangeError: a label for an apartment that is not among them, or two with one label.
    """
    known = {slot.number for slot in slots}
    for number, label in labels.items():
        if number not in known:
            raise RangeError(f"labels.{number}", label, "no apartment of this number is among those to be made")
    if len(set(labels.values())) != len(labels):
        raise RangeError("labels", dict(labels), "two apartments have one label: give each its own")
    return [Slot(slot.number, slot.entrance, slot.floor, labels.get(slot.number)) for slot in slots]
