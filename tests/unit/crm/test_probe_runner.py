"""The runner of campaigns: what it does when things go wrong, on stand-ins for Asterisk and Redis."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from scheduler import probe_runner
from scheduler.asterisk_manager import AsteriskAwayError
from scheduler.probe_runner import RunProbes

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping
    from pathlib import Path

    from crm_api.bootstrap import Services
    from scheduler.asterisk_manager import AsteriskManager
    from scheduler.panel_lines import PanelLines
    from tests.unit.crm.conftest import Clock, Town

ALWAYS = [{"day": day, "from": "00:00", "until": "24:00"} for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")]
DAY_MS = 86_400_000


class FakeNode:
    """Takes calls, or is away."""

    def __init__(self) -> None:
        self.away = False
        self.calls: dict[str, Mapping[str, str]] = {}
        self.hung_up: list[str] = []

    def originate(
        self, channel_id: str, _channel: str, _extension: str, _timeout_s: int, variables: Mapping[str, str]
    ) -> None:
        if self.away:
            raise AsteriskAwayError("connection refused")
        assert channel_id not in self.calls, "called twice for one try"
        self.calls[channel_id] = variables

    def redirect(self, channel_id: str, extension: str) -> None:
        assert (channel_id in self.calls, extension) == (True, "probe,sorry")

    def hang_up(self, channel_id: str) -> None:
        self.hung_up.append(channel_id)


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


class World:
    """A campaign over the apartment behind panel p1, and what runs it."""

    def __init__(self, town: Town, services: Services, recordings: Path) -> None:
        self.town, self.services, self.recordings = town, services, recordings
        self.node, self.lines = FakeNode(), FakeLines()
        self.again()
        body = {
            "company_id": town.company, "name": "x", "hours": ALWAYS, "zone": "UTC", "tries": 2, "panel_pause_s": 0,
            "ring_timeout_s": 5, "selection": {"apartment_ids": [town.apartment]},
        }  # fmt: skip
        self.campaign = town.platform("POST", "/v1/probe-campaigns", body)["id"]
        town.platform("POST", f"/v1/probe-campaigns/{self.campaign}/start")

    def again(self) -> None:
        """Start another process of the scheduler: it knows what the database knows."""
        self.runner = RunProbes(
            self.services.jobs.context,
            cast("PanelLines", self.lines),
            [cast("AsteriskManager", self.node)],
            "127.0.0.10:5060",
            self.recordings,
        )

    def step(self) -> None:
        self.runner.step(threading.Event())

    def told(self, **result: Any) -> None:
        last = self.calls()[0]["id"]
        self.town.service("POST", "/v1/probe-results", {"probe_id": last, **result})

    def calls(self) -> Any:
        return self.town.platform("GET", f"/v1/probe-calls?campaign_id={self.campaign}")["items"]

    def state(self) -> Any:
        return self.town.platform("GET", f"/v1/probe-campaigns/{self.campaign}")


@pytest.fixture
def world(town: Town, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(probe_runner, "STEP_S", 0.02)
    monkeypatch.setattr(probe_runner, "LOOK_S", 0.01)
    return World(town, services, tmp_path)


def test_a_handset_is_called_for_its_panel_and_number(world: World) -> None:
    world.step()
    ((channel, variables),) = world.node.calls.items()
    assert variables["PJSIP_HEADER(add,X-Entryphone-Target)"] == "handset p1 12"
    assert world.lines.holders == {"p1": channel.removeprefix("probe-")}


def test_tries_are_days_apart_and_then_it_is_given_up(world: World, clock: Clock) -> None:
    for expected in ("waiting", "given_up"):
        world.step()
        world.told(reason=3)
        world.step()
        assert world.state()["progress"][expected] == 1
        assert world.lines.holders == {}, "no panel is left marked busy"
        clock.now += DAY_MS + 1000
        world.again()
    world.step()
    assert [call["outcome"] for call in world.calls()] == ["no_answer", "no_answer"]
    assert {call["verdict"] for call in world.calls()} == {"no_answer"}
    world.step()
    assert len(world.node.calls) == 2


def test_a_panel_that_is_not_known_free_is_not_called(world: World) -> None:
    world.lines.holders["p1"] = "visitor c1"
    world.step()
    assert world.node.calls == {}
    assert world.state()["progress"]["waiting"] == 1


def test_a_visitor_takes_over_and_the_probe_was_no_try(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(probe_runner, "SORRY_S", 0.0)
    world.step()
    world.lines.holders["p1"] = "visitor c1"
    world.step()
    world.step()
    assert len(world.node.hung_up) == 1
    assert world.calls()[0]["outcome"] == "dropped"
    assert world.lines.holders == {"p1": "visitor c1"}
    assert world.state()["progress"]["waiting"] == 1


def test_with_asterisk_away_nothing_is_lost(world: World, clock: Clock) -> None:
    world.node.away = True
    world.step()
    assert world.lines.holders == {}
    assert world.state()["progress"]["waiting"] == 1
    world.node.away = False
    clock.now += probe_runner.DROPPED_PAUSE_MS + 1000
    world.step()
    assert len(world.node.calls) == 1


def test_a_scheduler_that_died_in_a_call_is_followed_by_one_that_waits_for_its_end(world: World, clock: Clock) -> None:
    world.step()
    world.again()
    world.step()
    assert len(world.node.calls) == 1, "it may still be ringing"
    clock.now += 200_000
    world.step()
    assert world.calls()[0]["outcome"] == "failed"
    assert world.lines.holders == {}
    clock.now += DAY_MS
    world.again()
    world.step()
    assert len(world.node.calls) == 2


def test_a_paused_or_stopped_campaign_calls_nobody(world: World, town: Town) -> None:
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/pause")
    world.step()
    assert world.node.calls == {}
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/resume")
    world.step()
    assert len(world.node.calls) == 1
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/stop")
    world.told(reason=5)
    world.step()
    assert world.lines.holders == {}
    assert world.state()["state"] == "stopped"


def test_a_company_that_is_no_customer_any_more_is_not_called(world: World, town: Town) -> None:
    town.platform("PATCH", f"/v1/companies/{town.company}", {"active": False})
    world.step()
    assert world.node.calls == {}


def test_residents_who_say_no_meanwhile_are_not_called(world: World, town: Town) -> None:
    town.platform("PATCH", f"/v1/apartments/{town.apartment}", {"probes_refused": True})
    world.step()
    assert world.node.calls == {}
