"""What SIPp wrote down: the statistics file (-trace_stat), the response times (-trace_rtt)."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


class StatisticsError(Exception):
    """A file of SIPp is missing or not of the known shape; the message names it."""


@dataclass(frozen=True)
class SippCounts:
    """Cumulative counts of one SIPp process at its end."""

    created: int
    successful: int
    failed: int
    retransmissions: int
    elapsed_s: float
    generic: dict[str, int] = field(default_factory=dict)
    """The scenario's own counters by name."""


def _seconds(clock: str) -> float:
    """`HH:MM:SS:microseconds` (or with a dot) in seconds."""
    hours, minutes, seconds = clock.replace(".", ":").split(":")[:3]
    fraction = clock.replace(".", ":").split(":")[3:]
    return int(hours) * 3600 + int(minutes) * 60 + int(seconds) + (int(fraction[0]) / 1_000_000 if fraction else 0.0)


def parse_statistics(text: str, name: str, counters: tuple[str, ...] = ()) -> SippCounts:
    """Last whole line of a statistics file.

    Args:
        text: the file: a header line, then one line a period, separated by semicolons.
        name: file name for the error.
        counters: the scenario's counters that must be in it.

    Raises:
        StatisticsError: no line of numbers, or a column is missing.
    """
    whole = text[: text.rfind("\n") + 1]  # a line without its end was cut short when SIPp was killed
    lines = [line for line in whole.splitlines() if line.strip()]
    if len(lines) < 2:  # noqa: PLR2004 - header and one line
        raise StatisticsError(f"{name}: no statistics in it; SIPp ended at once, read its errors beside the file")
    header = [column.strip() for column in lines[0].split(";")]
    row = dict(zip(header, (value.strip() for value in lines[-1].split(";")), strict=False))
    try:
        return SippCounts(
            created=int(row["TotalCallCreated"]),
            successful=int(row["SuccessfulCall(C)"]),
            failed=int(row["FailedCall(C)"]),
            retransmissions=int(row["Retransmissions(C)"]),
            elapsed_s=_seconds(row["ElapsedTime(C)"]),
            generic={counter: int(row[f"{counter}(C)"]) for counter in counters},
        )
    except (KeyError, ValueError) as error:
        raise StatisticsError(f"{name}: column {error} missing or not a number; is this SIPp 3.8?") from error


def parse_response_times(text: str) -> list[float]:
    """Response times in milliseconds out of a -trace_rtt file: `Date_ms;response_time_ms;rtd_no` a line."""
    times = []
    for line in text.splitlines():
        columns = line.split(";")
        try:
            times.append(float(columns[1]))
        except (IndexError, ValueError):  # header, or a line cut short by the end of the process
            continue
    return times


def read_statistics(path: Path, counters: tuple[str, ...] = ()) -> SippCounts:
    """Statistics of the file at `path`; see `parse_statistics`."""
    try:
        text = path.read_text()
    except OSError as error:
        raise StatisticsError(
            f"{path}: {error.strerror}; SIPp did not start, read its output beside the file"
        ) from error
    return parse_statistics(text, path.name, counters)


def read_response_times(directory: Path) -> list[float]:
    """Response times of every -trace_rtt file in `directory`, in milliseconds."""
    return [time for path in sorted(directory.glob("*_rtt.csv")) for time in parse_response_times(path.read_text())]
