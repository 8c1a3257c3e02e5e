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
    """Ranges that cannot be; `field` is what to correct, the sentence says how; `others` are wrong beside it."""

    def __init__(self, field: str, value: object, remedy: str, others: tuple[RangeError, ...] = ()) -> None:
        super().__init__(f"{field}: {remedy}")
        self.field = field
        self.value = value
        self.remedy = remedy
        self.others = others


def _refuse(found: Sequence[RangeError]) -> None:
    if found:
        first, *others = found
        raise RangeError(first.field, first.value, first.remedy, tuple(others))


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


def parsed(text: str, field: str = "numbers", most: int = MAX_APARTMENT_NUMBER) -> list[int]:
    """Return the numbers of `1-36, 40`, in the order given; raises as `ranges_of`."""
    return [number for numbers in ranges_of(text, field, most) for number in numbers]


def ranges_of(text: str, field: str = "numbers", most: int = MAX_APARTMENT_NUMBER) -> list[range]:
    """Return the ranges of `1-36, 40`, in the order given.

    They are compared before they are written out: some bytes that name one range again and again would be a million
    numbers.

    Raises:
        RangeError: not ranges, backwards, out of 1 to `most`, or a number twice.
    """
    ranges: list[range] = []
    for part in text.split(","):
        found = _PART.fullmatch(part.strip())
        if found is None:
            raise RangeError(field, text[:200], "write numbers and ranges separated by commas, such as 1-36, 40")
        first, last = int(found[1]), int(found[2] or found[1])
        if not 1 <= first <= last <= most:
            remedy = f"{part.strip()}: a range goes from low to high, within 1 to {most}"
            raise RangeError(field, text[:200], remedy)
        ranges.append(range(first, last + 1))
    twice = _shared(ranges)
    if twice:
        raise RangeError(field, text[:200], f"{_joined(twice)} named twice: an apartment stands in one place")
    return ranges


def told(numbers: Iterable[int]) -> str:
    """Return numbers as ranges: `13-40, 45`."""
    return _joined(range(number, number + 1) for number in sorted(set(numbers)))


def _joined(ranges: Iterable[range]) -> str:
    """Return ranges that are in order, those that touch or overlap as one."""
    joined: list[list[int]] = []
    for numbers in ranges:
        if joined and numbers.start <= joined[-1][1]:
            joined[-1][1] = max(joined[-1][1], numbers.stop)
        else:
            joined.append([numbers.start, numbers.stop])
    return ", ".join(f"{first}-{end - 1}" if end - 1 > first else str(first) for first, end in joined)


def _shared(ranges: Iterable[range]) -> list[range]:
    """Return what more than one range has, in order."""
    shared: list[range] = []
    end = 0
    for numbers in sorted(ranges, key=lambda numbers: numbers.start):
        if numbers.start < end:
            shared.append(range(numbers.start, min(end, numbers.stop)))
        end = max(end, numbers.stop)
    return shared


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
        RangeError: parts are no ranges, or two parts name the same apartment; both are named.
    """
    wrong: list[RangeError] = []
    slots: list[Slot] = []
    owner: dict[int, int] = {}
    for index, part in enumerate(parts):
        field = f"parts.{index}.numbers"
        try:
            numbers = parsed(part.numbers, field)
        except RangeError as error:
            wrong.append(error)
            continue
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
            wrong.append(RangeError(field, part.numbers, f"{where}: an apartment stands in one place"))
        slots += [Slot(number, part.entrance, part.floor) for number in numbers]
    _refuse(wrong)
    return slots


def labelled(slots: Sequence[Slot], labels: Mapping[int, str]) -> list[Slot]:
    """Give apartments what their doors say instead of the number, such as 12A.

    Raises:
        RangeError: labels for apartments that are not among them, or two with one label.
    """
    known = {slot.number for slot in slots}
    remedy = "no apartment of this number is among those to be made"
    wrong = [RangeError(f"labels.{number}", label, remedy) for number, label in labels.items() if number not in known]
    if len(set(labels.values())) != len(labels):
        wrong.append(RangeError("labels", dict(labels), "two apartments have one label: give each its own"))
    _refuse(wrong)
    return [Slot(slot.number, slot.entrance, slot.floor, labels.get(slot.number)) for slot in slots]
