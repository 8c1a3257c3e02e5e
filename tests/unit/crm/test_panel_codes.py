"""Codes on their way to panels that keep them: the state of each, and what is tried again."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.adapters.panel_drivers import PanelRefusedError
from crm_api.services.code_notices import KEPT_MS
from crm_api.services.code_retention import CodeRetention
from crm_api.services.panel_codes import FIRST_RETRY_MS, Outcome
from scheduler import code_steps
from scheduler.code_steps import TellPanels

if TYPE_CHECKING:
    from crm_api.adapters.panel_drivers import PanelAccess
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town

MONDAY, NEXT_MONDAY = "2026-11-23T05:00", "2026-11-30T05:00"
DAY_MS = 86_400_000


@dataclass
class FakePanels:
    """Panels by address that keep codes at places; `offline` ones do not answer, of `odd` ones the driver raises."""

    kept: dict[str, dict[int, str]] = field(default_factory=dict)
    offline: set[str] = field(default_factory=set)
    odd: set[str] = field(default_factory=set)
    commands: int = 0

    def set_code(self, access: PanelAccess, place: int, code: str) -> None:
        self._reach(access)
        self.kept.setdefault(access.address, {})[place] = code

    def clear_code(self, access: PanelAccess, place: int) -> None:
        self._reach(access)
        self.kept.setdefault(access.address, {}).pop(place, None)

    def _reach(self, access: PanelAccess) -> None:
        self.commands += 1
        if access.address in self.odd:
            raise ValueError(access.address)
        if access.address in self.offline:
            raise PanelRefusedError(f"the panel at {access.address} did not answer")

    def opens(self, address: str, code: str) -> bool:
        return code in self.kept.get(address, {}).values()


@pytest.fixture
def panels() -> FakePanels:
    return FakePanels()


@pytest.fixture
def beward(town: Town) -> str:
    """Make the entrance's panel one that keeps codes, and a second one beside it; return the addresses."""
    town.platform("PATCH", "/v1/panels/1", {"driver": "beward", "address": "10.0.0.1"})
    return "10.0.0.1"


def settle(services: Services, panels: FakePanels) -> None:
    """Do one step of the scheduler, at a rate that tests can wait for."""
    TellPanels(services.panel_codes, {"beward": panels}, 5000).step(threading.Event())
    services.panel_codes.sweep()


def renew(services: Services, town: Town, slot: str) -> str:
    services.code_renewal.renew_company(town.company, slot, lambda _done, _total: None)
    row = services.panel_codes.database.row(
        "SELECT code_encrypted FROM access_codes WHERE slot = ? AND entrance_id = ?", (slot, town.entrance)
    )
    assert row is not None
    return services.panel_codes.context.encryption.decrypted(row[0])


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
    commands = panels.commands
    settle(services, panels)
    assert panels.commands == commands, "nothing is left to say"


def test_a_panel_that_is_offline_keeps_the_old_code_until_it_has_the_new_one(
    town: Town, services: Services, panels: FakePanels, beward: str, clock: Clock
) -> None:
    old = renew(services, town, MONDAY)
    settle(services, panels)
    panels.offline.add(beward)
    clock.now += 7 * DAY_MS
    new = renew(services, town, NEXT_MONDAY)
    settle(services, panels)
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
    old = renew(services, town, MONDAY)
    settle(services, panels)
    panels.offline.add(beward)
    clock.now += 7 * DAY_MS
    new = renew(services, town, NEXT_MONDAY)
    settle(services, panels)
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


# --- a panel or a block changes ---------------------------------------------------------------------------------------

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
    old = renew(services, town, MONDAY)
    settle(services, panels)
    panels.offline.add(beward)
    clock.now += 7 * DAY_MS
    renew(services, town, NEXT_MONDAY)
    settle(services, panels)
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


def test_a_sweep_reads_neither_all_codes_nor_all_that_panels_ever_had(
    services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of 22,000 panels it comes every five seconds; both tables keep what has ended for three months."""
    database = services.panel_codes.database
    if database.dialect != "sqlite":
        pytest.skip("how PostgreSQL reads a table depends on what is in it")
    asked: list[tuple[str, Any]] = []
    execute = database.peewee.execute_sql

    def noted(sql: str, parameters: Any = (), *more: Any) -> Any:
        asked.append((sql, parameters))
        return execute(sql, parameters, *more)

    with monkeypatch.context() as patched:
        patched.setattr(database.peewee, "execute_sql", noted)
        services.panel_codes.sweep()
    read = {row[3] for sql, given in asked for row in database.rows(f"EXPLAIN QUERY PLAN {sql}", given or ())}
    of_a_part = ("panel_codes_place", "panel_codes_due")
    scanned = {words for words in read if words.startswith("SCAN") and not words.endswith(of_a_part)}
    assert scanned == {"SCAN panels", "SCAN d", "SCAN bk"}, "panels, and kinds of blocks"
    assert any("blocks_kind" in words for words in read)
