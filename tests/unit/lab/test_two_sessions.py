"""`make test` runs two sessions of pytest; together they run everything, and fail when one of them does."""

from __future__ import annotations

import pytest

from lab.settings import REPOSITORY
from tests.__main__ import BESIDE, exit_code


@pytest.mark.parametrize(
    ("codes", "expected"),
    [([0, 0], 0), ([1, 0], 1), ([0, 2], 2), ([5, 0], 0), ([5, 1], 1), ([5, 5], 5), ([0, -9], 9), ([130], 130)],
)
def test_both_have_to_pass_and_one_of_them_to_have_a_test(codes: list[int], expected: int) -> None:
    assert exit_code(codes) == expected


def test_what_runs_beside_the_stories_is_there() -> None:
    assert [path for path in BESIDE if not (REPOSITORY / path).exists()] == []
