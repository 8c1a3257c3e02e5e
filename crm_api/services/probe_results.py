"""What calls say about probes: the call path tells the end, the scheduler adds the measure and the verdict."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.problems import NotFoundError
from crm_api.tables.probes import ProbeCall

if TYPE_CHECKING:
    from crm_api.domain.handset_verdict import Judgement
    from crm_api.domain.inputs.probes import ProbeResult
    from crm_api.domain.probe_plan import Candidate, Limits
    from crm_api.services.context import Context, Tenant
    from crm_api.services.kept import Document

DAY_MS: Final = 86_400_000
LONGEST_CALL_MS: Final = 180_000
"""No call of a probe lasts longer, from its beginning to its end."""
OUTCOMES: Final = {3: "no_answer", 5: "busy"}

# Only while what the plan was made of still holds: the panel leads there, the residents have not said no, the company
# is a customer, and no other scheduler has called since, so that the next try is days away.
_BEGIN: Final = """
INSERT INTO probe_calls (company_id, campaign_id, item_id, apartment_id, panel, number, state, began_at_ms)
SELECT i.company_id, i.campaign_id, i.id, i.apartment_id, ?, i.calls + 1, 'calling', ? FROM probe_items i
JOIN apartments a ON a.id = i.apartment_id JOIN companies c ON c.id = i.company_id
JOIN probe_campaigns g ON g.id = i.campaign_id
WHERE i.id = ? AND i.state = 'waiting' AND i.not_before_ms <= ?
AND g.state = 'running' AND a.probes_refused = ? AND c.active = ?
AND ? = (SELECT min(s.account) FROM panel_places p
    JOIN panels d ON d.id = p.panel_id JOIN accounts s ON s.id = d.account_id
    WHERE p.entrance_id = a.entrance_id AND s.enabled = ?)
RETURNING id
"""
# Whoever called: this campaign under an earlier plan, before the scheduler was started anew, or another campaign. What
# the clock says is still to come was written before it was put back.
_RESTS: Final = """
SELECT 1 FROM probe_calls WHERE panel = ? AND began_at_ms > ? AND began_at_ms <= ?
AND (began_at_ms > ? OR (ended_at_ms > ? AND ended_at_ms <= ?)) LIMIT 1
"""
_CALLING: Final = "UPDATE probe_items SET state = 'calling', calls = calls + 1 WHERE id = ? AND state = 'waiting'"
_END: Final = """
UPDATE probe_calls SET state = 'ended', ended_at_ms = ?, outcome = ? WHERE id = ? AND state = 'calling' RETURNING id
"""
_DROPPED: Final = "UPDATE probe_calls SET outcome = 'dropped' WHERE id = ? AND state = 'ended'"
_DROPPED_AFTER_ALL: Final = """
UPDATE probe_calls SET outcome = 'dropped' WHERE id = ? AND state = 'ended' AND verdict IS NULL RETURNING id
"""
_TOLD: Final = """
UPDATE probe_calls SET state = 'ended', ended_at_ms = ?, outcome = ?, grade = ?,
    answered_after_ms = ?, measures = ?
WHERE id = ? AND state = 'calling' RETURNING id
"""
# Of its latest call only: a scheduler that was silent for a while must not settle what another has begun since.
_ITEM: Final = """
UPDATE probe_items SET state = ?, tries = tries + ?, not_before_ms = ? WHERE id = ? AND state = 'calling'
AND calls = (SELECT c.number FROM probe_calls c WHERE c.id = ?)
"""
_VERDICT: Final = "UPDATE probe_calls SET verdict = ?, reasons = ?, measures = ?, recording = ? WHERE id = ?"
_FINISHED: Final = """
UPDATE probe_campaigns SET state = 'done', finished_at_ms = ?, version = version + 1 WHERE id = ? AND state = 'running'
AND NOT EXISTS (SELECT 1 FROM probe_items i
    WHERE i.campaign_id = probe_campaigns.id AND i.state IN ('waiting', 'calling'))
"""


class ProbeResults:
    """Writes what becomes of probe calls."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._database = context.database

    def rests(self, panel: str, limits: Limits) -> bool:
        """Say whether a panel, or its entrance, was called too short a time ago for a campaign of these limits."""
        now_ms = self._context.now_ms()
        since_ms = now_ms - limits.panel_pause_s * 1000
        minute_ms = now_ms - 60_000 // limits.entrance_calls_per_minute
        oldest_ms = min(since_ms, minute_ms) - LONGEST_CALL_MS
        moments = (oldest_ms, now_ms, minute_ms, since_ms, now_ms)
        return self._database.row(_RESTS, (panel, *moments)) is not None

    def begin(self, candidate: Candidate) -> int | None:
        """Keep that a call begins; None when the apartment is not waiting any more, or may not be called this way."""
        with self._database.transaction():
            now_ms = self._context.now_ms()
            facts = (candidate.panel, now_ms, candidate.item_id, now_ms, False, True, candidate.panel, True)
            row = self._database.row(_BEGIN, facts)
            if row is not None:
                self._database.rows(_CALLING, (candidate.item_id,))
        return None if row is None else int(row[0])

    def told(self, tenant: Tenant, result: ProbeResult) -> Document:  # noqa: ARG002 - the call path acts for all
        """Keep what the call path tells of the end of an answered probe."""
        found = ProbeCall.select().where(ProbeCall.id == result.probe_id).first()
        if found is None:
            raise NotFoundError.of("probe call", result.probe_id)
        after_ms = None if result.answered_at_ms is None else max(0, result.answered_at_ms - found.began_at_ms)
        measures = result.model_dump(include={"packets", "packets_lost", "jitter_us", "round_trip_us"})
        outcome = OUTCOMES.get(result.reason or 0, "failed") if result.answered_at_ms is None else "answered"
        if result.gave_way:
            return {"probe_id": result.probe_id, "kept": self._gave_way(result.probe_id)}
        with self._database.transaction():
            kept = self._database.rows(
                _TOLD, (self._context.now_ms(), outcome, result.grade, after_ms, json.dumps(measures), result.probe_id)
            )
        return {"probe_id": result.probe_id, "kept": bool(kept)}

    def end(self, call_id: int, outcome: str) -> bool:
        """End a call that nobody has told the end of; say whether it was still running."""
        with self._database.transaction():
            if outcome == "dropped":
                # Whatever was heard until the visitor came says nothing about the handset.
                self._database.rows(_DROPPED, (call_id,))
            return bool(self._database.rows(_END, (self._context.now_ms(), outcome, call_id)))

    def _gave_way(self, call_id: int) -> bool:
        """Say that a probe was dropped, also when its end has just been told as that of any other."""
        with self._database.transaction():
            kept = self._database.rows(_END, (self._context.now_ms(), "dropped", call_id))
            return bool(kept or self._database.rows(_DROPPED_AFTER_ALL, (call_id,)))

    def settle(self, candidate: Candidate, call_id: int, *, counts: bool, again_at_ms: int | None, done: bool) -> None:
        """Say what becomes of the apartment: done, given up, or called again not before a moment.

        Args:
            candidate: the apartment.
            call_id: the call that has ended.
            counts: the call was a try of the campaign.
            again_at_ms: call again from then; None: no more.
            done: there is a verdict.
        """
        state = "done" if done else "given_up" if again_at_ms is None else "waiting"
        with self._database.transaction():
            self._database.rows(_ITEM, (state, int(counts), again_at_ms or 0, candidate.item_id, call_id))

    def judge(self, call_id: int, judgement: Judgement | None, measures: dict[str, Any], recording: str | None) -> None:
        """Keep verdict and measures."""
        verdict = None if judgement is None else judgement.verdict
        reasons = None if judgement is None else json.dumps(judgement.reasons, ensure_ascii=False)
        with self._database.transaction():
            self._database.rows(_VERDICT, (verdict, reasons, json.dumps(measures), recording, call_id))

    def finish(self, campaign_id: int) -> None:
        """End a campaign that has nobody left to call."""
        with self._database.transaction():
            self._database.rows(_FINISHED, (self._context.now_ms(), campaign_id))
