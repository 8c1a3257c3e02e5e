from __future__ import annotations

import pytest

from lab.bench.ceiling import find_ceiling


class Server:
    def __init__(self, limit: float) -> None:
        self.limit = limit
        self.runs: list[float] = []

    def sustains(self, rate: float) -> bool:
        self.runs.append(rate)
        return rate <= self.limit


@pytest.mark.parametrize("limit", [219, 225, 259, 260, 299, 305])
def test_the_ceiling_is_within_the_resolution_and_was_run(limit: float) -> None:
    server = Server(limit)
    found = find_ceiling(server.sustains, (220, 260, 300), resolution=10, time_left=lambda: True, floor=161)
    assert found <= limit
    assert found in {161, *server.runs}
    assert found >= min(limit, 300) - 10


def test_rates_up_to_the_floor_are_not_run_again() -> None:
    server = Server(1000)
    assert find_ceiling(server.sustains, (100, 161, 220), resolution=10, time_left=lambda: True, floor=161) == 220
    assert server.runs == [220]


def test_without_time_what_is_known_is_told() -> None:
    server = Server(1000)
    asked = iter([True, True, False])
    assert find_ceiling(server.sustains, (220, 260, 300), resolution=10, time_left=lambda: next(asked)) == 260


def test_nothing_sustained_is_zero_when_time_ends() -> None:
    server = Server(0)
    asked = iter([True, True, True, False])
    assert find_ceiling(server.sustains, (220,), resolution=10, time_left=lambda: next(asked)) == 0
