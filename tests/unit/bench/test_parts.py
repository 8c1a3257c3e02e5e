from __future__ import annotations

import pytest

from lab.bench.load import RingAllRun
from lab.bench.parts import cpu_ratios
from lab.bench.population import ROLES


def _run(cpu_ms: float, calls: int = 1000) -> RingAllRun:
    return RingAllRun(
        100, calls, completed=calls, achieved_cps=99.5, rung=dict.fromkeys(ROLES, calls), answered=calls, keys=calls,
        cancelled=2 * calls, cpu_ms={"kamailio": cpu_ms / 4, "ast1": cpu_ms * 3 / 4, "load": 1e6},
    )  # fmt: skip


def test_a_machine_that_becomes_slower_decides_nothing() -> None:
    ratios = cpu_ratios([(_run(9_000.0), _run(6_000.0)), (_run(12_000.0), _run(10_000.0))])
    assert ratios == pytest.approx([21 / 16, 1.5, 1.2])


def test_cpu_is_compared_by_call() -> None:
    assert cpu_ratios([(_run(2_000.0, calls=200), _run(10_000.0))]) == pytest.approx([1.0, 1.0])


def test_runs_with_failed_calls_are_not_compared() -> None:
    failed = _run(9_000.0)
    failed.failed = 1
    with pytest.raises(RuntimeError, match="calls failed"):
        cpu_ratios([(_run(9_000.0), _run(6_000.0)), (failed, _run(6_000.0))])
