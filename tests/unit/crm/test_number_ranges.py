from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_api.domain import number_ranges
from crm_api.domain.number_ranges import Part, RangeError, Slot, labelled, listed, parsed, spread, told

if TYPE_CHECKING:
    from collections.abc import Iterator


def test_a_regular_house_of_144() -> None:
    slots = spread(1, 144, [1, 2, 3, 4], floors=9)
    assert [slot.number for slot in slots] == list(range(1, 145))
    assert slots[0] == Slot(1, 1, 1)
    assert slots[3] == Slot(4, 1, 1)
    assert slots[4] == Slot(5, 1, 2)
    assert slots[35] == Slot(36, 1, 9)
    assert slots[36] == Slot(37, 2, 1)
    assert slots[-1] == Slot(144, 4, 9)


def test_shops_on_the_ground_floor() -> None:
    assert spread(1, 8, [1], floors=4, first_floor=2)[0].floor == 2


@given(st.lists(st.integers(1, 9999), unique=True, min_size=1, max_size=60))
def test_ranges_tell_what_they_were_made_of(numbers: list[int]) -> None:
    assert parsed(told(numbers)) == sorted(numbers)


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("", "separated by commas"),
        ("1-", "separated by commas"),
        ("1-3-5", "separated by commas"),
        ("12A", "separated by commas"),
        ("9-3", "low to high"),
        ("0-3", "within 1"),
        ("1-10000", "within 1"),
        ("1-5, 4", "4 named twice"),
        ("1-999999999", "within 1"),
        ("5, 1-9, 30-36, 7-12, 30, 12", "5, 7-9, 12, 30 named twice"),
    ],
)
def test_what_is_no_range(text: str, remedy: str) -> None:
    with pytest.raises(RangeError, match=remedy):
        parsed(text)


def test_a_range_that_is_named_again_and_again_is_not_written_out(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []

    class Counted:
        """A range that counts the numbers that are taken out of it."""

        def __init__(self, start: int, stop: int) -> None:
            self.start, self.stop = start, stop

        def __len__(self) -> int:
            return self.stop - self.start

        def __iter__(self) -> Iterator[int]:
            for number in range(self.start, self.stop):
                made.append(number)
                yield number

    monkeypatch.setattr(number_ranges, "range", Counted, raising=False)
    assert parsed("1-3, 7") == made == [1, 2, 3, 7]
    made.clear()
    with pytest.raises(RangeError, match="1-9999 named twice"):
        parsed(",".join(["1-9999"] * 140))
    assert not made


def test_an_overlap_names_both_ranges() -> None:
    with pytest.raises(RangeError, match=r"35-36 stands in parts.0 \(1-36\) already") as caught:
        listed([Part(1, None, "1-36"), Part(2, None, "35-72")])
    assert caught.value.field == "parts.1.numbers"


def test_uneven_houses_are_listed_instead() -> None:
    with pytest.raises(RangeError, match="do not share out evenly"):
        spread(1, 143, [1, 2, 3, 4], floors=9)
    with pytest.raises(RangeError, match="named twice"):
        spread(1, 4, [1, 1], floors=1)
    with pytest.raises(RangeError, match="below the first"):
        spread(5, 4, [1], floors=1)


def test_labels_are_of_apartments_that_are_made() -> None:
    slots = listed([Part(1, 1, "1-2")])
    assert labelled(slots, {2: "1A"})[1].label == "1A"
    with pytest.raises(RangeError, match="no apartment"):
        labelled(slots, {3: "1A"})
    with pytest.raises(RangeError, match="one label"):
        labelled(slots, {1: "1A", 2: "1A"})
