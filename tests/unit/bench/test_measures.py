from __future__ import annotations

import json
from typing import TYPE_CHECKING

from lab.bench.measures import BARS, Report

if TYPE_CHECKING:
    from pathlib import Path


def _all_met() -> Report:
    report = Report()
    for bar in BARS:
        report.set(bar.key, bar.bound)
    return report


def test_a_value_at_its_bar_is_met() -> None:
    assert _all_met().all_met


def test_one_bar_missed_is_not_all_met() -> None:
    report = _all_met()
    report.set("ring_all.failed", 1)
    assert not report.all_met
    assert "NOT MET" in report.table()


def test_what_was_not_measured_is_not_met_and_says_why(tmp_path: Path) -> None:
    report = Report()
    report.missing("register", "SIPp did not start")
    report.write(tmp_path / "latest.json", {})
    leaf = json.loads((tmp_path / "latest.json").read_text())["register"]["ratio_to_native"]
    assert leaf == {"value": None, "bar": "at least 0.7", "met": False, "reason": "SIPp did not start"}


def test_a_missing_part_fails_the_run_though_all_bars_are_met() -> None:
    report = _all_met()
    report.missing("overload", "nothing was refused")
    assert not report.all_met


def test_keys_are_nested_by_their_dots(tmp_path: Path) -> None:
    report = _all_met()
    report.set("ring_all.invite_to_ringing_ms.p50", 12.34567)
    report.write(tmp_path / "new" / "latest.json", {"quick": True})
    written = json.loads((tmp_path / "new" / "latest.json").read_text())
    assert written["ring_all"]["invite_to_ringing_ms"]["p99"] == {"value": 150, "bar": "at most 150", "met": True}
    assert written["ring_all"]["invite_to_ringing_ms"]["p50"] == {"value": 12.3457, "bar": None, "met": None}
    assert written["run"]["quick"] is True
    assert written["run"]["all_met"] is True


def test_long_names_and_bars_keep_the_table_in_columns() -> None:
    report = _all_met()
    report.set("a_measure." + "with_a_name_longer_than_any_other" * 3, 123456789)
    head, rule, *rows = report.table().splitlines()
    verdicts = head.index("verdict")
    assert set(rule) == {"-"}
    assert {row[verdicts:] for row in rows} == {"met", ""}
    assert all(row[verdicts - 2 : verdicts].isspace() for row in rows if row[verdicts:])
