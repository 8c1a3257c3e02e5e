"""Codes on their way to panels that keep them: the state of each, and what is tried again."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from crm_api.services.code_notices import KEPT_MS
from crm_api.services.code_retention import CodeRetention
from crm_api.services.panel_codes import FIRST_RETRY_MS
from scheduler import code_steps
from scheduler.code_steps import TellPanels
from tests.unit.crm.code_panels import (
    DAY_MS,
    MONDAY,
    NEXT_MONDAY,
    FakePanels,
    nothing_is_left_to_say,
    renew,
    renew_while_offline,
    settle,
)

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town


def test_a_panel_gets_the_new_code_and_forgets_the_old_one_a_day_later(
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock
) -> None:
    old = renew(services, town, MONDAY)
    settle(services, panels)
    assert panels.opens(beward, old)
    clock.now += 7 * DAY_MS
    new = renew(services, town, NEXT_MONDAY)
    settle(services, panels)
    assert panels.opens(beward, old)
    assert panels.opens(beward, new)
    clock.now += DAY_MS + 1000
    settle(services, panels)
    settle(services, panels)
    assert list(panels.kept[beward].values()) == [new]
    assert nothing_is_left_to_say(services, panels)


def test_a_panel_that_is_offline_keeps_the_old_code_until_it_has_the_new_one(
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock
) -> None:
    old, new = renew_while_offline(services, town, panels, beward, clock)
    state = town.platform("GET", "/v1/panel-codes?state=waiting")["items"][0]
    assert (state["panel_id"], state["wanted"], state["tries"]) == (1, "present", 1)
    assert "did not answer" in state["last_error"]
    assert state["next_try_ms"] >= clock.now + FIRST_RETRY_MS - 100
    clock.now += 5 * DAY_MS
    settle(services, panels)
    assert services.access_codes.typed(1, old).opens, "it is what the panel knows"
    panels.offline.clear()
    clock.now += DAY_MS
    settle(services, panels)
    assert panels.opens(beward, new)
    assert panels.opens(beward, old)
    clock.now += DAY_MS + 1000
    settle(services, panels)
    settle(services, panels)
    assert list(panels.kept[beward].values()) == [new]
    assert not services.access_codes.typed(1, old).opens


def test_telling_panels_is_due_when_a_panel_is(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(code_steps, "SWEEP_EVERY_S", 3600.0)
    telling = TellPanels(services.panel_codes, {"beward": panels}, 5000)
    assert telling.is_due(), "nobody has looked yet what should be where"
    telling.step(threading.Event())
    assert not telling.is_due()
    panels.offline.add(beward)
    renew(services, town, MONDAY)
    services.panel_codes.sweep()
    assert telling.is_due()
    telling.step(threading.Event())
    assert not telling.is_due(), "it is offline: later"
    clock.now += FIRST_RETRY_MS
    assert telling.is_due()
    monkeypatch.setattr(code_steps, "SWEEP_EVERY_S", 0.0)
    panels.offline.clear()
    telling.step(threading.Event())
    assert telling.is_due(), "for what has changed since"


def test_a_panel_that_its_driver_cannot_cope_with_keeps_no_other_from_its_code(
    town: Town, services: Services, panels: FakePanels, beward: str
) -> None:
    town.platform("POST", "/v1/accounts", {"company_id": town.company, "account": "p9", "kind": "panel"})
    other = {"account": "p9", "name": "Second", "driver": "beward", "address": "10.0.0.2"}
    second = town.platform("POST", "/v1/panels", {**other, "places": [{"entrance_id": town.entrance}]})["id"]
    panels.odd = {beward}
    code = renew(services, town, MONDAY)
    settle(services, panels)
    assert panels.opens("10.0.0.2", code)
    states = {row["panel_id"]: row for row in town.platform("GET", "/v1/panel-codes")["items"]}
    assert states[second]["state"] == "done"
    assert (states[1]["state"], states[1]["last_error"]) == ("waiting", "the panel could not be told: ValueError")


def test_a_panel_that_has_the_new_code_forgets_the_old_one_without_waiting_for_another_panel(
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock
) -> None:
    second = {"driver": "beward", "address": "10.0.0.2", "places": [{"entrance_id": town.entrance}]}
    town.platform("PATCH", "/v1/panels/2", second)
    old = renew(services, town, MONDAY)
    settle(services, panels)
    panels.offline.add("10.0.0.2")
    clock.now += 7 * DAY_MS
    new = renew(services, town, NEXT_MONDAY)
    settle(services, panels)
    clock.now += DAY_MS + 1000
    settle(services, panels)
    settle(services, panels)
    assert list(panels.kept[beward].values()) == [new]
    assert services.access_codes.typed(2, old).opens, "it is what that panel knows"


def test_a_code_that_never_reached_a_panel_is_overtaken_by_the_next(
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock
) -> None:
    panels.offline.add(beward)
    renew(services, town, MONDAY)
    settle(services, panels)
    clock.now += 7 * DAY_MS
    new = renew(services, town, NEXT_MONDAY)
    panels.offline.clear()
    settle(services, panels)
    clock.now += DAY_MS + 1000
    settle(services, panels)
    assert list(panels.kept[beward].values()) == [new]


def test_a_couriers_code_comes_and_goes_and_one_for_once_stays_off_panels(
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock
) -> None:
    until = clock.now + 7_200_000
    courier = town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance, "valid_until_ms": until})
    once = town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance, "single_use": True})
    settle(services, panels)
    assert panels.opens(beward, courier["code"])
    assert not panels.opens(beward, once["code"])
    clock.now = until
    settle(services, panels)
    assert not panels.opens(beward, courier["code"])


def test_two_codes_never_share_a_place(town: Town, services: Services, panels: FakePanels, beward: str) -> None:
    for _ in range(5):
        town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance})
    renew(services, town, MONDAY)
    settle(services, panels)
    assert sorted(panels.kept[beward]) == [1, 2, 3, 4, 5, 6]


@pytest.mark.parametrize("how", ["another driver", "removed"])
def test_the_old_code_ends_when_no_panel_keeps_codes_any_more(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock, how: str
) -> None:
    old, new = renew_while_offline(services, town, panels, beward, clock)
    if how == "removed":
        account = town.platform("POST", "/v1/accounts", {"kind": "panel", "account": "p9", "company_id": town.company})
        town.platform("DELETE", "/v1/panels/1")
        places = [{"entrance_id": town.entrance}]
        body = {"account": account["account"], "name": "new", "driver": "generic", "places": places}
        panel = town.platform("POST", "/v1/panels", body)["id"]
    else:
        town.platform("PATCH", "/v1/panels/1", {"driver": "generic"})
        panel = 1
    settle(services, panels)
    assert town.platform("GET", "/v1/panel-codes?state=waiting")["items"] == []
    assert services.access_codes.typed(panel, old).opens, "for the grace period"
    clock.now += DAY_MS + 1000
    settle(services, panels)
    assert not services.access_codes.typed(panel, old).opens
    assert services.access_codes.typed(panel, new).opens


def test_codes_that_ended_long_ago_leave_with_what_panels_were_told(
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock
) -> None:
    context = services.panel_codes.context
    entrances = len(town.platform("GET", "/v1/entrances")["items"])
    for week in range(3):
        renew(services, town, f"2026-12-{7 * week + 7:02}T05:00")
        settle(services, panels)
        clock.now += 7 * DAY_MS
        settle(services, panels)
    assert CodeRetention(context).prune() == 0
    clock.now += KEPT_MS
    assert CodeRetention(context).prune() == 2 * entrances
    assert [code["state"] for code in town.platform("GET", "/v1/panel-codes")["items"]] == ["done"]
    assert len(panels.kept[beward]) == 1, "the one in use stays"


def test_a_code_that_an_offline_panel_still_opens_to_is_not_forgotten(
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock
) -> None:
    codes = CodeRetention(services.panel_codes.context)
    old = renew(services, town, MONDAY)
    settle(services, panels)
    panels.offline.add(beward)
    for row in town.platform("GET", "/v1/access-codes")["items"]:
        town.platform("POST", f"/v1/access-codes/{row['id']}/end", {"reason": "known to too many"})
    for _ in range(2):
        settle(services, panels)
        clock.now += KEPT_MS
    codes.prune()
    (left,) = town.platform("GET", "/v1/access-codes")["items"]
    assert left["entrance_id"] == town.entrance
    assert panels.opens(beward, old)
    panels.offline.clear()
    settle(services, panels)
    assert not panels.opens(beward, old)
    assert codes.prune() == 1
