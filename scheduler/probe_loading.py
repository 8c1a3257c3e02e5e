"""Campaigns as the database has them, made into plans: who waits, behind which panel, and who is being called."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.probe_plan import Candidate, Planner
from crm_api.services.probe_campaigns import NO_PANEL, REFUSED, ProbeCampaigns, limits_of
from crm_api.services.probe_panels import panels_of_entrances
from crm_api.tables.probes import ProbeCampaign

if TYPE_CHECKING:
    from collections.abc import Sequence
    from concurrent.futures import Future
    from pathlib import Path

    from crm_api.adapters.panel_handsets import Naming, PanelSaid
    from crm_api.domain.handset_verdict import Judgement
    from crm_api.services.context import Context
    from scheduler.asterisk_manager import AsteriskManager

_WAITING: Final = """
SELECT i.id, a.entrance_id, i.not_before_ms FROM probe_items i
JOIN apartments a ON a.id = i.apartment_id WHERE i.campaign_id = ? AND i.state = 'waiting' AND a.probes_refused = ?
"""
_REFUSED_SINCE: Final = """
UPDATE probe_items SET state = 'left_out', reason = ? WHERE campaign_id = ? AND state = 'waiting'
AND apartment_id IN (SELECT id FROM apartments WHERE probes_refused = ?)
"""
_UNREACHED: Final = "UPDATE probe_items SET state = 'left_out', reason = ? WHERE campaign_id = ? AND state = 'waiting'"
_RUNNING: Final = """
SELECT g.id FROM probe_campaigns g JOIN companies c ON c.id = g.company_id WHERE g.state = 'running' AND c.active = ?
"""


@dataclass(frozen=True)
class Callers:
    """Who calls, through which proxy, and where recordings are.

    Args:
        nodes: of Asterisk; each calls in turn.
        kamailio: `host:port`, as Asterisk calls it.
        recordings: what Asterisk knows as `/var/lib/entryphone/probes`.
    """

    nodes: Sequence[AsteriskManager]
    kamailio: str
    recordings: Path


@dataclass
class Running:
    """A call that has begun.

    Args:
        call_id: of the probe.
        candidate: who is called.
        node: that calls.
        began_s: by the monotonic clock.
        dropped: a visitor wants the panel.
        dropped_s: since when, by the monotonic clock.
        gave_way: it has been hung up for him.
        originated_s: when Asterisk was told to call, by the monotonic clock; None: it was not yet.
        speaking: whoever tells Asterisk of it holds this.
        judging: verdict and measures, while they are being made.
        asked: what the panel says of itself; None: its maker does not let us ask, or it has said.
        node_started: when the node was, as it said then; None: not known.
        number: of the apartment, as it is dialled at the panel.
        naming: how its maker's panels are told the number.
        measures: what the panel has said, in figures.
    """

    call_id: int
    candidate: Candidate
    node: AsteriskManager
    began_s: float
    dropped: bool = False
    dropped_s: float = 0.0
    gave_way: bool = False
    originated_s: float | None = None
    asked: Future[PanelSaid] | None = None
    judging: Future[tuple[Judgement | None, dict[str, Any]]] | None = None
    node_started: str | None = None
    number: str = "0"
    naming: Naming = "header"
    measures: dict[str, int] = field(default_factory=dict)
    speaking: threading.Lock = field(default_factory=threading.Lock)

    @property
    def channel(self) -> str:
        """Name of its channel in Asterisk."""
        return f"probe-{self.call_id}"


class Campaign:
    """One campaign that runs.

    Args:
        row: of the table.
        planner: decides who is next.
    """

    def __init__(self, row: ProbeCampaign, planner: Planner) -> None:
        self.row = row
        self.version = int(str(row.version))
        self.planner = planner
        self.running: dict[int, Running] = {}
        self.zone = ""
        """Of the hours that the plan was made with."""
        self.is_stale = False
        """The plan no longer fits the facts: it is made anew before the next call."""
        self.planning: Future[Planner] | None = None
        """The next plan, while it is being made."""

    @property
    def key(self) -> int:
        """Return its id."""
        return int(str(self.row.id))


class Loading:
    """Makes plans."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._service = ProbeCampaigns(context)

    def is_any_running(self) -> bool:
        """Say whether `running_rows` would return any."""
        return self._context.database.row(_RUNNING, (True,)) is not None

    def running_rows(self) -> dict[int, ProbeCampaign]:
        """Return the campaigns that run, of customers; of two that want a panel the older is first."""
        keys = [key for (key,) in self._context.database.rows(_RUNNING, (True,))]
        rows = ProbeCampaign.select().where(ProbeCampaign.id.in_(keys)).order_by(ProbeCampaign.id)
        return {int(str(row.id)): row for row in rows}

    def zone(self, row: ProbeCampaign) -> str:
        """Return the zone of a campaign's hours; the office may give a city another one."""
        return self._service.zone(row)

    def plan(self, row: ProbeCampaign) -> Planner:
        """Return a plan for all who wait; who has said no since the start is left out.

        A quarter of a million apartments take some seconds: it is made in a thread of its own.
        """
        try:
            with self._context.database.transaction():
                self._context.database.rows(_REFUSED_SINCE, (REFUSED, row.id, True))
            panels = panels_of_entrances(self._context.database, int(str(row.company_id)))
            candidates = [
                Candidate(item_id, panels[entrance_id], entrance_id, not_before_ms)
                for item_id, entrance_id, not_before_ms in self._context.database.rows(_WAITING, (row.id, False))
                if entrance_id in panels
            ]
            return self._planner(row, candidates)
        finally:
            self._context.database.forget_connection()

    def nobody(self, row: ProbeCampaign, running: dict[int, Running]) -> Planner:
        """Return a plan that calls nobody more."""
        planner = self._planner(row, [])
        planner.take_over(one.candidate for one in running.values())
        return planner

    def leave_out_unreached(self, campaign_id: int) -> None:
        """Leave out who still waits when nobody can be called any more: no panel leads there."""
        with self._context.database.transaction():
            self._context.database.rows(_UNREACHED, (NO_PANEL, campaign_id))

    def _planner(self, row: ProbeCampaign, candidates: list[Candidate]) -> Planner:
        return Planner(self._service.hours(row), limits_of(row), candidates, self._context.now_ms())
