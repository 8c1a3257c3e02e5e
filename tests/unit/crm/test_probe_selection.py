"""Whom a campaign calls, what it has still to call, and what may be changed when."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.crm.probe_world import ALWAYS, DAY_MS

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town
    from tests.unit.crm.probe_world import World

HOURS = [{"day": "mon", "from": "10:00", "until": "12:00"}]
PATH = "/v1/probe-campaigns"


def draft(town: Town, selection: Any, **more: Any) -> Any:
    body = {"company_id": town.company, "name": "x", "hours": ALWAYS, "selection": selection, **more}
    return town.platform("POST", PATH, body)


def whom(town: Town, selection: Any) -> set[int]:
    """Apartments that a campaign calls or leaves out, once it is started."""
    campaign = draft(town, selection)["id"]
    asked = town.platform("GET", f"{PATH}/{campaign}/forecast")["apartments"]
    progress = town.platform("POST", f"{PATH}/{campaign}/start")["progress"]
    assert asked == progress["waiting"] + progress["left_out"]
    calls = town.platform("GET", f"{PATH}/{campaign}/forecast")["first"]
    town.platform("POST", f"{PATH}/{campaign}/stop") if progress["waiting"] else None
    return {call["apartment_id"] for call in calls}


def group(town: Town, kind: str, *members: int) -> Any:
    made = town.platform("POST", "/v1/groups", {"company_id": town.company, "kind": kind, "name": kind})["id"]
    town.platform("POST", f"/v1/groups/{made}/members", {"add": list(members)})
    return made


def test_houses_groups_of_every_kind_apartments_by_name_or_all(town: Town) -> None:
    both = {town.apartment, town.neighbour}
    assert whom(town, {}) == both
    assert whom(town, {"house_ids": [town.house]}) == both
    assert whom(town, {"house_ids": [town.second_house]}) == set(), "only a gate leads there"
    assert whom(town, {"apartment_ids": [town.neighbour]}) == {town.neighbour}
    assert whom(town, {"group_ids": [group(town, "apartments", town.apartment)]}) == {town.apartment}
    assert whom(town, {"group_ids": [group(town, "houses", town.house)]}) == both
    panel = town.platform("GET", "/v1/panels?account=p1")["items"][0]["id"]
    assert whom(town, {"group_ids": [group(town, "panels", panel)]}) == both
    assert whom(town, {"house_ids": [town.second_house], "apartment_ids": [town.apartment]}) == {town.apartment}


def test_who_was_probed_of_late_is_not_probed_again(town: Town, world: World, clock: Clock) -> None:
    world.step()
    world.told(answered_at_ms=clock.now, grade=4)
    services: Services = world.services
    row = services.jobs.database.row("SELECT id FROM probe_calls")
    assert row is not None
    world.step()
    services.jobs.database.rows("UPDATE probe_calls SET verdict = 'good'")
    selection = {"not_probed_days": 90}
    assert whom(town, selection) == {town.neighbour}
    clock.now += 91 * DAY_MS
    assert whom(town, selection) == {town.apartment, town.neighbour}


def test_others_houses_groups_and_apartments_are_none(town: Town) -> None:
    for name in ("house_ids", "group_ids", "apartment_ids"):
        body = {"company_id": town.company, "name": "x", "hours": HOURS, "selection": {name: [999_999]}}
        assert "999999" in town.platform("POST", PATH, body, 404)["detail"]
        made = draft(town, {})["id"]
        town.platform("PATCH", f"{PATH}/{made}", {"selection": {name: [999_999]}}, 404)


def test_a_campaign_that_runs_tells_what_it_has_still_to_call(town: Town, world: World, clock: Clock) -> None:
    path = f"{PATH}/{world.campaign}/forecast"
    assert town.platform("GET", path)["calls"] == 1
    world.step()
    told = town.platform("GET", path)
    assert (told["calls"], told["ends_at_ms"]) == (0, None), "its only apartment is being called"
    world.told(reason=3)
    world.step()
    (again,) = town.platform("GET", path)["first"]
    assert again["at_ms"] >= clock.now + DAY_MS, "its next try is a day later"
    town.platform("POST", f"{PATH}/{world.campaign}/stop")
    assert town.platform("GET", path)["calls"] == 0


def test_a_draft_changes_and_a_paused_campaign_changes_when_it_calls(town: Town, clock: Clock) -> None:
    monday_ms = clock.now = 1_795_428_000_000  # 2026-11-23 10:00 UTC
    path = f"{PATH}/{draft(town, {})['id']}"
    wanted = {"hours": HOURS, "holidays": ["2026-11-23"], "zone": "Europe/Moscow", "kind": 2,
              "selection": {"apartment_ids": [town.apartment]}}  # fmt: skip
    changed = town.platform("PATCH", path, wanted)
    assert {name: changed[name] for name in ("hours", "holidays", "zone", "kind")} | {
        "selection": {"apartment_ids": changed["selection"]["apartment_ids"]}
    } == wanted
    told = town.platform("GET", f"{path}/forecast")
    assert (told["calls"], told["begins_at_ms"]) == (1, monday_ms + 7 * DAY_MS - 3 * 3_600_000)
    town.platform("POST", f"{path}/start")
    town.platform("PATCH", path, {"holidays": []}, 409)
    town.platform("POST", f"{path}/pause")
    assert town.platform("PATCH", path, {"holidays": []})["holidays"] == []
    for field in ("kind", "selection"):
        assert field in town.platform("PATCH", path, {field: wanted[field]}, 409)["detail"]
    never = [{"day": "mon", "from": "10:00", "until": "10:01"}]
    assert "never come" in town.platform("PATCH", path, {"hours": never}, 409)["detail"]
    assert town.platform("GET", path)["hours"] == HOURS


@pytest.mark.parametrize("wrong", [{"hours": []}, {"hours": None}, {"zone": "Nowhere"}, {"selection": {"floor": 3}}])
def test_what_no_campaign_changes_to(town: Town, wrong: Any) -> None:
    town.platform("PATCH", f"{PATH}/{draft(town, {})['id']}", wrong, 422)


def test_residents_hear_the_companys_language_unless_another_is_named(town: Town) -> None:
    town.platform("PATCH", f"/v1/companies/{town.company}", {"language": "ru"})
    assert draft(town, {})["language"] == "ru"
    assert draft(town, {}, language="zh-CN")["language"] == "zh-CN"
