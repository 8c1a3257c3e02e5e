"""The measures of the bench with their bars, the table that is printed and the JSON that is written."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

Sense = Literal["at least", "at most", "told"]


@dataclass(frozen=True)
class Bar:
    """What is wanted of a measure: a bound, or nothing (`told`: it is only told)."""

    key: str
    sense: Sense
    bound: float
    unit: str


BARS: Final = (
    Bar("ring_all.rate_sustained_cps", "at least", 220, "calls/s"),
    Bar("ring_all.failed", "at most", 0, "calls of 161/s"),
    Bar("ring_all.invite_to_ringing_ms.p99", "at most", 150, "ms at 100/s"),
    Bar("ring_all.cpu_ratio_to_bare_dialplan", "at most", 1.35, "x"),
    Bar("ring_all.records_cpu_share", "at most", 0.10, "of a call's CPU"),
    Bar("unlock.key_to_door_ms.p99", "at most", 150, "ms"),
    Bar("unlock.not_opened", "at most", 0, "doors"),
    Bar("overload.accepted_completed_share", "at least", 1, ""),
    Bar("overload.refused_with_retry_after_share", "at least", 1, ""),
    Bar("overload.emergency_refused", "at most", 0, "calls"),
    Bar("overload.emergency_unanswered", "at most", 0, "calls"),
    Bar("overload.memory_peak_mb", "at most", 2000, "MB PSS"),
    Bar("register.ratio_to_native", "at least", 0.70, "x"),
)
"""Of the door calls. Everything that has no bar is told."""

_UNITS: Final = {"_ms": "ms", "_mb": "MB", "_cps": "calls/s", "_per_s": "/s"}


@dataclass(frozen=True)
class Result:
    """One measure with its verdict; `value` is None when it could not be measured, `reason` says why."""

    key: str
    value: float | None
    bar: Bar | None
    reason: str = ""

    @property
    def met(self) -> bool | None:
        """Whether the bar is met; None without a bar. What was not measured is not met."""
        if self.bar is None or self.bar.sense == "told":
            return None
        if self.value is None:
            return False
        return self.value >= self.bar.bound if self.bar.sense == "at least" else self.value <= self.bar.bound


class Report:
    """Collects measures in the order they were made."""

    def __init__(self, bars: Iterable[Bar] = BARS) -> None:
        self._wanted = bars
        self._values: dict[str, float] = {}
        self._missing: dict[str, str] = {}

    def set(self, key: str, value: float) -> None:
        """Record a measure."""
        self._values[key] = value

    def missing(self, prefix: str, reason: str) -> None:
        """The measures under `prefix` that have a bar and no value could not be made, and why."""
        self._missing[prefix] = reason

    @property
    def results(self) -> list[Result]:
        """Every measure with a bar first, then the rest."""
        bars = {bar.key: bar for bar in self._wanted}
        results = [Result(key, self._values.get(key), bar, self._reason(key)) for key, bar in bars.items()]
        return results + [Result(key, value, None) for key, value in self._values.items() if key not in bars]

    @property
    def all_met(self) -> bool:
        """Every bar is met and every part could run."""
        return not self._missing and all(result.met is not False for result in self.results)

    def _reason(self, key: str) -> str:
        if key in self._values:
            return ""
        return next((why for prefix, why in self._missing.items() if key.startswith(prefix)), "not measured")

    def table(self) -> str:
        """The table to print."""
        rows = [("measure", "value", "bar", "verdict"), *(_cells(result) for result in self.results)]
        name_width, value_width, bar_width = (max(len(row[column]) for row in rows) for column in range(3))
        lines = [
            f"{name:<{name_width}}  {value:>{value_width}}  {bar:<{bar_width}}  {verdict}".rstrip()
            for name, value, bar, verdict in rows
        ]
        lines.insert(1, "-" * max(map(len, lines)))
        lines += [f"missing: {prefix}: {reason}" for prefix, reason in self._missing.items()]
        return "\n".join(lines)

    def write(self, path: Path, facts: dict[str, Any]) -> None:
        """Write the JSON: nested by the dots of the keys, every leaf `{value, bar, met}`; `run` holds the facts.

        What earlier runs of other parts have measured stays.
        """
        tree: dict[str, Any] = json.loads(path.read_text()) if path.exists() else {}
        for branch in {result.key.partition(".")[0] for result in self.results}:
            tree.pop(branch, None)
        tree["run"] = {**facts, "missing": self._missing, "all_met": self.all_met}
        for result in self.results:
            leaf: dict[str, Any] = {"value": _rounded(result.value), "bar": _bar_text(result.bar), "met": result.met}
            if result.reason:
                leaf["reason"] = result.reason
            *branches, name = result.key.split(".")
            node = tree
            for branch in branches:
                node = node.setdefault(branch, {})
            node[name] = leaf
        path.parent.mkdir(parents=True, exist_ok=True)
        fresh = path.with_suffix(".fresh")
        fresh.write_text(json.dumps(tree, indent=2) + "\n")
        fresh.replace(path)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(value, 4)


def _bar_text(bar: Bar | None) -> str | None:
    return None if bar is None else f"{bar.sense} {bar.bound:g}"


def _cells(result: Result) -> tuple[str, str, str, str]:
    value = "-" if result.value is None else f"{result.value:.2f}".rstrip("0").rstrip(".")
    if result.bar is None:
        unit = next((unit for ending, unit in _UNITS.items() if ending in result.key), "")
        return result.key, value, unit, ""
    bar = f"{result.bar.sense} {result.bar.bound:g} {result.bar.unit}".rstrip()
    return result.key, value, bar, "met" if result.met else f"NOT MET{': ' + result.reason if result.reason else ''}"
