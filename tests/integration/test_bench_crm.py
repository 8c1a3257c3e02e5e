"""The CRM's parts of `make bench` run, on a town of a few hundred apartments: that they measure, not what."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

import pytest

from lab.bench.crm_parts import CrmBench, CrmPlan, crm_bars
from lab.bench.measures import Report
from lab.town.city.sizes import SIZES
from tests.integration.own_lab import own_settings, require_own_network

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_every_measure_of_the_crm_is_made(database: Literal["sqlite", "postgres"], own_labs: Path) -> None:
    require_own_network()
    settings = own_settings(own_labs / f"bench-{database}", 5, database)
    bars = crm_bars(database)
    report = Report(bars)
    bench = CrmBench(settings, SIZES["demo"], CrmPlan(plans=60, searches=2, import_rows=50), report)
    try:
        bench.start()
        bench.ring_plans()
        bench.plans_from_redis()
        bench.hello()
        bench.searches()
        bench.pages()
        bench.imports()
    finally:
        bench.stop()
    measured = {result.key: result.value for result in report.results}
    assert all((measured[bar.key] or 0) > 0 for bar in bars), measured
