"""Runs probe campaigns: calls whom the planner names, gives way to visitors, and judges what was recorded."""

from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor, wait
from itertools import cycle
from typing import TYPE_CHECKING, Final

import structlog

from crm_api.adapters.panel_drivers import PanelAccess, PanelRefusedError
from crm_api.adapters.panel_handsets import GenericHandsets, PanelSaid
from crm_api.domain.handset_verdict import Heard, judge
from crm_api.services.panels import login_of
from crm_api.services.probe_campaigns import limits_of
from crm_api.services.probe_results import DAY_MS, ProbeResults
from crm_api.tables.dialled_numbers import by_apartment
from crm_api.tables.probes import ProbeCampaign
from scheduler.asterisk_manager import AsteriskAwayError
from scheduler.probe_leftovers import Leftovers
from scheduler.probe_loading import Callers, Campaign, Loading, Running
from scheduler.probe_measure import examine
from scheduler.probe_watch import Watch

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping

    from crm_api.adapters.panel_handsets import PanelHandsets
    from crm_api.domain.probe_plan import Candidate
    from crm_api.services.context import Context
    from scheduler.panel_lines import PanelLines

LOOK_S: Final = 0.2
"""How often the ends of calls are looked for."""
STEP_S: Final = 2.0
DROPPED_PAUSE_MS: Final = 120_000
SPOKEN: Final = frozenset({"en", "ru", "zh"})
"""Languages that probes speak (asterisk/sounds/); campaigns in others speak English."""
GRACE_S: Final = 10
"""After the longest call its end is given up for lost."""
PLANNED_AT_ONCE_S: Final = 0.1
"""A plan that is made so soon is waited for; others are made beside the calls."""
ASKED_AT_ONCE: Final = 32
"""Panels asked beside one another: one that is silent holds a place for three seconds."""
CLOCK_JUMP_MS: Final = 5000
"""The clock was set when it moved so much more, or less, than time did."""

_log = structlog.get_logger("scheduler.probes")

_ENDED: Final = "SELECT id, outcome, grade, measures FROM probe_calls WHERE state = 'ended' AND id IN ({marks})"
_TRIES: Final = "SELECT i.tries, i.apartment_id FROM probe_items i WHERE i.id = ?"
_PANEL: Final = """
SELECT d.driver, d.address, d.credentials, d.company_id
FROM panels d JOIN accounts s ON s.id = d.account_id WHERE s.account = ?
"""


class RunProbes:
    """The step of the scheduler that calls handsets.

    Args:
        context: database and clock.
        lines: who has which panel.
        callers: nodes that call, and their recordings.
        handsets: by the driver of a panel, how its maker lets us ask.
        term: of our lease, None while another has it; with a new one we do not know what others have done meanwhile.
    """

    name = "quality probes"

    def __init__(
        self,
        context: Context,
        lines: PanelLines,
        callers: Callers,
        handsets: Mapping[str, PanelHandsets],
        term: Callable[[], int | None] = lambda: None,
    ) -> None:
        self._context = context
        self._lines = lines
        self._callers = callers
        self._nodes = cycle(callers.nodes)
        self._handsets = handsets
        self._campaigns: dict[int, Campaign] = {}
        self._loading = Loading(context)
        self._results = ProbeResults(context)
        self._leftovers = Leftovers(context, lines, callers, self._results, self._settle_leftover)
        self._is_new = True
        self._term, self._known_term = term, term()
        self._watch = Watch(lines)
        self._judging = ThreadPoolExecutor(1, "judge")
        self._planning = ThreadPoolExecutor(1, "plan")
        self._asking = ThreadPoolExecutor(ASKED_AT_ONCE, "handset")
        self._clocks = (time.monotonic(), context.now_ms())

    def is_due(self) -> bool:
        """Say whether a campaign runs, or may have been left behind."""
        is_known = bool(self._is_new or self._campaigns or self._has_new_term())
        return bool(self._callers.nodes) and (is_known or self._loading.is_any_running())

    def step(self, stopped: threading.Event) -> None:
        """Go on with every campaign for some seconds."""
        if not self._callers.nodes:
            return
        try:
            self._go_on(stopped)
        except Exception:
            # The database went away between two writes: what was begun or ended by half is settled as another
            # scheduler's would be, and planned anew.
            self._is_new = True
            for campaign in self._campaigns.values():
                campaign.is_stale = True
            raise

    def _go_on(self, stopped: threading.Event) -> None:
        self._look_at_clock()
        self._look_at_nodes()
        self._load()
        until_s = time.monotonic() + STEP_S
        while self._campaigns and time.monotonic() < until_s and not stopped.is_set():
            self._watch.look()
            for campaign in list(self._campaigns.values()):
                self._take_results(campaign)
                self._take_answers(campaign)
                self._call(campaign)
            stopped.wait(LOOK_S)
        for campaign in self._campaigns.values():
            if campaign.planner.is_done and not campaign.running and campaign.planning is None:
                self._finish(campaign)

    def _look_at_clock(self) -> None:
        """Plan anew when the clock was set: hours that a plan has passed may come again."""
        before_s, before_ms = self._clocks
        self._clocks = (time.monotonic(), self._now())
        moved_ms = self._clocks[1] - before_ms - (self._clocks[0] - before_s) * 1000
        # Without a campaign nobody has looked for long, and clocks that are kept right drift from one another.
        if self._campaigns and abs(moved_ms) > CLOCK_JUMP_MS:
            _log.warning("the clock was set: campaigns are planned anew", by_s=round(moved_ms / 1000))
            for campaign in self._campaigns.values():
                campaign.is_stale = True

    def _look_at_nodes(self) -> None:
        """Drop calls of a node that has started anew since: they are over, and nobody tells how they ended."""
        started: dict[int, str | None] = {}
        for campaign in self._campaigns.values():
            for running in list(campaign.running.values()):
                if id(running.node) not in started:
                    try:
                        started[id(running.node)] = running.node.started()
                    except AsteriskAwayError:
                        started[id(running.node)] = None
                now = started[id(running.node)]
                if now is None:
                    continue  # it may only be out of reach: its calls are waited for
                if running.node_started is None:
                    running.node_started = now
                elif running.node_started != now and running.asked is None:
                    _log.warning("a probe is lost: its node has started anew", probe=running.call_id)
                    self._over(campaign, running, "dropped")

    def _load(self) -> None:
        """Take up campaigns that were started, changed or paused; first what another scheduler left behind."""
        if self._has_new_term():
            # Another scheduler has called meanwhile: who waits is not whom we know, and a call of his may be left.
            self._known_term, self._is_new = self._term(), True
            for campaign in self._campaigns.values():
                campaign.is_stale = True
        rows = self._loading.running_rows()
        waits: set[int] = set()
        if self._is_new or rows.keys() - self._campaigns.keys():
            ours = {call for campaign in self._campaigns.values() for call in campaign.running}
            waits = self._leftovers.end(ours)
            self._is_new = bool(waits)
        for key, campaign in list(self._campaigns.items()):
            row = rows.get(key)
            if row is None:
                campaign.planner = self._loading.nobody(campaign.row, campaign.running)
                campaign.is_stale = True
                if not campaign.running:
                    del self._campaigns[key]
            elif (
                int(str(row.version)) != campaign.version
                or campaign.is_stale
                or self._loading.zone(row) != campaign.zone
            ):
                self._plan(campaign, row)
        for key, row in rows.items():
            if key not in self._campaigns and key not in waits:
                self._campaigns[key] = Campaign(row, self._loading.nobody(row, {}))
                self._plan(self._campaigns[key], row)

    def _has_new_term(self) -> bool:
        return self._term() not in {None, self._known_term}

    def _plan(self, campaign: Campaign, row: ProbeCampaign) -> None:
        """Have a plan made; until it is there nobody new is called, and who is being called gives way to visitors."""
        if campaign.planning is not None:
            return
        campaign.row, campaign.version, campaign.is_stale = row, int(str(row.version)), False
        campaign.zone = self._loading.zone(row)
        campaign.planning = self._planning.submit(self._loading.plan, row)
        wait([campaign.planning], PLANNED_AT_ONCE_S)
        self._take_plan(campaign)

    @staticmethod
    def _take_plan(campaign: Campaign) -> None:
        if campaign.planning is None or not campaign.planning.done():
            return
        planning, campaign.planning = campaign.planning, None
        campaign.planner = planning.result()
        campaign.planner.take_over(one.candidate for one in campaign.running.values())

    def _finish(self, campaign: Campaign) -> None:
        """End a campaign that has nobody left to call; who came back into the queue elsewhere is called first."""
        self._plan(campaign, campaign.row)
        if campaign.planning is None and campaign.planner.is_done:
            self._loading.leave_out_unreached(campaign.key)
            self._results.finish(campaign.key)

    def _settle_leftover(self, campaign_id: int, candidate: Candidate, call_id: int, outcome: str, done: bool) -> None:
        row = ProbeCampaign.get_by_id(campaign_id)
        self._settle(row, candidate, None, call_id, outcome, done=done)

    def _call(self, campaign: Campaign) -> None:
        self._take_plan(campaign)
        if campaign.is_stale or campaign.planning is not None:
            return

        limits = limits_of(campaign.row)

        def is_free(panel: str) -> bool:
            return not self._results.rests(panel, limits) and self._lines.take(panel, "next")

        for candidate in campaign.planner.due(self._now(), is_free):
            call_id = self._results.begin(candidate)
            self._lines.free(candidate.panel, "next")
            if call_id is None:
                # Panel replaced, company closed, residents said no, or another scheduler has called.
                campaign.planner.ended(candidate, self._now())
                campaign.is_stale = True
            elif not self._lines.take(candidate.panel, str(call_id)):
                self._results.end(call_id, "dropped")
                self._settle(campaign.row, candidate, campaign, call_id, "dropped")
            else:
                self._begin(campaign, candidate, call_id)

    def _begin(self, campaign: Campaign, candidate: Candidate, call_id: int) -> None:
        """Ask the panel, where its maker lets us; else call at once."""
        running = Running(call_id, candidate, next(self._nodes), time.monotonic())
        campaign.running[call_id] = running
        self._watch.begin(running)
        found = self._context.database.row(_TRIES, (candidate.item_id,))
        apartment_id = 0 if found is None else int(found[1])
        numbers = dict(by_apartment(self._context.database, [apartment_id]).get(apartment_id, []))
        running.number = numbers.get(candidate.panel, "0")
        panel = self._context.database.row(_PANEL, (candidate.panel,))
        driver, address, credentials, company_id = ("", None, None, None) if panel is None else panel
        handsets = self._handsets.get(driver, GenericHandsets())
        running.naming = handsets.naming
        if handsets.asks and address is not None:
            access = PanelAccess(address, *login_of(self._context, credentials), company_id)
            running.asked = self._asking.submit(handsets.look, access, running.number)
        else:
            self._originate(campaign, running)

    def _take_answers(self, campaign: Campaign) -> None:
        """Call the handsets of panels that have said that nothing speaks against it.

        Behind a line that is short or open nothing would ring, and a call would only hold the panel: that is a verdict.
        """
        for running in list(campaign.running.values()):
            if running.asked is None or not running.asked.done() or running.dropped:
                continue
            try:
                said = running.asked.result()
            except PanelRefusedError as error:
                said = PanelSaid(str(error))
            except Exception as error:  # noqa: BLE001 - whatever a driver may raise
                # One panel that its driver cannot cope with must not keep every other from being called.
                _log.exception("a panel could not be asked", probe=running.call_id, panel=running.candidate.panel)
                said = PanelSaid(f"the panel could not be asked: {type(error).__name__}: {error}")
            running.asked = None
            if said.line_level is not None:
                running.measures["line_level"] = said.line_level
            if said.problem is None and said.line in {"short", "open"}:
                found = judge(Heard("failed", line=said.line))
                self._results.judge(running.call_id, found, dict(running.measures), None)
                self._over(campaign, running, "line_fault", done=True)
                continue
            if said.problem is None:
                running.began_s = time.monotonic()
                self._originate(campaign, running)
                continue
            _log.info("a panel is not called", probe=running.call_id, panel=running.candidate.panel, why=said.problem)
            self._results.judge(running.call_id, None, {**running.measures, "trouble": said.problem}, None)
            self._over(campaign, running, "panel_not_ready")

    def _originate(self, campaign: Campaign, running: Running) -> None:
        row, candidate = campaign.row, running.candidate
        language = str(row.language)
        if language.partition("-")[0] not in SPOKEN:
            language = "en"
        variables = {
            "EP_PROBE": str(running.call_id),
            "EP_PROBE_KIND": str(row.kind),
            "EP_LANGUAGE": language.replace("-", "_"),
            "PJSIP_HEADER(add,X-Entryphone-Target)": f"handset {candidate.panel} {running.number} {running.naming} "
            f"{running.call_id}",
        }
        channel, ring_s = f"PJSIP/kamailio/sip:probe@{self._callers.kamailio}", int(str(row.ring_timeout_s))
        try:
            with running.speaking:
                if not running.dropped:
                    running.originated_s = time.monotonic()
                    running.node.originate(running.channel, channel, "probe,s", ring_s, variables)
        except AsteriskAwayError as error:
            _log.error("probe could not be called", probe=running.call_id, reason=str(error))
            self._over(campaign, running, "dropped")

    def _take_results(self, campaign: Campaign) -> None:
        """Settle calls that are over, and those that must be by now."""
        for running in list(campaign.running.values()):
            if running.dropped and (running.gave_way or running.originated_s is None):
                self._over(campaign, running, "dropped")
        ids = list(campaign.running)
        if not ids:
            return
        rows = self._context.database.rows(_ENDED.format(marks=",".join("?" * len(ids))), ids)
        for call_id, outcome, grade, measures in rows:
            running = campaign.running[call_id]
            if running.dropped or outcome != "answered":
                self._over(campaign, running, "dropped" if running.dropped else str(outcome))
            elif running.judging is None:
                told = {**json.loads(measures or "{}"), **running.measures, "grade": grade}
                kind = int(str(campaign.row.kind))
                running.judging = self._judging.submit(examine, self._callers.recordings, call_id, kind, told)
            elif running.judging.done():
                judgement, found = running.judging.result()
                self._results.judge(call_id, judgement, found, f"{call_id}.wav")
                self._over(campaign, running, "answered", done=judgement is not None)
        self._give_up(campaign)

    def _give_up(self, campaign: Campaign) -> None:
        """End calls that nobody tells the end of, when they must be over."""
        limits = limits_of(campaign.row)
        for running in list(campaign.running.values()):
            lasts_s = time.monotonic() - running.began_s
            if running.asked is not None or running.judging is not None:
                continue
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
        return not (self._callers.recordings / f"{running.call_id}-heard.wav").exists()

    def _over(self, campaign: Campaign, running: Running, outcome: str, *, done: bool = False) -> None:
        del campaign.running[running.call_id]
        self._watch.end(running)
        self._lines.free(running.candidate.panel, str(running.call_id))
        self._results.end(running.call_id, outcome)
        if outcome == "no_answer":
            self._results.judge(running.call_id, judge(Heard("no_answer")), dict(running.measures), None)
        self._settle(campaign.row, running.candidate, campaign, running.call_id, outcome, done=done)

    def _settle(
        self,
        row: ProbeCampaign,
        candidate: Candidate,
        campaign: Campaign | None,
        call_id: int,
        outcome: str,
        *,
        done: bool = False,
    ) -> None:
        """Decide whether the apartment is called again; a probe that gave way to a visitor was no try."""
        counts = outcome != "dropped"
        found = self._context.database.row(_TRIES, (candidate.item_id,))
        tries = (0 if found is None else int(found[0])) + counts
        again_at_ms = None
        if not done and tries < int(str(row.tries)):
            wait_ms = int(str(row.days_between)) * DAY_MS if counts else DROPPED_PAUSE_MS
            again_at_ms = self._now() + wait_ms
        self._results.settle(candidate, call_id, counts=counts, again_at_ms=again_at_ms, done=done)
        if campaign is not None and candidate.panel in campaign.planner.calling:
            campaign.planner.ended(candidate, self._now(), again_at_ms)

    def _now(self) -> int:
        return self._context.now_ms()
