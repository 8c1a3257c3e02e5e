"""What becomes of probe calls: begun once, told once, judged, called again or given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.handset_verdict import Judgement
from crm_api.domain.probe_plan import Candidate

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town

HOURS = [{"day": "mon", "from": "10:00", "until": "12:00"}]


@pytest.fixture
def campaign(town: Town) -> Any:
    body = {"company_id": town.company, "name": "x", "hours": HOURS, "selection": {"apartment_ids": [town.apartment]}}
    made = town.platform("POST", "/v1/probe-campaigns", body)
    return town.platform("POST", f"/v1/probe-campaigns/{made['id']}/start")


@pytest.fixture
def candidate(campaign: Any, services: Services) -> Candidate:
    row = services.jobs.database.row("SELECT id FROM probe_items WHERE campaign_id = ?", (campaign["id"],))
    assert row is not None
    return Candidate(int(row[0]), "p1", 1)


def progress(town: Town, campaign: Any) -> Any:
    return town.platform("GET", f"/v1/probe-campaigns/{campaign['id']}")["progress"]


def test_a_call_begins_once(town: Town, services: Services, campaign: Any, candidate: Candidate) -> None:
    assert services.probe_results.begin(candidate) is not None
    assert services.probe_results.begin(candidate) is None
    assert progress(town, campaign)["calling"] == 1


def test_its_end_is_told_once_and_its_verdict_shown(
    town: Town, services: Services, campaign: Any, candidate: Candidate
) -> None:
    call_id = services.probe_results.begin(candidate)
    assert call_id is not None
    body = {"probe_id": call_id, "grade": 2, "answered_at_ms": 1_790_000_009_000, "packets": 900, "packets_lost": 1}
    assert town.service("POST", "/v1/probe-results", body)["kept"]
    assert not town.service("POST", "/v1/probe-results", body)["kept"]
    services.probe_results.judge(call_id, Judgement("noisy", ("a hiss",)), {"packets": 900}, "1.wav")
    services.probe_results.settle(candidate, call_id, counts=True, again_at_ms=None, done=True)
    call = town.platform("GET", f"/v1/probe-calls?campaign_id={campaign['id']}")["items"][0]
    assert (call["outcome"], call["grade"], call["verdict"], call["reasons"]) == ("answered", 2, "noisy", ["a hiss"])
    assert progress(town, campaign)["verdicts"] == {"noisy": 1}
    services.probe_results.finish(campaign["id"])
    assert town.platform("GET", f"/v1/probe-campaigns/{campaign['id']}")["state"] == "done"


@pytest.mark.parametrize(("reason", "outcome"), [(3, "no_answer"), (5, "busy"), (8, "failed"), (None, "failed")])
def test_why_nobody_answered(  # noqa: PLR0917 - fixtures and parameters
    town: Town, services: Services, campaign: Any, candidate: Candidate, reason: int | None, outcome: str
) -> None:
    call_id = services.probe_results.begin(candidate)
    town.service("POST", "/v1/probe-results", {"probe_id": call_id, "reason": reason})
    assert town.platform("GET", f"/v1/probe-calls?campaign_id={campaign['id']}")["items"][0]["outcome"] == outcome


def test_one_that_gave_way_is_dropped_and_waits_again(
    town: Town, services: Services, campaign: Any, candidate: Candidate
) -> None:
    call_id = services.probe_results.begin(candidate)
    assert call_id is not None
    town.service("POST", "/v1/probe-results", {"probe_id": call_id, "answered_at_ms": 1_790_000_009_000})
    services.probe_results.end(call_id, "dropped")
    services.probe_results.settle(candidate, call_id, counts=False, again_at_ms=5, done=False)
    assert town.platform("GET", f"/v1/probe-calls?campaign_id={campaign['id']}")["items"][0]["outcome"] == "dropped"
    assert progress(town, campaign)["waiting"] == 1
    again = services.probe_results.begin(candidate)
    assert again not in {None, call_id}


def test_a_probe_that_nobody_knows(town: Town) -> None:
    town.service("POST", "/v1/probe-results", {"probe_id": 999_999}, 404)


def test_the_report_and_the_pictures(town: Town, services: Services, campaign: Any, candidate: Candidate) -> None:
    call_id = services.probe_results.begin(candidate)
    assert call_id is not None
    town.service("POST", "/v1/probe-results", {"probe_id": call_id, "grade": 2, "answered_at_ms": 1_790_000_009_000})
    measures = {"active_level_dbov": -27.5, "noise_floor_dbov": -40.0}
    services.probe_results.judge(call_id, Judgement("noisy", ("a hiss",)), measures, "1.wav")
    path = f"/v1/probe-campaigns/{campaign['id']}"
    headers = town.platform._headers
    head, row = town.client.simulate_get(f"{path}/report", headers=headers).text.splitlines()
    assert head.startswith("address,entrance,apartment")
    assert row.startswith("Lenina 1,1,12,")
    assert ",noisy,a hiss,'-27.5" in row or ",noisy,a hiss,-27.5" in row
    for of in ("course", "levels"):
        answer = town.client.simulate_get(f"{path}/picture", params={"of": of}, headers=headers)
        assert answer.headers["content-type"] == "image/svg+xml"
        assert "<svg" in answer.text
    assert town.client.simulate_get(f"{path}/picture?of=face", headers=headers).status_code == 422


def test_an_entrance_by_its_handsets(town: Town, services: Services, campaign: Any, candidate: Candidate) -> None:
    assert campaign
    call_id = services.probe_results.begin(candidate)
    assert call_id is not None
    services.probe_results.end(call_id, "answered")
    services.probe_results.judge(call_id, Judgement("noisy", ("a hiss",)), {}, None)
    view = town.platform("GET", f"/v1/entrances/{town.entrance}/handsets")
    assert view["finding"] == "single handsets: 1 of 1"
    assert [(one["number"], one["verdict"]) for one in view["handsets"]] == [(12, "noisy"), (13, None)]
