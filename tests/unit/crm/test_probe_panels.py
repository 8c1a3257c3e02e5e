"""The runner of campaigns and its panels: asked before a call, replaced while it runs, none at all."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from crm_api.adapters.panel_drivers import PanelRefusedError
from crm_api.adapters.panel_handsets import PanelSaid
from tests.unit.crm.probe_world import DAY_MS, World

if TYPE_CHECKING:
    from crm_api.adapters.panel_handsets import Line
    from tests.unit.crm.conftest import Clock, Town


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
    targets = [call["PJSIP_HEADER(add,X-Entryphone-Target)"].split()[:4] for call in world.node.calls.values()]
    assert targets == [["handset", "p1", "12", "header"], ["handset", "p9", "12", "header"]]
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
    assert variables["PJSIP_HEADER(add,X-Entryphone-Target)"].startswith("handset p1 12 user ")


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


@pytest.mark.parametrize(
    "says", [PanelSaid("it is not registered"), PanelRefusedError("it did not answer"), ValueError("no such port")]
)
def test_a_panel_that_does_not_answer_or_is_not_ready_is_not_called(
    world: World, clock: Clock, says: PanelSaid | Exception
) -> None:
    world.let_us_ask()
    world.handsets.says = says
    world.step()
    world.answered()
    assert world.node.calls == {}
    call = world.calls()[0]
    assert (call["outcome"], call["verdict"]) == ("panel_not_ready", None)
    assert str(says.problem if isinstance(says, PanelSaid) else says) in call["measures"]["trouble"]
    assert world.lines.holders == {}
    clock.now += DAY_MS + 1000
    world.step()
    world.answered()
    assert world.state()["progress"]["given_up"] == 1, "a panel that never answers is not asked for ever"
    world.step()
    assert world.state()["state"] == "done"


@pytest.mark.parametrize(("line", "verdict"), [("short", "line_short"), ("open", "line_open")])
def test_a_line_that_the_panel_reports_broken_is_a_verdict_without_a_call(
    world: World, town: Town, line: Line, verdict: str
) -> None:
    world.let_us_ask()
    world.handsets.says = PanelSaid(None, 17, line)
    world.step()
    world.answered()
    assert world.node.calls == {}, "nothing would ring"
    call = world.calls()[0]
    assert (call["outcome"], call["verdict"]) == ("line_fault", verdict)
    assert call["reasons"] == [f"the panel reports the apartment's line {line}"]
    assert call["measures"] == {"line_level": 17}
    assert world.lines.holders == {}
    world.step()
    state = world.state()
    assert (state["state"], state["progress"]["done"], state["progress"]["verdicts"]) == ("done", 1, {verdict: 1})
    handsets = town.platform("GET", f"/v1/entrances/{town.entrance}/handsets")["handsets"]
    assert handsets[0]["verdict"] == verdict


def test_a_line_that_the_panel_finds_well_is_called(world: World) -> None:
    world.let_us_ask()
    world.handsets.says = PanelSaid(None, 512, "ok")
    world.step()
    world.answered()
    assert len(world.node.calls) == 1
