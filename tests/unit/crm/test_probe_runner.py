"""The runner of campaigns: whom it calls, how often, and who takes a panel from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from scheduler import probe_watch
from tests.unit.crm.probe_world import DAY_MS, World, start

if TYPE_CHECKING:
    from tests.unit.crm.conftest import Clock, Town


def test_a_handset_is_called_for_its_panel_and_number(world: World) -> None:
    world.step()
    ((channel, variables),) = world.node.calls.items()
    number = channel.removeprefix("probe-")
    assert variables["PJSIP_HEADER(add,X-Entryphone-Target)"] == f"handset p1 12 header {number}"
    assert world.lines.holders == {"p1": number}


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


def test_the_runner_is_due_while_a_campaign_runs(world: World, town: Town) -> None:
    world.step()
    assert world.runner.is_due(), "its call goes on"
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/pause")
    assert world.runner.is_due(), "the call of a campaign that is paused has to be settled"
    world.told(reason=3)
    world.step()
    world.step()
    assert not world.runner.is_due()
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/resume")
    assert world.runner.is_due()


def test_a_new_runner_is_due_for_what_another_has_left(world: World, town: Town) -> None:
    world.step()
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/pause")
    world.again()
    world.step()
    assert world.calls()[0]["outcome"] == "dropped"
    assert not world.runner.is_due()


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


def test_hours_follow_the_citys_clock_when_it_gets_another(world: World, town: Town, clock: Clock) -> None:
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/stop")
    clock.now = 1_795_431_600_000  # Monday 2026-11-23 11:00 UTC
    hours = [{"day": "mon", "from": "16:00", "until": "18:00"}]
    world.campaign = start(town, town.apartment, hours=hours, zone=None)
    world.step()
    assert world.node.calls == {}
    town.platform("PATCH", "/v1/cities/1", {"time_zone": "Asia/Omsk"})  # 17:00 there
    world.step()
    assert len(world.node.calls) == 1


def beside(town: Town, **more: Any) -> Any:
    """Start a campaign over another apartment behind the same panel."""
    other = town.platform("POST", "/v1/apartments", {"entrance_id": town.entrance, "number": 40})["id"]
    return start(town, other, **more)


def test_a_panel_has_its_pause_whichever_campaign_has_called_it(world: World, town: Town, clock: Clock) -> None:
    world.step()
    world.told(reason=3)
    world.step()
    beside(town, panel_pause_s=300)
    clock.now += 299_000
    world.step()
    assert len(world.node.calls) == 1
    clock.now += 2_000
    world.step()
    assert len(world.node.calls) == 2


@pytest.mark.parametrize("how", ["paused and resumed", "another scheduler"])
def test_a_pause_is_kept_by_the_next_plan(world: World, town: Town, clock: Clock, how: str) -> None:
    town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/stop")
    town.platform("POST", "/v1/apartments", {"entrance_id": town.entrance, "number": 40})
    apartments = [row["id"] for row in town.platform("GET", "/v1/apartments")["items"] if row["number"] in {12, 40}]
    selection = {"apartment_ids": apartments}
    world.campaign = start(town, town.apartment, panel_pause_s=300, tries=1, selection=selection)
    world.step()
    world.told(reason=3)
    world.step()
    if how == "another scheduler":
        world.again()
    else:
        for verb in ("pause", "resume"):
            town.platform("POST", f"/v1/probe-campaigns/{world.campaign}/{verb}")
    clock.now += 290_000
    world.step()
    assert len(world.node.calls) == 1
    clock.now += 13_000
    world.step()
    assert len(world.node.calls) == 2


def test_an_entrance_is_not_rung_more_often_than_a_campaign_may(world: World, town: Town, clock: Clock) -> None:
    world.step()
    world.told(reason=3)
    world.step()
    beside(town, entrance_calls_per_minute=2)
    clock.now += 29_000
    world.step()
    assert len(world.node.calls) == 1
    clock.now += 2_000
    world.step()
    assert len(world.node.calls) == 2


def test_calls_before_the_clock_was_put_back_are_no_pause(world: World, town: Town, clock: Clock) -> None:
    world.step()
    world.told(reason=3)
    world.step()
    beside(town, panel_pause_s=300)
    clock.now -= 3_600_000
    world.step()
    assert len(world.node.calls) == 2
