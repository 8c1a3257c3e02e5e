"""Promises of the stories are kept at once, or twice in a row."""

from __future__ import annotations

import asyncio

import pytest

from tests.sip.promises import kept_within


def _played(times_s: list[float]) -> int:
    """Keep a second with these times; return how many were played."""
    left = list(times_s)

    async def measured() -> float:
        return left.pop(0)

    asyncio.run(kept_within(1.0, measured))
    return len(times_s) - len(left)


def test_what_is_kept_at_once_is_played_once() -> None:
    assert _played([0.9, 5.0]) == 1


def test_one_standstill_is_forgiven() -> None:
    assert _played([5.0, 0.9, 0.9]) == 3


@pytest.mark.parametrize("times_s", [[5.0, 5.0], [5.0, 0.9, 5.0]])
def test_what_is_slow_twice_is_no_promise(times_s: list[float]) -> None:
    with pytest.raises(AssertionError, match="not right in two"):
        _played(times_s)
