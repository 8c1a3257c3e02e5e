from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from tests.unit.crm.conftest import Clock, Town

HOURS = [{"day": day, "from": "10:00", "until": "12:00"} for day in ("mon", "tue", "wed", "thu", "fri", "sat", "sun")]


def draft(town: Town, **more: Any) -> Any:
    return town.platform(
        "POST", "/v1/probe-campaigns", {"company_id": town.company, "name": "x", "hours": HOURS, **more}
    )


def act(town: Town, campaign: Any, verb: str, expect: int = 200) -> Any:
    return town.platform("POST", f"/v1/probe-campaigns/{campaign['id']}/{verb}", expect=expect)


def test_a_draft_tells_what_it_would_do_and_does_nothing(town: Town, clock: Clock) -> None:
    clock.now = 1_795_428_000_000  # 2026-11-23 10:00 UTC
    town.platform("PATCH", f"/v1/apartments/{town.neighbour}", {"probes_refused": True})
    campaign = draft(town)
    told = town.platform("GET", f"/v1/probe-campaigns/{campaign['id']}/forecast")
    assert told["apartments"] == 3
    assert told["left_out"] == {"the residents said no": 1, "no panel reaches it": 1}
    assert [(call["apartment_id"], call["panel"]) for call in told["first"]] == [(town.apartment, "p1")]
    assert told["ends_at_ms"] - told["begins_at_ms"] == 30_000
    assert town.platform("GET", "/v1/probe-calls")["items"] == []
    assert town.platform("GET", f"/v1/probe-campaigns/{campaign['id']}")["state"] == "draft"


def test_from_draft_to_stop(town: Town) -> None:
    campaign = draft(town)
    act(town, campaign, "pause", 409)
    started = act(town, campaign, "start")
    assert (started["state"], started["progress"]["waiting"], started["progress"]["left_out"]) == ("running", 2, 1)
    act(town, campaign, "start", 409)
    path = f"/v1/probe-campaigns/{campaign['id']}"
    town.platform("PATCH", path, {"calls_at_once": 3}, 409)
    act(town, campaign, "pause")
    assert town.platform("PATCH", path, {"calls_at_once": 3})["calls_at_once"] == 3
    assert act(town, campaign, "resume")["state"] == "running"
    town.platform("DELETE", path, expect=409)
    stopped = act(town, campaign, "stop")
    assert stopped["state"] == "stopped"
    assert stopped["finished_at_ms"]
    act(town, campaign, "resume", 409)
    town.platform("DELETE", path)


def test_a_campaign_over_nobody_is_done_at_once(town: Town) -> None:
    town.platform("PATCH", f"/v1/apartments/{town.apartment}", {"probes_refused": True})
    campaign = draft(town, selection={"apartment_ids": [town.apartment]})
    assert act(town, campaign, "start")["state"] == "done"


def test_hours_that_never_come_are_told(town: Town) -> None:
    days = [f"2026-{month:02}-{day:02}" for month in (9, 10) for day in range(1, 31)]
    campaign = draft(town, hours=[HOURS[0]], holidays=days)
    told = town.platform("GET", f"/v1/probe-campaigns/{campaign['id']}/forecast")
    assert told["begins_at_ms"] > 1_793_000_000_000, "the first Monday that is no holiday"


@pytest.mark.parametrize(
    "body",
    [
        {"hours": []},
        {"hours": [{"day": "mon", "from": "12:00", "until": "10:00"}]},
        {"hours": [{"day": "someday", "from": "10:00", "until": "12:00"}]},
        {"zone": "Nowhere"},
        {"kind": 4},
        {"selection": {"house_ids": [0]}},
        {"calls_at_once": 0},
        {"holidays": ["yesterday"]},
    ],
)
def test_what_is_no_campaign(town: Town, body: dict[str, Any]) -> None:
    whole = {"company_id": town.company, "name": "x", "hours": HOURS, **body}
    town.platform("POST", "/v1/probe-campaigns", whole, 422)
    assert town.platform("GET", "/v1/probe-campaigns")["items"] == []
