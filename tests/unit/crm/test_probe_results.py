"""What becomes of probe calls: begun once, told once, judged, called again or given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.handset_verdict import Judgement
from crm_api.domain.probe_plan import Candidate

if TYPE_CHECKING:
    from pathlib import Path

    from crm_api.bootstrap import Services
    from crm_api.domain.handset_verdict import Verdict
    from tests.unit.crm.conftest import Api, Clock, Town

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


def test_a_call_does_not_begin_before_its_time(services: Services, candidate: Candidate, clock: Clock) -> None:
    """Another scheduler has called, and this one goes by what it knew before."""
    services.jobs.database.rows("UPDATE probe_items SET not_before_ms = ?", (clock.now + 60_000,))
    assert services.probe_results.begin(candidate) is None
    clock.now += 61_000
    assert services.probe_results.begin(candidate) is not None


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


@pytest.mark.parametrize("first", [None, {"answered_at_ms": 1_790_000_009_000}, {"reason": 0}])
def test_one_that_the_call_path_has_dropped_says_nothing(
    town: Town, services: Services, campaign: Any, candidate: Candidate, first: Any
) -> None:
    call_id = services.probe_results.begin(candidate)
    assert call_id is not None
    if first is not None:
        town.service("POST", "/v1/probe-results", {"probe_id": call_id, **first})
    assert town.service("POST", "/v1/probe-results", {"probe_id": call_id, "gave_way": True})["kept"]
    assert not town.service("POST", "/v1/probe-results", {"probe_id": call_id, "answered_at_ms": 1})["kept"]
    assert town.platform("GET", f"/v1/probe-calls?campaign_id={campaign['id']}")["items"][0]["outcome"] == "dropped"


def test_one_that_was_judged_before_stays_as_it_is(
    town: Town, services: Services, campaign: Any, candidate: Candidate
) -> None:
    call_id = services.probe_results.begin(candidate)
    assert call_id is not None
    town.service("POST", "/v1/probe-results", {"probe_id": call_id, "answered_at_ms": 1_790_000_009_000})
    services.probe_results.judge(call_id, Judgement("good", ("x",)), {}, None)
    assert not town.service("POST", "/v1/probe-results", {"probe_id": call_id, "gave_way": True})["kept"]
    assert town.platform("GET", f"/v1/probe-calls?campaign_id={campaign['id']}")["items"][0]["outcome"] == "answered"


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


def test_the_report_begins_with_the_worst(town: Town, services: Services, campaign: Any, candidate: Candidate) -> None:
    verdicts: tuple[Verdict, ...] = ("good", "noisy", "dead_microphone", "no_answer", "broken_up", "line_short")
    for verdict in verdicts:
        call_id = services.probe_results.begin(candidate)
        assert call_id is not None
        services.probe_results.end(call_id, "answered")
        services.probe_results.judge(call_id, Judgement(verdict, ("x",)), {}, None)
        services.probe_results.settle(candidate, call_id, counts=True, again_at_ms=1, done=False)
    lines = town.client.simulate_get(
        f"/v1/probe-campaigns/{campaign['id']}/report", headers=town.platform._headers
    ).text.splitlines()
    found = [line.split(",")[7] for line in lines[1:]]
    assert found == ["line_short", "dead_microphone", "broken_up", "noisy", "no_answer", "good"]


def test_an_entrance_by_its_handsets(town: Town, services: Services, campaign: Any, candidate: Candidate) -> None:
    assert campaign
    call_id = services.probe_results.begin(candidate)
    assert call_id is not None
    services.probe_results.end(call_id, "answered")
    services.probe_results.judge(call_id, Judgement("noisy", ("a hiss",)), {}, None)
    view = town.platform("GET", f"/v1/entrances/{town.entrance}/handsets")
    assert view["finding"] == "too few handsets to tell: 1 of 1 bad"
    assert [(one["number"], one["verdict"]) for one in view["handsets"]] == [(12, "noisy"), (13, None)]


def hear(town: Town, call_id: int, api: Api, side: str = "both") -> Any:
    return town.client.simulate_get(f"/v1/probe-calls/{call_id}/recording?side={side}", headers=api._headers)


def test_who_hears_a_recording_is_written_down_and_in_time_nobody_does(  # noqa: PLR0917 - fixtures
    town: Town, services: Services, campaign: Any, candidate: Candidate, recordings: Path, clock: Clock
) -> None:
    assert campaign
    call_id = services.probe_results.begin(candidate)
    assert call_id is not None
    for side in ("", "-heard", "-sent"):
        (recordings / f"{call_id}{side}.wav").write_bytes(b"RIFF" + side.encode())
    assert hear(town, call_id, town.platform).status_code == 404, "it is still being recorded"
    services.probe_results.end(call_id, "answered")
    services.probe_results.judge(call_id, Judgement("good", ("x",)), {}, f"{call_id}.wav")
    call = town.platform("GET", "/v1/probe-calls")["items"][0]
    assert call["recording_kept_until_ms"] == call["ended_at_ms"] + 90 * 86_400_000
    heard = hear(town, call_id, town.platform, "heard")
    assert (heard.status_code, heard.headers["content-type"], heard.content) == (200, "audio/wav", b"RIFF-heard")
    assert hear(town, call_id, town.platform, "all").status_code == 422
    assert hear(town, call_id, town.service).status_code == 403, "the call path has nothing to listen to"
    (entry,) = town.platform("GET", f"/v1/audit?noun=probe%20call&key={call_id}")["items"]
    assert (entry["action"], entry["who"], entry["after"], entry["company_id"]) == (
        "hear", "test", {"side": "heard"}, town.company,
    )  # fmt: skip
    clock.now = call["recording_kept_until_ms"] + 1
    assert hear(town, call_id, town.platform).status_code == 404, "its file may not have been removed yet"
    clock.now = call["ended_at_ms"] + 1000
    (recordings / f"{call_id}.wav").unlink()
    assert hear(town, call_id, town.platform).status_code == 404
    assert len(town.platform("GET", "/v1/audit?noun=probe%20call")["items"]) == 1
