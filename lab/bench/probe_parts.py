"""Probes through Kamailio, Asterisk and simulated panels beside visitors' calls: none is in a visitor's way."""

from __future__ import annotations

import asyncio
import contextlib
import sqlite3
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from contextlib import AsyncExitStack, closing
from dataclasses import dataclass
from multiprocessing import get_context
from typing import TYPE_CHECKING, Any, Final

from lab.bench.measures import Bar
from lab.peers.digest import Credentials
from lab.peers.office import Office
from lab.peers.scripted import ScriptedPeer, SipServer
from lab.peers.town import read_town
from lab.probes import redis_command

if TYPE_CHECKING:
    from lab.bench.load import Load, RingAllRun
    from lab.bench.measures import Report
    from lab.bench.parts import Bench
    from lab.peers.calls import IncomingCall

VISITORS_CPS: Final = 50.0
PROBES_S: Final = 60.0
PROBED: Final = 400
AT_ONCE: Final = 10
LONGEST_BOTH_MS: Final = 1000
_PANELS: Final = "127.5.0.2"
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
_LONGEST_PROBE_S: Final = 40.0
_LOOK_S: Final = 0.02
_SETTLE_S: Final = 20.0
_HOUSES: Final = "SELECT id, company_id FROM houses WHERE address LIKE 'Bench street %' ORDER BY id LIMIT ?"
_VISITS: Final = """
SELECT panel, started_at_ms, ended_at_ms FROM call_records WHERE started_at_ms >= ? AND ended_at_ms IS NOT NULL
"""
_PROBES: Final = "SELECT outcome, ended_at_ms FROM probe_calls WHERE campaign_id = ? AND state = 'ended'"

PROBE_BARS: Final = (
    Bar("schedule.probes.per_min", "at least", 60, "answered beside 50 visitors/s"),
    Bar("schedule.probes.visitors_failed", "at most", 0, "calls"),
    Bar("schedule.probes.longest_both_ms", "at most", LONGEST_BOTH_MS, "ms of a visitor and a probe on one panel"),
    Bar("schedule.probes.two_probes_on_a_panel", "at most", 0, ""),
    Bar("schedule.probes.panels_left_busy", "at most", 0, ""),
)


@dataclass(frozen=True)
class OnPanel:
    """A call on a panel, in epoch milliseconds."""

    panel: str
    began_ms: float
    ended_ms: float


def longest_together_ms(probes: list[OnPanel], visits: list[OnPanel]) -> float:
    """Return the longest time for which one panel had a probe and a visitor's call."""
    of_panel: dict[str, list[OnPanel]] = {}
    for visit in visits:
        of_panel.setdefault(visit.panel, []).append(visit)
    return max(
        (
            min(probe.ended_ms, visit.ended_ms) - max(probe.began_ms, visit.began_ms)
            for probe in probes
            for visit in of_panel.get(probe.panel, ())
        ),
        default=0.0,
    )


def together(probes: list[OnPanel]) -> int:
    """Return how many probes began on a panel that had another."""
    found, busy_until = 0, dict[str, float]()
    for probe in sorted(probes, key=lambda one: one.began_ms):
        found += probe.began_ms < busy_until.get(probe.panel, 0.0)
        busy_until[probe.panel] = max(probe.ended_ms, busy_until.get(probe.panel, 0.0))
    return found


@dataclass
class ProbeBench:
    """On the platform of the bench of calls, which runs.

    Args:
        bench: its panels ring their apartments, and carry the probes.
        report: takes the measures.
        duration_s: of the load.
    """

    bench: Bench
    report: Report
    duration_s: float

    def beside_visitors(self) -> None:
        """Probe handsets while visitors call through the same panels."""
        found = asyncio.run(self._run())
        run, probes, campaign, began_ms, ended_ms = found
        path = self.bench.platform.lib / "crm.db"
        with closing(sqlite3.connect(path, timeout=10)) as database:
            visits = [OnPanel(*row) for row in database.execute(_VISITS, (began_ms,))]
            calls = list(database.execute(_PROBES, (campaign,)))
        outcomes = Counter(outcome for outcome, _ in calls)
        answered = sum(outcome == "answered" and began_ms <= at_ms <= ended_ms for outcome, at_ms in calls)
        both_ms = longest_together_ms(probes, visits)
        self.report.set("schedule.probes.per_min", answered / ((ended_ms - began_ms) / 60_000))
        self.report.set("schedule.probes.visitors_failed", run.failed)
        self.report.set("schedule.probes.visitors", len(visits))
        self.report.set("schedule.probes.longest_both_ms", max(0.0, both_ms))
        self.report.set("schedule.probes.two_probes_on_a_panel", together(probes))
        self.report.set("schedule.probes.dropped_for_visitors", outcomes["dropped"])
        self.report.set("schedule.probes.panels_left_busy", self._left_busy(probes))
        told = ", ".join(f"{name} {count}" for name, count in sorted(outcomes.items()))
        print(f"  {len(visits)} visitors, probes: {told}; longest with both {both_ms:.0f} ms", flush=True)

    async def _run(self) -> tuple[RingAllRun, list[OnPanel], int, float, float]:
        platform = self.bench.platform
        server = SipServer(platform.sip_address, platform.domain, platform.sip_port)
        households = self.bench.ringing[:PROBED]
        async with AsyncExitStack() as stack:
            panels = await stack.enter_async_context(await ScriptedPeer.open(server, _PANELS, streams=2 * PROBED))
            for household in households:
                await panels.register(Credentials(household.panel.name, household.panel.password))
            office = Office(read_town(platform.town_file))
            campaign = await self._start(office, len(households))
            ended: list[OnPanel] = []
            answering = asyncio.create_task(_answer(panels, ended))
            began_ms = time.time() * 1000
            loop = asyncio.get_running_loop()
            # In a process of its own: what reads SIPp's figures must not keep the panels from answering.
            with ProcessPoolExecutor(1, get_context("spawn")) as pool:
                run = await loop.run_in_executor(pool, _visit, self.bench.platform_load, self.duration_s)
            ended_ms = time.time() * 1000
            await office.send("POST", f"/v1/probe-campaigns/{campaign}/stop")
            await self._settled(office, campaign)
            answering.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await answering
            return run, ended, campaign, began_ms, ended_ms

    async def _start(self, office: Office, count: int) -> int:
        with closing(sqlite3.connect(self.bench.platform.lib / "crm.db", timeout=10)) as database:
            houses = list(database.execute(_HOUSES, (count,)))
        body = {
            "company_id": houses[0][1], "name": "bench", "kind": 3, "zone": "UTC", "tries": 1, "panel_pause_s": 0,
            "hours": [{"day": day, "from": "00:00", "until": "24:00"} for day in _DAYS], "calls_at_once": AT_ONCE,
            "entrance_calls_per_minute": 60, "selection": {"house_ids": [house for house, _ in houses]},
        }  # fmt: skip
        made: Any = await office.send("POST", "/v1/probe-campaigns", body)
        await office.send("POST", f"/v1/probe-campaigns/{made['id']}/start")
        return int(made["id"])

    async def _settled(self, office: Office, campaign: int) -> None:
        """Until every call of the stopped campaign has ended, and records of visitors are written."""
        deadline_s = time.monotonic() + _LONGEST_PROBE_S + _SETTLE_S
        while (await office.get(f"/v1/probe-campaigns/{campaign}"))["progress"]["calling"]:
            if time.monotonic() > deadline_s:
                raise TimeoutError("probes of a stopped campaign go on")
            await asyncio.sleep(0.5)
        await asyncio.sleep(2.0)

    def _left_busy(self, probes: list[OnPanel]) -> int:
        """Return how many of the panels Redis still knows with a call."""
        platform = self.bench.platform
        keys = [f"ep:panel_call:{panel}" for panel in sorted({probe.panel for probe in probes})]
        return sum(redis_command(platform.redis_host, platform.redis_port, "GET", key) is not None for key in keys)


def _say(line: str) -> None:
    print(f"  {line.strip()}", flush=True)


def _visit(load: Load, duration_s: float) -> RingAllRun:
    return load.ring_all(VISITORS_CPS, duration_s, say=_say)


async def _answer(panels: ScriptedPeer, ended: list[OnPanel]) -> None:
    """Take every probe, as a handset that hears its own tone."""
    taken, tasks = 0, set[asyncio.Task[None]]()
    try:
        while True:
            for call in panels.ringing[taken:]:
                taken += 1
                task = asyncio.create_task(_take(call, ended))
                tasks.add(task)
                task.add_done_callback(tasks.discard)
            await asyncio.sleep(_LOOK_S)
    finally:
        for task in tasks:
            task.cancel()


async def _take(call: IncomingCall, ended: list[OnPanel]) -> None:
    behind_s = time.time() - time.monotonic()
    over_s = None
    panel = call.invite.uri.removeprefix("sip:").partition("@")[0]
    try:
        call.ring()
        call.answer()
        await call.established()
        call.rtp.talk()
        over_s = (await call.wait_request("BYE", _LONGEST_PROBE_S)).at_s
    except TimeoutError:
        pass  # cancelled before it was answered, or never ended: its time counts all the same
    finally:
        call.rtp.hush()
        if call.cancelled is not None:
            over_s = call.cancelled.at_s
        # As the packets came to the panel: how soon this process looked at them is not the platform's doing.
        over_s = time.monotonic() if over_s is None else over_s
        ended.append(OnPanel(panel, (call.received.at_s + behind_s) * 1000, (over_s + behind_s) * 1000))
