from __future__ import annotations

import pytest

from lab.bench.percentiles import Times, percentile


def test_every_percentile_is_a_measured_value() -> None:
    ordered = [float(n) for n in range(1, 101)]
    assert percentile(ordered, 0.5) == 50
    assert percentile(ordered, 0.99) == 99
    assert percentile(ordered, 1) == 100


def test_p99_of_few_values_is_the_largest() -> None:
    times = Times.of([3.0, 1.0, 2.0])
    assert times == Times(count=3, p50=2.0, p95=3.0, p99=3.0, maximum=3.0)


def test_nothing_measured_is_an_error_and_no_zero() -> None:
    with pytest.raises(ValueError, match="empty series"):
        Times.of([])


@pytest.mark.parametrize("share", [0, -0.1, 1.01])
def test_a_share_out_of_range_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match="out of range"):
        percentile([1.0], share)
