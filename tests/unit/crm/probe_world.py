"""What the runner of campaigns lives in: a campaign over one apartment, stand-ins for Asterisk, Redis and panels."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, cast

from crm_api.adapters.panel_handsets import Naming, PanelSaid
from scheduler.asterisk_manager import AsteriskAwayError
from scheduler.probe_loading import Callers
from scheduler.probe_runner import RunProbes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from crm_api.adapters.panel_drivers import PanelAccess
    from crm_api.bootstrap import Services
    from scheduler.asterisk_manager import AsteriskManager
    from scheduler.panel_lines import PanelLines
    from tests.unit.crm.conftest import Town

ALWAYS = [{"day": day, "from": "00:00", "until": "24:00"} for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")]
DAY_MS = 86_400_000


class FakeNode:
    """Takes calls, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.calls: dict[str, Mapping[str, str]] = {}
        self.hung_up: list[str] = []
        self.began = "2026-11-23 04:05:06"

    def started(self) -> str:
        if self.away:
            raise AsteriskAwayError("connection refused")
        return self.began

    def originate(
        self, channel_id: str, _channel: str, _extension: str, _timeout_s: int, variables: Mapping[str, str]
    ) -> None:
        if self.away:
            raise AsteriskAwayError("connection refused")
        assert channel_id not in self.calls, "called twice for one try"
        self.calls[channel_id] = variables

    def variable(self, channel_id: str, name: str) -> str:
        assert (channel_id in self.calls, name) == (True, "EP_GAVE_WAY")
        return ""

    def redirect(self, channel_id: str, extension: str) -> None:
        assert (channel_id in self.calls, extension) == (True, "probe,sorry")

    def hang_up(self, channel_id: str) -> bool:
        if self.away:
            raise AsteriskAwayError("connection refused")
        self.hung_up.append(channel_id)
        return True


class FakeLines:
    """Who has a panel."""

    def __init__(self) -> None:
        self.holders: dict[str, str] = {}

    def take(self, panel: str, probe: str) -> bool:
        return self.holders.setdefault(panel, probe) == probe

    def free(self, panel: str, probe: str) -> None:
        if self.holders.get(panel) == probe:
            del self.holders[panel]

    def lost(self, probes: Collection[tuple[str, str]]) -> set[str]:
        return {probe for panel, probe in probes if self.holders.get(panel) != probe}


class FakeHandsets:
    """Panels of a maker who lets us ask; they answer when they are let to."""

    naming: Naming = "user"
    asks = True

    def __init__(self) -> None:
        self.says: PanelSaid | Exception = PanelSaid(None, 512)
        self.may_say = threading.Event()
        self.may_say.set()
        self.asked: list[tuple[str, str]] = []

    def look(self, access: PanelAccess, apartment: str) -> PanelSaid:
        assert access.company_id, "its names are looked up beside those of other companies"
        self.asked.append((access.address, apartment))
        assert self.may_say.wait(60)
        if isinstance(self.says, Exception):
            raise self.says
        return self.says


def start(town: Town, apartment: int, **more: Any) -> Any:
    """Start a campaign over one apartment; return its id."""
    body = {
        "company_id": town.company, "name": "x", "hours": ALWAYS, "zone": "UTC", "tries": 2, "panel_pause_s": 0,
        "ring_timeout_s": 5, "selection": {"apartment_ids": [apartment]}, **more,
    }  # fmt: skip
    made = town.platform("POST", "/v1/probe-campaigns", body)["id"]
    town.platform("POST", f"/v1/probe-campaigns/{made}/start")
    return made


class World:
    """A campaign over the apartment behind panel p1, and what runs it."""

    def __init__(self, town: Town, services: Services, recordings: Path) -> None:
        self.town, self.services, self.recordings = town, services, recordings
        self.node, self.lines, self.handsets = FakeNode(), FakeLines(), FakeHandsets()
        self.term: int | None = 1
        self.again()
        self.campaign = start(town, town.apartment)

    def again(self) -> None:
        """Start another process of the scheduler: it knows what the database knows."""
        callers = Callers([cast("AsteriskManager", self.node)], "127.0.0.10:5060", self.recordings)
        self.runner = RunProbes(
            self.services.jobs.context,
            cast("PanelLines", self.lines),
            callers,
            {"beward": self.handsets},
            lambda: self.term,
        )

    def step(self) -> None:
        """Do what the scheduler does each second."""
        if self.runner.is_due():
            self.runner.step(threading.Event())

    def let_us_ask(self) -> None:
        """Panel p1 is of the maker who does."""
        (panel,) = self.town.platform("GET", "/v1/panels?account=p1")["items"]
        self.town.platform("PATCH", f"/v1/panels/{panel['id']}", {"driver": "beward", "address": "192.0.2.1"})

    def answered(self) -> None:
        """Go on until what the panel was asked is answered and taken."""
        deadline_s = time.monotonic() + 60
        while self.waits_for_panel() and time.monotonic() < deadline_s:
            self.step()

    def waits_for_panel(self) -> bool:
        return any(one.asked for campaign in self.runner._campaigns.values() for one in campaign.running.values())

    def told(self, **result: Any) -> None:
        last = self.calls()[0]["id"]
        self.town.service("POST", "/v1/probe-results", {"probe_id": last, **result})

    def calls(self) -> Any:
        return self.town.platform("GET", f"/v1/probe-calls?campaign_id={self.campaign}")["items"]

    def state(self) -> Any:
        return self.town.platform("GET", f"/v1/probe-campaigns/{self.campaign}")
