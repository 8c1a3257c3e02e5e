from __future__ import annotations

from lab.bench.probe_parts import OnPanel, longest_together_ms, together


def test_how_long_a_panel_had_a_probe_and_a_visitor() -> None:
    probes = [OnPanel("p1", 0, 1000), OnPanel("p2", 0, 5000)]
    visits = [OnPanel("p1", 700, 9000), OnPanel("p1", 2000, 3000), OnPanel("p3", 0, 9000)]
    assert longest_together_ms(probes, visits) == 300
    assert longest_together_ms(probes, [*visits, OnPanel("p2", 1000, 4000)]) == 3000
    assert longest_together_ms([], visits) == 0


def test_two_probes_on_one_panel_are_counted() -> None:
    assert together([OnPanel("p1", 0, 1000), OnPanel("p1", 1000, 2000), OnPanel("p2", 500, 600)]) == 0
    assert together([OnPanel("p1", 500, 2000), OnPanel("p1", 0, 1000)]) == 1
