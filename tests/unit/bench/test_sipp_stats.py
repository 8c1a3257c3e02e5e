from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from lab.bench.sipp_stats import (
    StatisticsError,
    parse_response_times,
    parse_statistics,
    read_response_times,
    read_statistics,
)

if TYPE_CHECKING:
    from pathlib import Path

HEADER = (
    "StartTime;ElapsedTime(P);ElapsedTime(C);TotalCallCreated;SuccessfulCall(P);SuccessfulCall(C);"
    "FailedCall(P);FailedCall(C);Retransmissions(P);Retransmissions(C);refused(P);refused(C);"
)
FIRST = "2026-11-21\t10:35:00.843991\t1795257300.843991;00:00:01;00:00:01;100;90;90;1;1;0;0;3;3;"
LAST = "2026-11-21\t10:35:00.843991\t1795257300.843991;00:00:01;00:01:02;6000;0;5990;0;7;0;12;0;3;"


def test_the_last_line_counts() -> None:
    counts = parse_statistics(f"{HEADER}\n{FIRST}\n{LAST}\n", "stat.csv", ("refused",))
    assert (counts.created, counts.successful, counts.failed) == (6000, 5990, 7)
    assert counts.retransmissions == 12
    assert counts.elapsed_s == 62
    assert counts.generic == {"refused": 3}


def test_a_counter_that_is_not_there_is_an_error() -> None:
    with pytest.raises(StatisticsError, match="rung"):
        parse_statistics(f"{HEADER}\n{LAST}\n", "stat.csv", ("rung",))


def test_a_line_cut_short_is_not_believed() -> None:
    counts = parse_statistics(f"{HEADER}\n{FIRST}\n{LAST[:-8]}", "stat.csv")
    assert counts.successful == 90


def test_only_a_header_is_an_error_that_names_the_file() -> None:
    with pytest.raises(StatisticsError, match=r"panels\.csv"):
        parse_statistics(f"{HEADER}\n", "panels.csv")


def test_no_file_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(StatisticsError, match="did not start"):
        read_statistics(tmp_path / "stat.csv")


def test_response_times_skip_header_and_half_a_line() -> None:
    text = "Date_ms;response_time_ms;rtd_no\n1795257300843.9;17.624;1\n1795257300844.1;18.256;1\n179525"
    assert parse_response_times(text) == [17.624, 18.256]


def test_response_times_of_all_files(tmp_path: Path) -> None:
    (tmp_path / "scenario_1_rtt.csv").write_text("1;5.5;1\n")
    (tmp_path / "scenario_2_rtt.csv").write_text("1;6.5;1\n")
    (tmp_path / "stat.csv").write_text("1;7.5;1\n")
    assert read_response_times(tmp_path) == [5.5, 6.5]
