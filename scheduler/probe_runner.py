"""Runs probe campaigns: calls whom the planner names, gives way to visitors, and judges what was recorded."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from itertools import cycle
from typing import TYPE_CHECKING, Final

import structlog

from crm_api.domain.handset_verdict import Heard, judge
from crm_api.domain.probe_plan import Candidate, Planner
from crm_api.services.probe_campaigns import ProbeCampaigns, limits_of
from crm_api.services.probe_results import DAY_MS, ProbeResults
from crm_api.tables.dialled_numbers import by_apartment
from crm_api.tables.probes import ProbeCampaign
from scheduler.asterisk_manager import AsteriskAwayError
from scheduler.probe_measure import examine

if TYPE_CHECKING:
    import threading
    from collections.abc import Sequence
    from pathlib import Path

    from crm_api.services.context import Context
    from scheduler.asterisk_manager import AsteriskManager
    from scheduler.panel_lines import PanelLines

LOOK_S: Final = 0.2
"""How often a visitor on a probe's panel is looked for."""
STEP_S: Final = 2.0
SORRY_S: Final = 0.5
"""How long the resident hears why, before the panel is the visitor's."""
DROPPED_PAUSE_MS: Final = 120_000
SPOKEN: Final = frozenset({"en", "ru", "zh"})
"""Languages that probes speak (asterisk/sounds/); campaigns in others speak English."""
GRACE_S: Final = 10
"""After the longest call its end is given up for lost."""

_log = structlog.get_logger("scheduler.probes")

_WAITING: Final = """
SELECT i.id, i.apartment_id, a.entrance_id, i.not_before_ms,
    (SELECT min(s.account) FROM panel_places p JOIN panels d ON d.id = p.panel_id JOIN accounts s ON s.id = d.account_id
     WHERE p.entrance_id = a.entrance_id AND s.enabled = ?)
FROM probe_items i JOIN apartments a ON a.id = i.apartment_id
WHERE i.campaign_id = ? AND i.state = 'waiting' AND a.probes_refused = ?
"""
_CALLING: Final = """
SELECT c.id, c.item_id, c.panel, c.began_at_ms, c.apartment_id FROM probe_calls c
WHERE c.campaign_id = ? AND c.state = 'calling'
"""
_ENDED: Final = "SELECT id, outcome, grade, measures FROM probe_calls WHERE state = 'ended' AND id IN ({marks})"
_TRIES: Final = "SELECT i.tries, i.apartment_id FROM probe_items i WHERE i.id = ?"
_ACTIVE: Final = "SELECT active FROM companies WHERE id = ?"


@dataclass
class Running:
    """A call that has begun."""

    call_id: int
    candidate: Candidate
    node: AsteriskManager
    began_s: float
    dropped: bool = False

    @property
    def channel(self) -> str:
        """Name of its channel in Asterisk."""
        return f"probe-{self.call_id}"


class Campaign:
    """One campaign that runs."""

    def __init__(self, row: ProbeCampaign, planner: Planner) -> None:
        self.row = row
        self.version = int(str(row.version))
        self.planner = planner
        self.running: dict[int, Running] = {}


class RunProbes:
    """The step of the scheduler that calls handsets."""

    name = "quality probes"

    def __init__(
        self, context: Context, lines: PanelLines, nodes: Sequence[AsteriskManager], kamailio: str, recordings: Path
    ) -> None:
        self._context = context
        self._lines = lines
        self._nodes = cycle(nodes)
        self._node_count = len(nodes)
        self._kamailio = kamailio
        self._recordings = recordings
        self._campaigns: dict[int, Campaign] = {}
        self._service = ProbeCampaigns(context)
        self._results = ProbeResults(context)

    def step(self, stopped: threading.Event) -> None:
        """Go on with every campaign for some seconds."""
        if not self._node_count:
            return
        self._load()
        until_s = time.monotonic() + STEP_S
        while self._campaigns and time.monotonic() < until_s and not stopped.is_set():
            for campaign in list(self._campaigns.values()):
                self._give_way(campaign)
                self._take_results(campaign)
                self._call(campaign)
            stopped.wait(LOOK_S)
        for campaign in self._campaigns.values():
            if campaign.planner.is_done and not campaign.running:
                self._results.finish(int(str(campaign.row.id)))

    def _load(self) -> None:
        """Take up campaigns that were started, changed or paused."""
        rows = {int(str(row.id)): row for row in ProbeCampaign.select().where(ProbeCampaign.state == "running")}
        for key, campaign in list(self._campaigns.items()):
            row = rows.get(key)
            if row is None or int(str(row.version)) != campaign.version:
                if campaign.running:
                    self._take_results(campaign)
                    campaign.planner = Planner(
                        self._service.hours(campaign.row), limits_of(campaign.row), (), self._now()
                    )
                    if campaign.running:
                        continue
                del self._campaigns[key]
        for key, row in rows.items():
            if key not in self._campaigns and self._is_customer(row) and self._settle_lost(row):
                candidates = [
                    Candidate(item_id, panel, entrance_id, not_before_ms)
                    for item_id, _, entrance_id, not_before_ms, panel in self._context.database.rows(
                        _WAITING, (True, key, False)
                    )
                    if panel is not None
                ]
                planner = Planner(self._service.hours(row), limits_of(row), candidates, self._now())
                self._campaigns[key] = Campaign(row, planner)

    def _is_customer(self, row: ProbeCampaign) -> bool:
        found = self._context.database.row(_ACTIVE, (row.company_id,))
        return found is not None and bool(found[0])

    def _settle_lost(self, row: ProbeCampaign) -> bool:
        """End calls of a scheduler that is no more, once they must be over; say whether none is left."""
        longest_ms = (limits_of(row).longest_call_s + GRACE_S) * 1000
        left = 0
        for call_id, item_id, panel, began_at_ms, _ in self._context.database.rows(_CALLING, (row.id,)):
            if 0 <= self._now() - began_at_ms < longest_ms:
                left += 1
                continue
            self._results.end(call_id, "failed")
            self._lines.free(panel, str(call_id))
            self._settle(row, Candidate(item_id, panel, 0), None, "failed")
        return left == 0

    def _call(self, campaign: Campaign) -> None:
        taken: dict[str, bool] = {}

        def is_free(panel: str) -> bool:
            taken[panel] = self._lines.take(panel, "next")
            return taken[panel]

        for candidate in campaign.planner.due(self._now(), is_free):
            call_id = self._results.begin(candidate)
            self._lines.free(candidate.panel, "next")
            if call_id is None or not self._lines.take(candidate.panel, str(call_id)):
                if call_id is not None:
                    self._results.end(call_id, "dropped")
                    self._settle(campaign.row, candidate, campaign, "dropped")
                else:
                    campaign.planner.ended(candidate, self._now())
                continue
            self._begin(campaign, candidate, call_id)

    def _begin(self, campaign: Campaign, candidate: Candidate, call_id: int) -> None:
        row = campaign.row
        node = next(self._nodes)
        running = Running(call_id, candidate, node, time.monotonic())
        campaign.running[call_id] = running
        found = self._context.database.row(_TRIES, (candidate.item_id,))
        apartment_id = 0 if found is None else int(found[1])
        numbers = dict(by_apartment(self._context.database, [apartment_id]).get(apartment_id, []))
        language = str(row.language)
        if language.partition("-")[0] not in SPOKEN:
            language = "en"
        try:
            node.originate(
                running.channel,
                f"PJSIP/kamailio/sip:probe@{self._kamailio}",
                "probe,s",
                int(str(row.ring_timeout_s)),
                {
                    "EP_PROBE": str(call_id),
                    "EP_PROBE_KIND": str(row.kind),
                    "EP_LANGUAGE": language.replace("-", "_"),
                    "PJSIP_HEADER(add,X-Entryphone-Target)": (
                        f"handset {candidate.panel} {numbers.get(candidate.panel, '0')}"
                    ),
                },
            )
        except AsteriskAwayError as error:
            _log.error("probe could not be called", probe=call_id, reason=str(error))
            self._over(campaign, running, "dropped")

    def _give_way(self, campaign: Campaign) -> None:
        """Drop every probe whose panel a visitor wants."""
        pairs = [(one.candidate.panel, str(one.call_id)) for one in campaign.running.values()]
        for probe in self._lines.lost(pairs):
            running = campaign.running[int(probe)]
            try:
                if not running.dropped:
                    running.dropped = True
                    running.began_s = time.monotonic()
                    running.node.redirect(running.channel, "probe,sorry")
                    continue
            except AsteriskAwayError:
                running.began_s = 0.0
            if time.monotonic() - running.began_s < SORRY_S:
                continue
            try:
                running.node.hang_up(running.channel)
            except AsteriskAwayError as error:
                _log.error("probe could not be hung up", probe=running.call_id, reason=str(error))
            self._over(campaign, running, "dropped")

    def _take_results(self, campaign: Campaign) -> None:
        """Settle calls that are over, and those that must be by now."""
        ids = list(campaign.running)
        if not ids:
            return
        rows = self._context.database.rows(_ENDED.format(marks=",".join("?" * len(ids))), ids)
        for call_id, outcome, grade, measures in rows:
            running = campaign.running[call_id]
            if running.dropped or outcome != "answered":
                self._over(campaign, running, "dropped" if running.dropped else str(outcome))
                continue
            told = {**json.loads(measures or "{}"), "grade": grade}
            judgement, found = examine(self._recordings, call_id, int(str(campaign.row.kind)), told)
            self._results.judge(call_id, judgement, found, f"{call_id}.wav")
            self._over(campaign, running, "answered", done=judgement is not None)
        limits = limits_of(campaign.row)
        for running in list(campaign.running.values()):
            lasts_s = time.monotonic() - running.began_s
            if (
                not running.dropped
                and lasts_s > int(str(campaign.row.ring_timeout_s)) + 1
                and self._never_answered(running)
            ):
                self._over(campaign, running, "no_answer")
            elif lasts_s > limits.longest_call_s + GRACE_S:
                self._over(campaign, running, "failed")

    def _never_answered(self, running: Running) -> bool:
        """Say whether no recording has begun: Asterisk begins it with the answer."""
        return not (self._recordings / f"{running.call_id}-heard.wav").exists()

    def _over(self, campaign: Campaign, running: Running, outcome: str, *, done: bool = False) -> None:
        del campaign.running[running.call_id]
        self._lines.free(running.candidate.panel, str(running.call_id))
        self._results.end(running.call_id, outcome)
        if outcome == "no_answer":
            self._results.judge(running.call_id, judge(Heard("no_answer")), {}, None)
        self._settle(campaign.row, running.candidate, campaign, outcome, done=done)

    def _settle(
        self, row: ProbeCampaign, candidate: Candidate, campaign: Campaign | None, outcome: str, *, done: bool = False
    ) -> None:
        """Decide whether the apartment is called again; a probe that gave way to a visitor was no try."""
        counts = outcome != "dropped"
        found = self._context.database.row(_TRIES, (candidate.item_id,))
        tries = (0 if found is None else int(found[0])) + counts
        again_at_ms = None
        if not done and tries < int(str(row.tries)):
            wait_ms = int(str(row.days_between)) * DAY_MS if counts else DROPPED_PAUSE_MS
            again_at_ms = self._now() + wait_ms
        self._results.settle(candidate, counts=counts, again_at_ms=again_at_ms, done=done)
        if campaign is not None and candidate.panel in campaign.planner.calling:
            campaign.planner.ended(candidate, self._now(), again_at_ms)

    def _now(self) -> int:
        return self._context.now_ms()
