"""A round of all panels: those that are registered have been seen, and nobody knows more when nobody can tell."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.adapters.registrar import RegisteredContact, RegistrarSilentError
from crm_api.services import panels_seen
from crm_api.services.panels_seen import PanelsSeen, Round
from scheduler.panel_rounds import LookForPanels

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Clock, Town
    from tests.unit.crm.fakes import FakeRegistrar

HERE = RegisteredContact("10.0.0.7:5070", "udp", "baresip v3", 1_790_000_000_000, 1_790_000_600_000)


@pytest.fixture
def panels(context: Context, registrar: FakeRegistrar) -> PanelsSeen:
    return PanelsSeen(context, registrar)


def seen(town: Town) -> dict[str, int | None]:
    """When each panel was seen, by account."""
    return {row["account"]: row["last_seen_at_ms"] for row in town.platform("GET", "/v1/panels")["items"]}


def test_who_is_registered_is_seen_and_nobody_else(
    town: Town, panels: PanelsSeen, registrar: FakeRegistrar, clock: Clock
) -> None:
    registrar.registered["p2"] = [HERE]
    before_ms = clock.now
    assert panels.go_round(threading.Event()) == Round(enabled=2, registered=1)
    told = seen(town)
    assert told["p1"] is None
    assert told["p2"] is not None
    assert before_ms < told["p2"] <= clock.now
    assert registrar.asked == [["p1", "p2"]]
    registrar.registered.clear()
    assert panels.go_round(threading.Event()) == Round(enabled=2, registered=0)
    assert seen(town) == told


def test_time_goes_forward_only(
    town: Town, panels: PanelsSeen, registrar: FakeRegistrar, context: Context, clock: Clock
) -> None:
    later_ms = clock.now + 3_600_000
    context.database.rows("UPDATE panels SET last_seen_at_ms = ?", (later_ms,))
    registrar.registered["p2"] = [HERE]
    panels.go_round(threading.Event())
    assert set(seen(town).values()) == {later_ms}


def test_a_round_leaves_the_version_of_a_panel(town: Town, panels: PanelsSeen, registrar: FakeRegistrar) -> None:
    """Whoever edits a panel meanwhile does not find it changed."""
    versions = [row["version"] for row in town.platform("GET", "/v1/panels")["items"]]
    registrar.registered |= {"p1": [HERE], "p2": [HERE]}
    panels.go_round(threading.Event())
    assert [row["version"] for row in town.platform("GET", "/v1/panels")["items"]] == versions


def test_a_panel_that_is_disabled_is_seen_and_not_counted(
    town: Town, panels: PanelsSeen, registrar: FakeRegistrar
) -> None:
    town.platform("PATCH", "/v1/accounts/p2", {"enabled": False})
    registrar.registered["p2"] = [HERE]
    assert panels.go_round(threading.Event()) == Round(enabled=1, registered=0)
    assert seen(town)["p2"] is not None


def test_many_are_asked_for_some_at_a_time(
    town: Town, panels: PanelsSeen, registrar: FakeRegistrar, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(panels_seen, "MOST_ACCOUNTS", 1)
    registrar.registered |= {"p1": [HERE], "p2": [HERE]}
    assert panels.go_round(threading.Event()) == Round(2, 2)
    assert registrar.asked == [["p1"], ["p2"]]
    assert None not in seen(town).values()


def test_a_round_that_is_to_stop_stops(panels: PanelsSeen, town: Town, registrar: FakeRegistrar) -> None:
    stopped = threading.Event()
    stopped.set()
    assert panels.go_round(stopped) is None
    assert registrar.asked == []
    assert town.platform is not None


def test_when_nobody_can_tell_all_stays_and_it_is_said_once(
    town: Town, panels: PanelsSeen, registrar: FakeRegistrar, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    now_s = 1000.0
    monkeypatch.setattr("scheduler.panel_rounds.time.monotonic", lambda: now_s)
    told: list[Round] = []
    step = LookForPanels(panels, 300, told.append)
    registrar.registered["p1"] = [HERE]
    registrar.refusal = RegistrarSilentError("Kamailio says nothing")
    assert not step.is_due(), "Kamailio may have been started just now, too"
    now_s += 30
    assert step.is_due()
    step.step(threading.Event())
    assert not step.is_due()
    now_s += 300
    assert step.is_due()
    step.step(threading.Event())
    assert told == []
    assert set(seen(town).values()) == {None}
    said = capsys.readouterr()
    assert (said.out + said.err).count("Kamailio says nothing") == 1
    registrar.refusal = None
    now_s += 300
    step.step(threading.Event())
    assert told == [Round(2, 1)]
    assert seen(town)["p1"] is not None
    said = capsys.readouterr()
    assert (said.out + said.err).count("told again") == 1
