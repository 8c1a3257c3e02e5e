"""The runner of campaigns when something it needs is away, starts anew, or another scheduler has begun."""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any

import peewee
import pytest

from scheduler import probe_runner
from tests.unit.crm.probe_world import DAY_MS, World, start

if TYPE_CHECKING:
    from scheduler.probe_runner import RunProbes
    from tests.unit.crm.conftest import Clock, Town


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


def _another_acts_and_calls(world: World) -> RunProbes:
    """The runner could not call for a visitor; another scheduler has the lease now, and calls."""
    world.lines.holders["p1"] = "visitor c1"
    world.step()
    first = world.runner
    world.term = 2
    world.again()
    del world.lines.holders["p1"]
    world.step()
    return first


def test_a_scheduler_that_acts_again_does_not_call_whom_another_has_called(world: World, clock: Clock) -> None:
    first = _another_acts_and_calls(world)
    world.told(reason=3)
    world.step()
    assert world.state()["progress"]["waiting"] == 1
    world.runner, world.term = first, 3
    clock.now += 5 * 60_000
    first._clocks = (time.monotonic(), clock.now)  # time has gone by, the clock was not set
    world.step()
    assert len(world.node.calls) == 1, "the next try is days away"
    clock.now += DAY_MS
    world.step()
    assert len(world.node.calls) == 2


@pytest.mark.parametrize("stopped", [True, False])
def test_a_scheduler_that_acts_again_ends_what_another_has_left(
    world: World, town: Town, clock: Clock, *, stopped: bool
) -> None:
    first = _another_acts_and_calls(world)
    if stopped:
        town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/stop")
    world.runner, world.term = first, None
    world.step()
    assert world.calls()[0]["state"] == "calling", "it is not ours to end while another acts"
    world.term = 3
    world.step()
    assert world.calls()[0]["outcome"] == "dropped"
    assert (len(world.node.hung_up), world.lines.holders) == (1, {})
    clock.now += probe_runner.DROPPED_PAUSE_MS + 1000
    world.step()
    assert len(world.node.calls) == (1 if stopped else 2)


def test_the_runner_is_due_for_what_another_has_left_when_it_acts_again(world: World, town: Town) -> None:
    world.step()
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/stop")
    world.told(reason=3)
    world.step()
    world.step()
    assert not world.runner.is_due()
    world.term = 2
    assert world.runner.is_due()
    world.step()
    assert not world.runner.is_due()


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
