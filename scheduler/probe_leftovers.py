"""Calls that nobody runs any more: of a scheduler that died, or of one that lost its place to another.

Each is brought to the one end that it has: what the call path has told is judged, a call that may still be going on is
ended on every node, and its panel is given back.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_api.domain.probe_plan import Candidate
from scheduler.asterisk_manager import AsteriskAwayError
from scheduler.probe_measure import examine

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from crm_api.services.context import Context
    from crm_api.services.probe_results import ProbeResults
    from scheduler.panel_lines import PanelLines
    from scheduler.probe_loading import Callers

LONGEST_MS: Final = 170_000
"""No probe lasts longer: its ringing, its talk, and some grace."""

_log = structlog.get_logger("scheduler.probes")

_OPEN: Final = """
SELECT g.id, g.kind, i.id, c.id, c.panel, c.state, c.began_at_ms, c.outcome, c.grade, c.measures
FROM probe_campaigns g JOIN probe_items i ON i.campaign_id = g.id AND i.state = 'calling'
JOIN probe_calls c ON c.item_id = i.id AND c.number = i.calls
WHERE g.state <> 'draft' ORDER BY c.id
"""


class Leftovers:
    """Finds and ends them.

    Args:
        context: database and clock.
        lines: who has which panel.
        callers: nodes where a call may still be going on, and their recordings.
        results: where the ends are kept.
        settle: decides what becomes of the apartment: campaign, apartment, call, outcome, whether there is a verdict.
    """

    def __init__(
        self,
        context: Context,
        lines: PanelLines,
        callers: Callers,
        results: ProbeResults,
        settle: Callable[[int, Candidate, int, str, bool], None],
    ) -> None:
        self._context = context
        self._lines = lines
        self._callers = callers
        self._results = results
        self._settle = settle

    def end(self, ours: Collection[int]) -> set[int]:
        """End what is not ours; return the campaigns of calls that may still be going on."""
        open_still: set[int] = set()
        away = False
        rows = self._context.database.rows(_OPEN)
        for campaign, kind, item, call, panel, state, began_at_ms, outcome, grade, measures in rows:
            if call in ours:
                continue
            candidate = Candidate(item, panel, 0)
            if state == "ended":
                told = {**json.loads(measures or "{}"), "grade": grade}
                done = outcome == "answered" and self._judge(call, kind, told)
                self._settle(campaign, candidate, call, outcome, done)
            else:
                away = away or not self._hung_up(call)
                if away and abs(self._context.now_ms() - began_at_ms) <= LONGEST_MS:
                    open_still.add(campaign)
                    continue
                self._results.end(call, "dropped")
                self._settle(campaign, candidate, call, "dropped", False)
            self._lines.free(panel, str(call))
        return open_still

    def _judge(self, call: int, kind: int, told: dict[str, Any]) -> bool:
        judgement, found = examine(self._callers.recordings, call, kind, told)
        self._results.judge(call, judgement, found, f"{call}.wav")
        return judgement is not None

    def _hung_up(self, call: int) -> bool:
        """Hang a call up wherever it may be; say whether it is certain that it is over."""
        try:
            for node in self._callers.nodes:
                node.hang_up(f"probe-{call}")
        except AsteriskAwayError as error:
            _log.warning("a probe of another scheduler may still be going on", probe=call, reason=str(error))
            return False
        return True
