"""A panel that keeps codes forgets those that are removed from the CRM, whatever they are removed with."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import pytest

from crm_api.services.code_notices import KEPT_MS
from crm_api.services.panel_codes import Outcome
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


@pytest.fixture
def home(town: Town, beward: str) -> tuple[int, str]:
    """Make a code of the apartment at the panel's entrance; return its id and digits."""
    assert beward
    made = town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance, "apartment_id": town.apartment})
    return made["id"], made["code"]


@pytest.fixture
def others(town: Town, services: Services, beward: str) -> list[str]:
    """Make codes of a neighbour and of the whole entrance."""
    assert beward
    body = {"entrance_id": town.entrance, "apartment_id": town.neighbour}
    return [town.platform("POST", "/v1/access-codes", body)["code"], renew(services, town, MONDAY)]


def left(town: Town) -> list[tuple[int | None, str, str]]:
    """What is known of panels."""
    rows = town.platform("GET", "/v1/panel-codes")["items"]
    return [(row["access_code_id"], row["wanted"], row["state"]) for row in rows]


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("what", ["apartment", "code"])
def test_a_removed_code_is_taken_off_the_panel_and_those_of_others_stay(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock, home: tuple[int, str],
    others: list[str], what: str, online: bool,
) -> None:  # fmt: skip
    code_id, code = home
    settle(services, panels)
    assert panels.opens(beward, code)
    if not online:
        panels.offline.add(beward)
    town.platform(
        "DELETE", f"/v1/apartments/{town.apartment}" if what == "apartment" else f"/v1/access-codes/{code_id}"
    )
    settle(services, panels)
    assert panels.opens(beward, code) is not online
    if not online:
        waiting = town.platform("GET", "/v1/panel-codes?wanted=absent")["items"]
        assert [(row["access_code_id"], row["state"], row["tries"]) for row in waiting] == [(None, "waiting", 1)]
        assert "did not answer" in waiting[0]["last_error"]
        panels.offline.clear()
        clock.now += DAY_MS
        settle(services, panels)
    assert sorted(panels.kept[beward].values()) == sorted(others)
    assert len(left(town)) == len(others), "of the removed one nothing stays"
    assert nothing_is_left_to_say(services, panels)


def test_a_couriers_code_that_is_removed_before_its_end_is_forgotten(
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock
) -> None:
    body = {"entrance_id": town.entrance, "valid_until_ms": clock.now + DAY_MS}
    courier = town.platform("POST", "/v1/access-codes", body)
    settle(services, panels)
    assert panels.opens(beward, courier["code"])
    town.platform("DELETE", f"/v1/access-codes/{courier['id']}")
    settle(services, panels)
    assert not panels.opens(beward, courier["code"])


@pytest.mark.parametrize("house_too", [True, False])
def test_what_is_left_to_say_when_an_entrance_is_removed_is_said(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock, house_too: bool
) -> None:
    """Its panel stands elsewhere by then (else the entrance is in use), but could not be reached."""
    house = town.platform("POST", "/v1/houses", {"company_id": town.company, "address": "Gone 1"})["id"]
    gone = town.platform("POST", "/v1/entrances", {"house_id": house, "number": 1})["id"]
    town.platform("PATCH", "/v1/panels/1", {"places": [{"entrance_id": gone}]})
    code = town.platform("POST", f"/v1/entrances/{gone}/renew-code")["code"]
    here = town.platform("POST", f"/v1/entrances/{town.entrance}/renew-code")["code"]
    settle(services, panels)
    assert list(panels.kept[beward].values()) == [code]
    town.platform("DELETE", f"/v1/entrances/{gone}", expect=409)
    panels.offline.add(beward)
    town.platform("PATCH", "/v1/panels/1", {"places": [{"entrance_id": town.entrance}]})
    settle(services, panels)
    town.platform("DELETE", f"/v1/entrances/{gone}")
    if house_too:
        town.platform("DELETE", f"/v1/houses/{house}")
    panels.offline.clear()
    clock.now += DAY_MS
    settle(services, panels)
    assert list(panels.kept[beward].values()) == [here]
    assert [row[1:] for row in left(town)] == [("present", "done")]


def test_a_panel_that_serves_the_whole_house_from_now_on_forgets_the_codes_of_its_entrance(
    town: Town, services: Services, panels: FakePanels, beward: str, home: tuple[int, str]
) -> None:
    settle(services, panels)
    assert panels.opens(beward, home[1])
    town.platform("PATCH", "/v1/panels/1", {"places": [{"house_id": town.house}]})
    settle(services, panels)
    assert not panels.opens(beward, home[1])


@pytest.mark.usefixtures("beward", "home")
def test_a_code_that_is_removed_before_its_panel_was_told_is_not_told_but_taken_off(
    town: Town, services: Services, panels: FakePanels
) -> None:
    """The panel may have it: a command whose answer was lost is told again."""
    services.panel_codes.sweep()
    assert [errand.wanted for errand in services.panel_codes.due(10)] == ["present"]
    town.platform("DELETE", f"/v1/apartments/{town.apartment}")
    assert services.panel_codes.due(10) == [], "before the next sweep, too"
    assert not services.panel_codes.is_any_due()
    services.panel_codes.sweep()
    assert [(errand.wanted, errand.code) for errand in services.panel_codes.due(10)] == [("absent", "")]
    settle(services, panels)
    assert left(town) == []


def test_a_code_that_is_removed_while_its_panel_is_told_is_taken_off_afterwards(
    town: Town, services: Services, panels: FakePanels, beward: str, home: tuple[int, str]
) -> None:
    services.panel_codes.sweep()
    (errand,) = services.panel_codes.due(10)
    town.platform("DELETE", f"/v1/apartments/{town.apartment}")
    panels.kept[beward] = {errand.place: errand.code}
    services.panel_codes.settle([Outcome(errand)])
    assert panels.opens(beward, home[1])
    settle(services, panels)
    assert panels.kept[beward] == {}


def test_the_place_of_a_removed_code_is_not_given_away_before_the_panel_has_cleared_it(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock, home: tuple[int, str]
) -> None:
    settle(services, panels)
    assert panels.kept[beward] == {1: home[1]}
    panels.offline.add(beward)
    town.platform("DELETE", f"/v1/apartments/{town.apartment}")
    new = renew(services, town, MONDAY)
    settle(services, panels)
    panels.offline.clear()
    clock.now += DAY_MS
    settle(services, panels)
    assert panels.kept[beward] == {2: new}


def test_of_a_code_that_the_panel_has_forgotten_nothing_stays_when_it_is_removed(
    town: Town, services: Services, panels: FakePanels, home: tuple[int, str]
) -> None:
    settle(services, panels)
    town.platform("POST", f"/v1/access-codes/{home[0]}/end", {"reason": "known to too many"})
    settle(services, panels)
    settle(services, panels)
    assert left(town) == [(home[0], "absent", "done")]
    commands = panels.commands
    town.platform("DELETE", f"/v1/apartments/{town.apartment}")
    settle(services, panels)
    assert left(town) == []
    assert panels.commands == commands, "it has been told already"


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize("how", ["removed", "another driver"])
def test_a_panel_that_is_no_more_is_told_nothing_of_what_was_removed(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock, how: str
) -> None:
    settle(services, panels)
    panels.offline.add(beward)
    town.platform("DELETE", f"/v1/apartments/{town.apartment}")
    settle(services, panels)
    if how == "removed":
        town.platform("DELETE", "/v1/panels/1")
    else:
        town.platform("PATCH", "/v1/panels/1", {"driver": "generic"})
    commands = panels.commands
    clock.now += DAY_MS
    settle(services, panels)
    assert panels.commands == commands
    assert left(town) == []
    assert not services.panel_codes.is_any_due()


def test_the_weeks_code_that_is_removed_does_not_keep_the_one_before_it_open_for_ever(
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock
) -> None:
    old, _ = renew_while_offline(services, town, panels, beward, clock)
    for code in town.platform("GET", f"/v1/access-codes?entrance_id={town.entrance}")["items"]:
        if code["slot"] == NEXT_MONDAY:
            town.platform("DELETE", f"/v1/access-codes/{code['id']}")
    panels.offline.clear()
    settle(services, panels)
    assert services.access_codes.typed(1, old).opens, "for the grace period"
    clock.now += DAY_MS + 1000
    settle(services, panels)
    settle(services, panels)
    assert panels.kept[beward] == {}
    assert not services.access_codes.typed(1, old).opens


def test_what_is_left_to_say_outlives_the_process_and_any_time(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock, home: tuple[int, str]
) -> None:
    settle(services, panels)
    panels.offline.add(beward)
    town.platform("DELETE", f"/v1/apartments/{town.apartment}")
    for _ in range(3):
        settle(services, panels)
        clock.now += KEPT_MS
    assert panels.opens(beward, home[1])
    panels.offline.clear()
    TellPanels(services.panel_codes, {"beward": panels}, 5000).step(threading.Event())
    assert not panels.opens(beward, home[1])
