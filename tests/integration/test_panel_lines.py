"""Who has a panel, in a real Redis: visitors, probes, both at once, and nobody who can tell."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

import pytest

from agi_apps.redis_keys import CALL_OVER_PREFIX, PANEL_CALL_PREFIX, RELEASE_PANELS
from crm_api.adapters.redis_keys import PANELS_SEEN_AT_KEY, panel_call
from kemi_routes.panel_states import CALL_OVER, PANEL_CALL, SEEN_AT, PanelStates
from scheduler.panel_lines import PanelLines

if TYPE_CHECKING:
    import redis as redis_py

    from lab.stack import Stack


class World:
    """Both sides of the contract on one Redis."""

    def __init__(self, client: Any) -> None:
        self.client = client
        self.lines = PanelLines(client, lambda: int(time.time() * 1000))
        self._states = PanelStates()

    def kamailio(self, *events: dict[str, Any]) -> None:
        texts = [json.dumps(event, separators=(",", ":")) for event in events]
        self.client.execute_command(*self._states.command(texts))

    def dialled(self, call: str, panel: str = "p1") -> None:
        self.kamailio({"event": "dialled", "call_id": call, "at_ms": 1, "panel": panel, "dialled": "12"})

    def called(self, call: str, panel: str = "p1") -> None:
        self.kamailio({"event": "panel_called", "call_id": call, "at_ms": 1, "panel": panel})

    def moved(self, call: str, moves: int, panel: str = "p1") -> None:
        self.kamailio({"event": "moved", "call_id": call, "at_ms": 2, "panel": panel, "dialled": "12", "moves": moves})

    def over(self, call: str, panel: str = "p1", moves: int = 0) -> None:
        keys = (PANEL_CALL_PREFIX + panel, CALL_OVER_PREFIX + call)
        self.client.eval(RELEASE_PANELS, 2, *keys, 60, f"{moves} {call}")

    def holder(self, panel: str = "p1") -> str | None:
        held = self.client.get(PANEL_CALL + panel)
        return held.decode() if isinstance(held, bytes) else held


@pytest.fixture
def world(client: redis_py.Redis) -> World:
    return World(client)


def test_names_are_the_same_on_all_sides() -> None:
    assert PANEL_CALL == PANEL_CALL_PREFIX == panel_call("")
    assert CALL_OVER == CALL_OVER_PREFIX
    assert SEEN_AT == PANELS_SEEN_AT_KEY


@pytest.mark.parametrize("order", [("ended", "moved"), ("moved", "ended")])
def test_the_end_that_a_node_tells_does_not_free_the_panel_of_a_call_that_has_moved(
    world: World, order: tuple[str, ...]
) -> None:
    world.dialled("c1")
    for told in (*order, *order):
        world.moved("c1", 1) if told == "moved" else world.over("c1")
    assert world.holder() == "visitor c1"
    world.called("c1", "p2")
    assert world.holder("p2") == "visitor c1", "its new node calls a panel"
    world.over("c1", moves=1)
    assert world.holder() is None
    world.over("c1", "p2", moves=1)
    assert world.holder("p2") is None


def test_the_end_of_a_call_that_moved_may_come_before_word_of_that(world: World) -> None:
    world.dialled("c1")
    world.over("c1", moves=1)
    world.moved("c1", 1)
    assert world.holder() is None
    world.moved("c1", 2)
    assert world.holder() == "visitor c1"


def test_a_panel_is_free_only_while_somebody_watches(world: World) -> None:
    assert not world.lines.take("p1", "1"), "nobody has said that calls are watched"
    world.kamailio()
    assert world.lines.take("p1", "1")
    world.client.set(SEEN_AT, int(time.time() * 1000) - 60_000)
    assert not world.lines.take("p2", "2")


def test_one_probe_a_panel(world: World) -> None:
    world.kamailio()
    assert world.lines.take("p1", "1")
    assert not world.lines.take("p1", "2")
    world.lines.free("p1", "2")
    assert not world.lines.take("p1", "2"), "it frees its own only"
    world.lines.free("p1", "1")
    assert world.lines.take("p1", "2")


def test_a_visitor_keeps_probes_off_and_takes_a_panel_from_one(world: World) -> None:
    world.dialled("c1")
    assert not world.lines.take("p1", "1")
    world.over("c1")
    assert world.lines.take("p1", "1")
    assert world.lines.lost([("p1", "1")]) == set()
    world.dialled("c2")
    assert world.lines.lost([("p1", "1")]) == {"1"}
    world.lines.free("p1", "1")
    assert world.client.get(panel_call("p1")) == b"visitor c2"
    world.over("c2")
    assert world.lines.take("p1", "3")


def test_a_call_to_a_panel_keeps_probes_off_and_takes_it_from_one(world: World) -> None:
    world.called("c1")
    assert not world.lines.take("p1", "1")
    assert 0 < world.client.ttl(panel_call("p1")) <= 900, "free in the end, whoever dies"
    world.over("c1")
    assert world.lines.take("p1", "1")
    world.called("c2")
    assert world.lines.lost([("p1", "1")]) == {"1"}
    world.over("c2")
    assert world.lines.take("p1", "2")


def test_a_call_to_a_panel_in_a_call_does_not_free_it_by_being_refused(world: World) -> None:
    world.dialled("c1")
    world.called("c2")
    world.over("c2")
    assert not world.lines.take("p1", "1"), "the visitor still talks"
    world.over("c1")
    assert world.lines.take("p1", "1")


def test_a_call_to_a_panel_whose_last_call_ends_a_moment_later_keeps_it(world: World) -> None:
    world.dialled("c1")
    world.called("c2")
    world.over("c1")
    assert not world.lines.take("p1", "1"), "somebody looks through it"
    assert 0 < world.client.ttl(panel_call("p1")) <= 900
    world.kamailio({"event": "refused", "call_id": "c2", "at_ms": 2, "reason": "r", "sip_status": 503})
    assert world.lines.take("p1", "1")


def test_a_call_that_was_over_before_its_beginning_was_written_leaves_nothing(world: World) -> None:
    world.over("c1")
    world.dialled("c1")
    assert world.lines.take("p1", "1")


def test_the_end_of_an_earlier_call_does_not_free_a_later_one(world: World) -> None:
    world.dialled("c1")
    world.dialled("c2")
    world.over("c1")
    assert not world.lines.take("p1", "1")


def test_with_redis_away_no_panel_is_free_and_every_probe_has_lost_its_own(world: World, redis_lab: Stack) -> None:
    world.kamailio()
    assert world.lines.take("p1", "1")
    redis_lab.kill("redis")
    assert not world.lines.take("p2", "2")
    assert world.lines.lost([("p1", "1")]) == {"1"}
    world.lines.free("p1", "1")
