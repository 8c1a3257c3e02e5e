"""The runner of campaigns: what it does when things go wrong, on stand-ins for Asterisk and Redis."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, cast

import peewee
import pytest

from crm_api.adapters.panel_drivers import PanelAccess, PanelRefusedError
from crm_api.adapters.panel_handsets import Naming, PanelSaid
from scheduler import probe_runner, probe_watch
from scheduler.asterisk_manager import AsteriskAwayError
from scheduler.probe_loading import Callers
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
        self.says: PanelSaid | PanelRefusedError = PanelSaid(None, 512)
        self.may_say = threading.Event()
        self.may_say.set()
        self.asked: list[tuple[str, str]] = []

    def look(self, access: PanelAccess, apartment: str) -> PanelSaid:
        self.asked.append((access.address, apartment))
        assert self.may_say.wait(5)
        if isinstance(self.says, PanelRefusedError):
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
        self.again()
        self.campaign = start(town, town.apartment)

    def again(self) -> None:
        """Start another process of the scheduler: it knows what the database knows."""
        callers = Callers([cast("AsteriskManager", self.node)], "127.0.0.10:5060", self.recordings)
        self.runner = RunProbes(
            self.services.jobs.context, cast("PanelLines", self.lines), callers, {"beward": self.handsets}
        )

    def step(self) -> None:
        self.runner.step(threading.Event())

    def let_us_ask(self) -> None:
        """Panel p1 is of the maker who does."""
        (panel,) = self.town.platform("GET", "/v1/panels?account=p1")["items"]
        self.town.platform("PATCH", f"/v1/panels/{panel['id']}", {"driver": "beward", "address": "192.0.2.1"})

    def answered(self) -> None:
        """Go on until what the panel was asked is answered and taken."""
        deadline_s = time.monotonic() + 5
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


@pytest.fixture
def world(town: Town, services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(probe_runner, "STEP_S", 0.02)
    monkeypatch.setattr(probe_runner, "LOOK_S", 0.01)
    return World(town, services, tmp_path)


def test_a_handset_is_called_for_its_panel_and_number(world: World) -> None:
    world.step()
    ((channel, variables),) = world.node.calls.items()
    assert variables["PJSIP_HEADER(add,X-Entryphone-Target)"] == "handset p1 12 header"
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
    monkeypatch.setattr(probe_watch, "SORRY_S", 0.0)
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


@pytest.mark.parametrize("moment", ["begin", "end", "judge", "settle"])
def test_a_database_that_is_away_for_a_moment_leaves_nobody_called_for_ever(
    world: World, clock: Clock, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    def away(*_: Any, **__: Any) -> None:
        raise peewee.OperationalError("the database is away")

    if moment != "begin":
        world.step()
        world.told(reason=3)
    with monkeypatch.context() as patched:
        patched.setattr(world.runner._results, moment, away)
        with pytest.raises(peewee.OperationalError):
            world.step()
    world.lines.holders.pop("p1", None)  # in Redis it goes by itself
    world.step()
    assert world.state()["progress"] | {"verdicts": {}} == {
        "waiting": int(moment != "begin"), "calling": int(moment == "begin"), "done": 0, "given_up": 0, "left_out": 0,
        "verdicts": {},
    }  # fmt: skip
    if moment != "begin":
        clock.now += DAY_MS + 1000
        world.step()
    assert len(world.node.calls) == (1 if moment == "begin" else 2)


def test_what_a_scheduler_that_died_has_begun_is_hung_up_and_was_no_try(world: World, clock: Clock) -> None:
    world.step()
    world.again()
    world.step()
    assert len(world.node.hung_up) == 1, "nobody would look for a visitor on its panel"
    assert world.calls()[0]["outcome"] == "dropped"
    assert world.lines.holders == {}
    assert world.state()["progress"]["waiting"] == 1
    clock.now += probe_runner.DROPPED_PAUSE_MS + 1000
    world.again()
    world.step()
    assert len(world.node.calls) == 2


def test_with_asterisk_away_such_a_call_is_waited_for(world: World, clock: Clock) -> None:
    world.step()
    world.node.away = True
    world.again()
    world.step()
    assert world.calls()[0]["state"] == "calling", "it may still be ringing"
    assert world.lines.holders, "so nobody else may have its panel"
    clock.now += 200_000
    world.step()
    assert world.calls()[0]["outcome"] == "dropped"
    assert world.lines.holders == {}


def test_what_was_told_while_no_scheduler_ran_is_settled(world: World, town: Town) -> None:
    world.step()
    world.told(reason=3)
    world.again()
    world.step()
    assert world.calls()[0]["outcome"] == "no_answer"
    assert (world.state()["progress"]["calling"], world.state()["progress"]["waiting"]) == (0, 1)
    assert world.lines.holders == {}
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/stop")


def test_a_stopped_campaign_of_a_dead_scheduler_has_no_call_open_for_ever(world: World, town: Town) -> None:
    world.step()
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/stop")
    world.again()
    world.step()
    assert world.calls()[0]["outcome"] == "dropped"
    assert world.lines.holders == {}
    assert world.state()["progress"]["calling"] == 0


def test_a_scheduler_that_was_silent_settles_nothing_that_another_has_begun(world: World, clock: Clock) -> None:
    world.step()
    silent = world.runner
    world.again()
    world.step()
    clock.now += probe_runner.DROPPED_PAUSE_MS + 1000
    world.again()
    world.step()
    assert [call["state"] for call in world.calls()] == ["calling", "ended"]
    silent.step(threading.Event())
    assert world.state()["progress"]["calling"] == 1, "the second call is another's"
    assert len(world.lines.holders) == 1


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


def test_a_company_that_is_closed_in_the_middle_is_not_called_again(world: World, town: Town, clock: Clock) -> None:
    other = town.platform("POST", "/v1/apartments", {"entrance_id": town.entrance, "number": 40})["id"]
    more = start(town, other)
    world.step()
    assert len(world.node.calls) == 1, "a panel carries one call at a time"
    town.platform("PATCH", f"/v1/companies/{town.company}", {"active": False})
    world.told(reason=3)
    for _ in range(3):
        clock.now += DAY_MS
        world.step()
    assert len(world.node.calls) == 1
    assert world.lines.holders == {}
    assert town.platform("GET", f"/v1/probe-campaigns/{more}")["state"] == "running"
    town.platform("PATCH", f"/v1/companies/{town.company}", {"active": True})
    world.step()
    assert len(world.node.calls) == 2, "it goes on with a customer who is back"


def test_calls_of_a_node_that_has_started_anew_are_over_and_were_no_try(world: World, clock: Clock) -> None:
    world.step()
    world.step()
    world.node.away = True
    world.step()
    assert world.calls()[0]["state"] == "calling", "it may only be out of reach"
    world.node.away, world.node.began = False, "2026-11-23 07:00:00"
    world.step()
    assert world.calls()[0]["outcome"] == "dropped"
    assert world.lines.holders == {}
    clock.now += probe_runner.DROPPED_PAUSE_MS + 1000
    world.step()
    assert len(world.node.calls) == 2


def test_a_panel_that_is_replaced_while_it_calls(world: World, town: Town, clock: Clock) -> None:
    world.step()
    (old,) = town.platform("GET", "/v1/panels?account=p1")["items"]
    town.platform("DELETE", f"/v1/panels/{old['id']}")
    town.platform("POST", "/v1/accounts", {"account": "p9", "kind": "panel", "company_id": town.company})
    places = [{"entrance_id": town.entrance}]
    town.platform("POST", "/v1/panels", {"account": "p9", "name": "new", "driver": "generic", "places": places})
    world.told(reason=3)
    world.step()
    assert world.lines.holders == {}
    clock.now += DAY_MS + 1000
    world.step()
    world.step()
    targets = [call["PJSIP_HEADER(add,X-Entryphone-Target)"] for call in world.node.calls.values()]
    assert targets == ["handset p1 12 header", "handset p9 12 header"]
    assert set(world.lines.holders) == {"p9"}


def test_an_entrance_without_a_panel_is_waited_for_as_long_as_others_are_called(
    world: World, town: Town, clock: Clock
) -> None:
    world.step()
    (old,) = town.platform("GET", "/v1/panels?account=p1")["items"]
    town.platform("DELETE", f"/v1/panels/{old['id']}")
    world.told(reason=3)
    world.step()
    clock.now += DAY_MS + 1000
    world.step()
    world.step()
    assert len(world.node.calls) == 1
    assert (world.state()["state"], world.state()["progress"]["left_out"]) == ("done", 1)


def test_hours_that_a_wrong_clock_has_passed_come_again(world: World, town: Town, clock: Clock) -> None:
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/stop")
    clock.now = 1_795_431_600_000  # Monday 2026-11-23 11:00 UTC
    campaign = start(town, town.apartment, hours=[{"day": "mon", "from": "10:00", "until": "12:00"}])
    clock.now += 6 * 3_600_000
    world.step()
    assert world.node.calls == {}
    clock.now -= 6 * 3_600_000
    world.step()
    assert len(world.node.calls) == 1
    clock.now -= 30 * 60_000
    world.step()
    assert len(world.node.calls) == 1, "nobody is called twice for one try"
    world.campaign = campaign
    world.told(reason=3)
    world.step()
    assert world.lines.holders == {}


def test_a_panel_is_asked_before_it_is_called(world: World) -> None:
    world.let_us_ask()
    world.handsets.may_say.clear()
    world.step()
    assert world.handsets.asked == [("192.0.2.1", "12")]
    assert world.node.calls == {}
    assert world.lines.holders, "nobody else may begin meanwhile"
    world.handsets.may_say.set()
    world.answered()
    (variables,) = world.node.calls.values()
    assert variables["PJSIP_HEADER(add,X-Entryphone-Target)"] == "handset p1 12 user"


def test_a_visitor_who_comes_while_the_panel_is_asked(world: World) -> None:
    world.let_us_ask()
    world.handsets.may_say.clear()
    world.step()
    world.lines.holders["p1"] = "visitor c1"
    world.step()
    world.handsets.may_say.set()
    world.step()
    assert world.node.calls == {}
    assert world.calls()[0]["outcome"] == "dropped"
    assert world.state()["progress"]["waiting"] == 1


@pytest.mark.parametrize("says", [PanelSaid("it is not registered"), PanelRefusedError("it did not answer")])
def test_a_panel_that_does_not_answer_or_is_not_ready_is_not_called(
    world: World, clock: Clock, says: PanelSaid | PanelRefusedError
) -> None:
    world.let_us_ask()
    world.handsets.says = says
    world.step()
    world.answered()
    assert world.node.calls == {}
    call = world.calls()[0]
    assert (call["outcome"], call["verdict"]) == ("panel_not_ready", None)
    assert call["measures"]["trouble"] == (says.problem if isinstance(says, PanelSaid) else str(says))
    assert world.lines.holders == {}
    clock.now += DAY_MS + 1000
    world.step()
    world.answered()
    assert world.state()["progress"]["given_up"] == 1, "a panel that never answers is not asked for ever"
    world.step()
    assert world.state()["state"] == "done"


def test_residents_who_say_no_meanwhile_are_not_called(world: World, town: Town) -> None:
    town.platform("PATCH", f"/v1/apartments/{town.apartment}", {"probes_refused": True})
    world.step()
    assert world.node.calls == {}
    assert (world.state()["state"], world.state()["progress"]["left_out"]) == ("done", 1)


def test_residents_who_say_no_after_a_try_are_not_called_again(world: World, town: Town, clock: Clock) -> None:
    world.step()
    world.told(reason=3)
    world.step()
    town.platform("PATCH", f"/v1/apartments/{town.apartment}", {"probes_refused": True})
    clock.now += DAY_MS + 1000
    world.step()
    world.step()
    assert len(world.node.calls) == 1
    assert (world.state()["state"], world.state()["progress"]["left_out"]) == ("done", 1)
