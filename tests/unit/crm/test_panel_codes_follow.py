"""What stands on a panel that keeps codes is decided anew when the panel or a block changes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.panel_codes import Outcome
from tests.unit.crm.code_panels import DAY_MS, MONDAY, NEXT_MONDAY, FakePanels, renew, renew_while_offline, settle
from tests.unit.crm.query_plans import reads_of

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town

NEW_DEVICE = "10.0.0.9"


@pytest.fixture
def other_entrance(town: Town) -> int:
    """Where the panel may go."""
    body = {"house_id": town.house, "number": 2}
    made: int = town.platform("POST", "/v1/entrances", body)["id"]
    return made


@pytest.fixture
def stopping(town: Town) -> int:
    """A kind of block that stops codes."""
    kind = {"company_id": town.company, "name": "debt", "stops_codes": True}
    made: int = town.platform("POST", "/v1/block-kinds", kind)["id"]
    return made


def on_entrance(entrance: int) -> dict[str, Any]:
    return {"places": [{"entrance_id": entrance}]}


@pytest.mark.parametrize("what", [{"address": NEW_DEVICE}, {"maker": "Beward"}, {"model": "DKS15374"}])
def test_another_device_in_the_place_of_one_gets_its_codes(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock, what: dict[str, str]
) -> None:
    old = renew(services, town, MONDAY)
    settle(services, panels)
    clock.now += 7 * DAY_MS
    new = renew(services, town, NEXT_MONDAY)
    settle(services, panels)
    panels.kept.clear()
    town.platform("PATCH", "/v1/panels/1", what)
    waiting = town.platform("GET", "/v1/panel-codes?state=waiting")["items"]
    assert {row["wanted"] for row in waiting} == {"present"}
    settle(services, panels)
    there = what.get("address", beward)
    assert panels.opens(there, new)
    assert panels.opens(there, old), "for the grace period"
    clock.now += DAY_MS + 1000
    settle(services, panels)
    settle(services, panels)
    assert list(panels.kept[there].values()) == [new]


def test_a_device_that_stays_is_told_nothing_again(
    town: Town, services: Services, panels: FakePanels, beward: str
) -> None:
    renew(services, town, MONDAY)
    settle(services, panels)
    commands = panels.commands
    town.platform("PATCH", "/v1/panels/1", {"name": "Front", "address": beward, "driver": "beward"})
    settle(services, panels)
    assert panels.commands == commands


@pytest.mark.parametrize("error", ["", "the panel did not answer"])
def test_what_the_old_device_answered_late_does_not_count_for_the_new_one(
    town: Town, services: Services, panels: FakePanels, beward: str, error: str
) -> None:
    code = renew(services, town, MONDAY)
    services.panel_codes.sweep()
    (errand,) = services.panel_codes.due(10)
    assert errand.access is not None
    assert errand.access.address == beward
    town.platform("PATCH", "/v1/panels/1", {"address": NEW_DEVICE})
    services.panel_codes.settle([Outcome(errand, error)])
    settle(services, panels)
    assert panels.opens(NEW_DEVICE, code)


def test_a_panel_that_went_elsewhere_opens_to_the_codes_of_there_alone(
    town: Town, services: Services, panels: FakePanels, beward: str, other_entrance: int
) -> None:
    here = renew(services, town, MONDAY)
    there = town.platform("POST", f"/v1/entrances/{other_entrance}/renew-code")["code"]
    settle(services, panels)
    assert panels.opens(beward, here)
    for place, right, wrong in ((other_entrance, there, here), (town.entrance, here, there)):
        town.platform("PATCH", "/v1/panels/1", on_entrance(place))
        settle(services, panels)
        settle(services, panels)
        assert panels.opens(beward, right)
        assert not panels.opens(beward, wrong)
        assert services.access_codes.typed(1, right).opens
        assert not services.access_codes.typed(1, wrong).opens


def test_a_panel_that_went_elsewhere_before_codes_followed_is_put_right(
    town: Town, services: Services, panels: FakePanels, beward: str, other_entrance: int
) -> None:
    code = renew(services, town, MONDAY)
    settle(services, panels)
    services.panel_codes.database.rows("UPDATE panel_places SET entrance_id = ? WHERE panel_id = 1", (other_entrance,))
    settle(services, panels)
    assert not panels.opens(beward, code)


def test_a_panel_that_went_and_came_back_while_it_was_offline_keeps_its_code_at_one_place(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, other_entrance: int, clock: Clock
) -> None:
    code = renew(services, town, MONDAY)
    settle(services, panels)
    panels.offline.add(beward)
    for place in (other_entrance, town.entrance):
        town.platform("PATCH", "/v1/panels/1", on_entrance(place))
        settle(services, panels)
    panels.offline.clear()
    clock.now += DAY_MS
    settle(services, panels)
    assert panels.kept[beward] == {1: code}


@pytest.mark.usefixtures("beward")
def test_a_device_elsewhere_is_never_told_the_code_of_where_the_panel_was(
    town: Town, services: Services, panels: FakePanels, other_entrance: int
) -> None:
    renew(services, town, MONDAY)
    settle(services, panels)
    town.platform("PATCH", "/v1/panels/1", {"address": NEW_DEVICE, **on_entrance(other_entrance)})
    assert {errand.wanted for errand in services.panel_codes.due(10)} == {"absent"}, "before the next sweep, too"


def test_an_old_code_does_not_wait_for_a_panel_that_went_elsewhere(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, other_entrance: int, clock: Clock
) -> None:
    town.platform("PATCH", "/v1/panels/2", {"driver": "generic", **on_entrance(town.entrance)})
    old, _ = renew_while_offline(services, town, panels, beward, clock)
    town.platform("PATCH", "/v1/panels/1", on_entrance(other_entrance))
    settle(services, panels)
    assert services.access_codes.typed(2, old).opens, "for the grace period"
    clock.now += DAY_MS + 1000
    assert not services.access_codes.typed(2, old).opens


def test_a_block_keeps_the_codes_of_its_apartment_off_panels_while_it_lasts(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock, stopping: int
) -> None:
    """It begins and ends by the clock alone."""
    of_home, of_house = (
        town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance, **home})["code"]
        for home in ({"apartment_id": town.apartment}, {})
    )
    starts_at_ms = clock.now + DAY_MS
    body = {"apartment_id": town.apartment, "kind_id": stopping, "reason": "owes", "starts_at_ms": starts_at_ms}
    town.platform("POST", "/v1/blocks", {**body, "ends_at_ms": starts_at_ms + DAY_MS})
    for now_ms, opens in ((clock.now, True), (starts_at_ms, False), (starts_at_ms + DAY_MS, True)):
        clock.now = now_ms
        settle(services, panels)
        assert panels.opens(beward, of_home) is opens
        assert panels.opens(beward, of_house)
        assert services.access_codes.typed(1, of_home).opens is opens


def test_a_code_that_is_stopped_when_it_is_made_reaches_no_panel(
    town: Town, services: Services, panels: FakePanels, beward: str, stopping: int
) -> None:
    block = {"apartment_id": town.apartment, "kind_id": stopping, "reason": "owes"}
    town.platform("POST", "/v1/blocks", block)
    body = {"entrance_id": town.entrance}
    town.platform("POST", "/v1/access-codes", {**body, "apartment_id": town.apartment})
    of_others = [
        town.platform("POST", "/v1/access-codes", {**body, **home})["code"]
        for home in ({"apartment_id": town.neighbour}, {})
    ]
    settle(services, panels)
    assert list(panels.kept[beward].values()) == of_others


@pytest.mark.parametrize("online", [True, False])
@pytest.mark.parametrize("how", ["lifted", "removed", "another kind"])
def test_a_code_comes_back_to_the_panel_however_its_block_ends(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock, stopping: int, how: str, online: bool
) -> None:
    made = {"entrance_id": town.entrance, "apartment_id": town.apartment}
    code = town.platform("POST", "/v1/access-codes", made)["code"]
    settle(services, panels)
    if not online:
        panels.offline.add(beward)
    body = {"apartment_id": town.apartment, "kind_id": stopping, "reason": "owes"}
    block = town.platform("POST", "/v1/blocks", body)["id"]
    settle(services, panels)
    assert panels.opens(beward, code) is not online
    if how == "lifted":
        town.platform("POST", f"/v1/blocks/{block}/lift", {"reason": "paid"})
    elif how == "removed":
        town.platform("DELETE", f"/v1/blocks/{block}")
    else:
        town.platform("PATCH", f"/v1/block-kinds/{stopping}", {"stops_codes": False})
    settle(services, panels)
    panels.offline.clear()
    clock.now += DAY_MS
    settle(services, panels)
    assert panels.kept[beward] == {1: code}
    (row,) = town.platform("GET", "/v1/panel-codes")["items"]
    assert (row["wanted"], row["state"]) == ("present", "done")


def test_a_sweep_reads_neither_all_codes_nor_all_that_panels_ever_had(services: Services) -> None:
    """Of 22,000 panels it comes every five seconds; both tables keep what has ended for three months."""
    read = reads_of(services.panel_codes.database, services.panel_codes.sweep)
    of_a_part = ("panel_codes_place", "panel_codes_due")
    scanned = {words for words in read if words.startswith("SCAN") and not words.endswith(of_a_part)}
    assert scanned == {"SCAN panels", "SCAN d", "SCAN bk"}, "panels, and kinds of blocks"
    assert any("blocks_kind" in words for words in read)
