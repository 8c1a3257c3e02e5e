"""What a campaign found, as CSV and as pictures."""

from __future__ import annotations

import io
import json
from collections import Counter
from datetime import UTC, datetime
from statistics import mean
from typing import TYPE_CHECKING, Any, Final, Literal

from crm_api.domain.csv_table import line
from crm_api.domain.handset_verdict import WORST_FIRST
from crm_api.services.context import Tenant, find
from crm_api.tables.probes import ProbeCampaign

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.services.context import Context

Picture = Literal["course", "levels"]
COLUMNS: Final = (
    "address", "entrance", "apartment", "began_at", "outcome", "answered_after_s", "grade", "verdict", "reasons",
    "active_level_dbov", "noise_floor_dbov", "mos_estimated",
)  # fmt: skip
HOUSES_SHOWN: Final = 30

_RANK: Final = " ".join(f"WHEN '{verdict}' THEN {rank}" for rank, verdict in enumerate(WORST_FIRST))
_CALLS: Final = f"""
SELECT h.address, e.number, a.number, c.began_at_ms, c.outcome, c.answered_after_ms, c.grade, c.verdict, c.reasons,
    c.measures
FROM probe_calls c JOIN apartments a ON a.id = c.apartment_id JOIN entrances e ON e.id = a.entrance_id
JOIN houses h ON h.id = a.house_id
WHERE c.campaign_id = ? AND c.state = 'ended'
ORDER BY CASE c.verdict {_RANK} ELSE {len(WORST_FIRST)} END, h.address, a.number, c.id
"""  # noqa: S608 - verdicts are constants
_ENDS: Final = """
SELECT ended_at_ms, outcome FROM probe_calls WHERE campaign_id = ? AND state = 'ended' ORDER BY ended_at_ms
"""


class ProbePictures:
    """Reports of one campaign."""

    def __init__(self, context: Context) -> None:
        self._database = context.database

    def table(self, tenant: Tenant, key: int) -> Iterator[str]:
        """Return the lines of a CSV file: every call that has ended, the worst handsets first."""
        find(tenant, ProbeCampaign, "probe campaign", key)
        return self._lines(key)

    def _lines(self, key: int) -> Iterator[str]:
        yield line(COLUMNS)
        for (
            address,
            entrance,
            apartment,
            began,
            outcome,
            after,
            grade,
            verdict,
            reasons,
            measures,
        ) in self._database.rows(_CALLS, (key,)):
            found = json.loads(measures or "{}")
            yield line((
                address, entrance, apartment, _moment(began).isoformat(timespec="seconds"), outcome,
                None if after is None else after / 1000, grade, verdict, "; ".join(json.loads(reasons or "[]")),
                *(found.get(name) for name in COLUMNS[-3:]),
            ))  # fmt: skip

    def picture(self, tenant: Tenant, key: int, of: Picture) -> bytes:
        """Return an SVG: the campaign's course, or levels of speech and noise by house."""
        row = find(tenant, ProbeCampaign, "probe campaign", key)
        from matplotlib.figure import Figure  # noqa: PLC0415 - half a second that nobody else needs

        figure = Figure(figsize=(9, 5), layout="constrained")
        axes = figure.add_subplot()
        axes.set_title(str(row.name).replace("$", r"\$"))
        if of == "course":
            self._draw_course(axes, key)
        else:
            self._draw_levels(axes, key)
        file = io.BytesIO()
        # No date inside: the same facts give the same picture.
        figure.savefig(file, format="svg", metadata={"Date": None})
        return file.getvalue()

    def _draw_course(self, axes: Any, key: int) -> None:
        """Draw how many calls of each outcome had ended when."""
        rows = self._database.rows(_ENDS, (key,))
        counts: Counter[str] = Counter()
        course: dict[str, tuple[list[datetime], list[int]]] = {}
        for ended_at_ms, outcome in rows:
            counts[outcome] += 1
            moments, totals = course.setdefault(outcome, ([], []))
            moments.append(_moment(ended_at_ms))
            totals.append(counts[outcome])
        for outcome, (moments, totals) in sorted(course.items()):
            axes.step(moments, totals, where="post", label=f"{outcome} ({counts[outcome]})")
        axes.set_ylabel("calls ended")
        axes.set_xlabel("UTC")
        if course:
            axes.legend()

    def _draw_levels(self, axes: Any, key: int) -> None:
        """Draw the level of speech and the noise of every handset, house by house."""
        houses: dict[str, list[tuple[float, float]]] = {}
        for address, *_, measures in self._database.rows(_CALLS, (key,)):
            found = json.loads(measures or "{}")
            if "active_level_dbov" in found:
                houses.setdefault(address, []).append((found["active_level_dbov"], found["noise_floor_dbov"]))
        # The houses where speech is least above the noise.
        shown = sorted(houses, key=lambda house: (mean(level - noise for level, noise in houses[house]), house))
        if len(shown) > HOUSES_SHOWN:
            axes.set_xlabel(f"the {HOUSES_SHOWN} worst of {len(shown)} houses")
            del shown[HOUSES_SHOWN:]
        for which, label, colour in ((0, "speech", "tab:blue"), (1, "noise", "tab:red")):
            points = [(place, pair[which]) for place, house in enumerate(shown) for pair in houses[house]]
            axes.plot([x for x, _ in points], [y for _, y in points], "o", color=colour, alpha=0.6, label=label)
        axes.set_xticks(range(len(shown)), [house.replace("$", r"\$") for house in shown], rotation=30, ha="right")
        axes.set_ylabel("dBov")
        axes.legend()


def _moment(at_ms: int) -> datetime:
    return datetime.fromtimestamp(at_ms / 1000, UTC)
