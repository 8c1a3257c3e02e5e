"""Bulk work on groups: every action, its dry run, a second time, with members that fail, and when workers die."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.problems import ConflictError
from crm_api.services import group_work
from crm_api.services.jobs import ATTEMPTS, SILENT_MS, JobLostError
from tests.unit.crm.conftest import Api
from tests.unit.crm.furnished import everything_kept
from tests.unit.crm.test_groups import group, panels

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Clock, Town

PLAN = [{"ring_timeout_s": 15, "targets": [{"kind": "handset"}]}, {"ring_timeout_s": 30, "targets": [{"kind": "all"}]}]


@pytest.fixture
def houses(town: Town) -> int:
    """Both houses: three apartments, two entrances, two panels."""
    return int(group(town, "houses", town.house, town.second_house)["id"])


@pytest.fixture
def kind(town: Town) -> int:
    body = {"company_id": town.company, "name": "debt", "stops_calls": True}
    made = int(town.platform("POST", "/v1/block-kinds", body)["id"])
    assert made == 1, "as the tables below have it"
    return made


def asked(town: Town, group_id: int, do: str, *, dry_run: bool = False, **action: Any) -> int:
    body = {"dry_run": dry_run, "action": {"do": do, **action}}
    job = town.platform("POST", f"/v1/groups/{group_id}/jobs", body, 202)
    assert (job["state"], job["kind"], job["company_id"]) == ("waiting", f"group {do}", town.company)
    return int(job["id"])


def done(town: Town, services: Services, group_id: int, do: str, *, dry_run: bool = False, **action: Any) -> Any:
    """Have it done; the result without what a test looks at by itself."""
    job_id = asked(town, group_id, do, dry_run=dry_run, **action)
    while services.job_work.work(threading.Event()):
        pass
    job = town.platform("GET", f"/v1/jobs/{job_id}")
    assert job["state"] == "done", job
    result = job["result"]
    assert result["dry_run"] == dry_run
    assert job["rows_done"] == job["rows_total"] == result["changed"] + result["unchanged"] + result["failed"]
    return result


def counts(result: Any) -> tuple[int, int, int]:
    return result["changed"], result["unchanged"], result["failed"]


ACTIONS: list[tuple[dict[str, Any], int]] = [
    ({"do": "put_block", "kind_id": 1, "reason": "risers are replaced"}, 3),
    ({"do": "set_ring_plan", "name": "Handset first", "stages": PLAN}, 2),
    ({"do": "switch_accounts", "enabled": False}, 2),
    ({"do": "switch_panels", "enabled": False}, 2),
    ({"do": "renew_codes"}, 2),
]


@pytest.mark.parametrize(("action", "changed"), ACTIONS, ids=[action["do"] for action, _ in ACTIONS])
@pytest.mark.usefixtures("kind")
def test_a_dry_run_tells_what_would_be_changed_and_changes_nothing(
    town: Town, services: Services, houses: int, action: dict[str, Any], changed: int
) -> None:
    database = services.jobs.database
    before = everything_kept(database)
    result = done(town, services, houses, dry_run=True, **action)
    assert result["changed"] == changed
    after = everything_kept(database)
    assert {name for name in after if after[name] != before[name]} == {"jobs", "audit_log"}
    assert len(after["audit_log"]) == len(before["audit_log"]) + 1, "that it was asked for, and nothing else"
    assert counts(done(town, services, houses, **action)) == counts(result), "the same comes of it then"


def test_a_block_is_put_on_once_and_taken_off_again(town: Town, services: Services, houses: int, kind: int) -> None:
    town.platform("POST", "/v1/blocks", {"apartment_id": town.neighbour, "kind_id": kind, "reason": "of his own"})
    assert town.plan("p1", "12")["outcome"] == "ring"
    assert counts(done(town, services, houses, "put_block", kind_id=kind, reason="risers")) == (2, 1, 0)
    assert town.plan("p1", "12")["outcome"] != "ring"
    reasons = [block["reason"] for block in town.platform("GET", "/v1/blocks?in_force=true")["items"]]
    assert sorted(reasons) == ["of his own", "risers", "risers"]
    assert counts(done(town, services, houses, "put_block", kind_id=kind, reason="risers")) == (0, 3, 0)
    assert counts(done(town, services, houses, "lift_blocks", kind_id=kind, reason="done")) == (3, 0, 0)
    assert counts(done(town, services, houses, "lift_blocks", kind_id=kind, reason="done")) == (0, 3, 0)
    assert town.plan("p1", "12")["outcome"] == "ring"
    assert {block["lift_reason"] for block in town.platform("GET", "/v1/blocks")["items"]} == {"done"}


def test_a_block_that_has_not_begun_is_removed(
    town: Town, services: Services, clock: Clock, houses: int, kind: int
) -> None:
    later: dict[str, Any] = {"starts_at_ms": clock.now + 3_600_000, "ends_at_ms": clock.now + 7_200_000}
    assert counts(done(town, services, houses, "put_block", kind_id=kind, reason="later", **later)) == (3, 0, 0)
    assert counts(done(town, services, houses, "put_block", kind_id=kind, reason="later", **later)) == (0, 3, 0)
    assert counts(done(town, services, houses, "lift_blocks", kind_id=kind, reason="off")) == (3, 0, 0)
    assert town.platform("GET", "/v1/blocks")["items"] == []


def test_houses_get_ring_plans_of_their_own_and_apartments_theirs(town: Town, services: Services, houses: int) -> None:
    plan: dict[str, Any] = {"name": "Handset first", "stages": PLAN}
    assert counts(done(town, services, houses, "set_ring_plan", **plan)) == (2, 0, 0)
    assert [stage["ring_timeout_s"] for stage in town.plan("p1", "12")["stages"]] == [15, 30]
    assert counts(done(town, services, houses, "set_ring_plan", **plan)) == (0, 2, 0)
    assert counts(done(town, services, houses, "set_ring_plan", **plan | {"stages": PLAN[1:]})) == (2, 0, 0)
    homes = int(group(town, "apartments", town.apartment)["id"])
    assert counts(done(town, services, homes, "set_ring_plan", **plan)) == (1, 0, 0)
    assert [len(town.plan("p1", number)["stages"]) for number in ("12", "13")] == [2, 1]
    assert counts(done(town, services, homes, "drop_ring_plan")) == (1, 0, 0)
    assert counts(done(town, services, houses, "drop_ring_plan")) == (2, 0, 0)
    assert counts(done(town, services, houses, "drop_ring_plan")) == (0, 2, 0)
    assert town.platform("GET", "/v1/ring-plans")["items"] == []


def test_accounts_are_switched_by_kind(town: Town, services: Services, houses: int) -> None:
    handsets: dict[str, Any] = {"enabled": False, "kinds": ["handset"]}
    assert counts(done(town, services, houses, "switch_accounts", **handsets)) == (2, 1, 0)
    shown = {a["account"]: a["enabled"] for a in town.platform("GET", "/v1/accounts")["items"]}
    assert (shown["h12"], shown["h13"], shown["a12"], shown["p1"]) == (False, False, True, True)
    assert counts(done(town, services, houses, "switch_accounts", enabled=True)) == (2, 1, 0)


def test_panels_are_switched_of_a_group_of_panels_and_of_those_that_serve_houses(
    town: Town, services: Services, houses: int
) -> None:
    one = int(group(town, "panels", panels(town)["p1"])["id"])
    assert counts(done(town, services, one, "switch_panels", enabled=False)) == (1, 0, 0)
    assert counts(done(town, services, houses, "switch_panels", enabled=False)) == (1, 1, 0)
    assert [town.platform("GET", f"/v1/accounts/{name}")["enabled"] for name in ("p1", "p2")] == [False, False]
    homes = int(group(town, "apartments", town.apartment)["id"])
    body = {"action": {"do": "switch_panels", "enabled": True}}
    refused = town.platform("POST", f"/v1/groups/{homes}/jobs", body, 422)
    assert [error["field"] for error in refused["errors"]] == ["action.do"]


@pytest.mark.parametrize("of", ["houses", "panels", "apartments"])
def test_codes_are_renewed_out_of_turn_one_for_each_entrance(town: Town, services: Services, of: str) -> None:
    members = {"houses": [town.house], "panels": [panels(town)["p1"]], "apartments": [town.apartment, town.neighbour]}
    made = int(group(town, of, *members[of])["id"])
    assert counts(done(town, services, made, "renew_codes")) == (1, 0, 0)
    assert counts(done(town, services, made, "renew_codes")) == (1, 0, 0), "a new request, a new code"
    codes = town.platform("GET", f"/v1/access-codes?entrance_id={town.entrance}")["items"]
    assert len(codes) == 2
    renewals = [e for e in town.platform("GET", "/v1/audit")["items"] if e["action"] == "renew"]
    assert {(e["who"], e["after"]["entrance_id"]) for e in renewals} == {("test", town.entrance)}


def test_a_member_that_fails_is_told_and_the_others_get_theirs(
    town: Town, services: Services, houses: int, kind: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    blocks: Any = services.group_work._actions._blocks
    create = blocks.create

    def break_late(tenant: Any, new: Any) -> Any:
        made = create(tenant, new)
        if new.apartment_id == town.neighbour:
            raise ConflictError("the neighbour objects")
        if new.apartment_id == town.apartment:
            raise RuntimeError("a fault")
        return made

    monkeypatch.setattr(blocks, "create", break_late)
    result = done(town, services, houses, "put_block", kind_id=kind, reason="risers")
    assert counts(result) == (1, 0, 2)
    assert [(p["noun"], p["id"], p["problem"]) for p in result["problems"]] == [
        ("apartment", town.apartment, "internal"),
        ("apartment", town.neighbour, "conflict"),
    ]
    assert result["problems"][1]["detail"] == "the neighbour objects"
    kept = [block["apartment_id"] for block in town.platform("GET", "/v1/blocks")["items"]]
    assert len(kept) == 1, "what was half-done to the two is undone"
    assert not {town.apartment, town.neighbour} & set(kept)


def test_the_members_are_those_of_the_moment_of_the_request(
    town: Town, services: Services, houses: int, kind: int
) -> None:
    asked(town, houses, "put_block", kind_id=kind, reason="risers")
    town.platform("DELETE", "/v1/accounts/h13")
    town.platform("DELETE", f"/v1/apartments/{town.neighbour}")
    town.platform("DELETE", f"/v1/groups/{houses}")
    assert services.job_work.work(threading.Event())
    (job,) = town.platform("GET", "/v1/jobs?kind=group%20put_block")["items"]
    assert counts(job["result"]) == (2, 0, 1)
    assert job["result"]["problems"][0]["problem"] == "not-found"


class WorkerKilledError(BaseException):
    """Stands for kill -9: nothing is tidied up."""


@pytest.mark.usefixtures("kind")
def test_a_killed_workers_work_goes_on_where_it_was(
    town: Town, services: Services, clock: Clock, houses: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(group_work, "CHUNK", 1)
    job_id = asked(town, houses, "put_block", kind_id=1, reason="risers")
    blocks: Any = services.group_work._actions._blocks
    create, made = blocks.create, []

    def die_at_the_second(tenant: Any, new: Any) -> Any:
        answer = create(tenant, new)
        made.append(new.apartment_id)
        if len(made) == 2:
            raise WorkerKilledError
        return answer

    with monkeypatch.context() as patched:
        patched.setattr(blocks, "create", die_at_the_second)
        with pytest.raises(WorkerKilledError):
            services.job_work.work(threading.Event())
    running = town.platform("GET", f"/v1/jobs/{job_id}")
    assert (running["state"], running["rows_done"], counts(running["result"])) == ("running", 1, (1, 0, 0))
    assert len(town.platform("GET", "/v1/blocks")["items"]) == 1
    clock.now += SILENT_MS
    assert services.job_work.work(threading.Event())
    ended = town.platform("GET", f"/v1/jobs/{job_id}")
    assert (ended["state"], ended["attempts"], counts(ended["result"])) == ("done", 2, (3, 0, 0))
    assert len(town.platform("GET", "/v1/blocks")["items"]) == 3


def test_a_worker_that_wakes_up_late_changes_nothing(
    town: Town, services: Services, clock: Clock, houses: int, kind: int
) -> None:
    asked(town, houses, "put_block", kind_id=kind, reason="risers")
    slow = services.jobs.take()
    assert slow is not None
    clock.now += SILENT_MS
    assert services.job_work.work(threading.Event())
    with pytest.raises(JobLostError):
        services.group_work.do(slow, threading.Event())
    assert len(town.platform("GET", "/v1/blocks")["items"]) == 3


def test_work_that_has_to_stop_is_given_back_and_that_of_lost_workers_ends(
    town: Town, services: Services, clock: Clock, houses: int, kind: int
) -> None:
    job_id = asked(town, houses, "put_block", kind_id=kind, reason="risers")
    stopped = threading.Event()
    stopped.set()
    assert services.job_work.work(stopped)
    assert town.platform("GET", f"/v1/jobs/{job_id}")["state"] == "waiting"
    for _ in range(ATTEMPTS):
        taken = services.jobs.take()
        assert taken is not None
        services.jobs.tell(taken, 0, {"dry_run": False, "changed": 0, "unchanged": 0, "failed": 0, "problems": []})
        clock.now += SILENT_MS
    assert not services.job_work.work(threading.Event())
    failed = town.platform("GET", f"/v1/jobs/{job_id}")
    assert failed["state"] == "failed"
    assert "a part was done" in failed["result"]["error"]


def test_the_same_request_with_its_key_is_one_job(town: Town, houses: int) -> None:
    body = {"action": {"do": "renew_codes"}}
    headers = {**town.platform._headers, "Idempotency-Key": "monday"}
    path = f"/v1/groups/{houses}/jobs"
    first, second = (town.client.simulate_post(path, json=body, headers=headers) for _ in range(2))
    assert (first.status_code, second.status_code) == (202, 202)
    assert first.json["id"] == second.json["id"]
    assert first.headers["location"] == f"/v1/jobs/{first.json['id']}"
    other = town.client.simulate_post(path, json=body | {"dry_run": True}, headers=headers)
    assert other.json["type"].endswith("idempotency-key-reused")


@pytest.mark.parametrize(
    ("action", "field"),
    [
        ({"do": "explode"}, "action"),
        ({"kind_id": 1}, "action"),
        ({"do": "put_block", "reason": "x"}, "action.kind_id"),
        ({"do": "put_block", "kind_id": "1", "reason": "x"}, "action.kind_id"),
        ({"do": "put_block", "kind_id": 1, "reason": "x", "enabled": True}, "action.enabled"),
        ({"do": "put_block", "kind_id": 1, "reason": "x", "ends_at_ms": 5}, "action.ends_at_ms"),
        ({"do": "set_ring_plan", "stages": []}, "action.stages"),
        (
            {"do": "set_ring_plan", "stages": [{"ring_timeout_s": 5, "targets": [{"account": "p1"}]}]},
            "action.stages.0.targets.0.account",
        ),
        ({"do": "switch_accounts", "enabled": True, "kinds": ["panel"]}, "action.kinds.0"),
    ],
)
@pytest.mark.usefixtures("kind")
def test_what_is_wrong_is_named_and_no_job_is_made(town: Town, houses: int, action: dict[str, Any], field: str) -> None:
    refused = town.platform("POST", f"/v1/groups/{houses}/jobs", {"action": action}, 422)
    assert [error["field"] for error in refused["errors"]] == [field]
    assert town.platform("GET", "/v1/jobs")["items"] == []


def test_an_empty_group_and_anothers_things_are_refused(town: Town, services: Services, houses: int, kind: int) -> None:
    empty = int(group(town, "panels")["id"])
    town.platform("POST", f"/v1/groups/{empty}/jobs", {"action": {"do": "renew_codes"}}, 409)
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    strangers_kind = town.platform("POST", "/v1/block-kinds", {"company_id": other, "name": "debt"})["id"]
    block = {"do": "put_block", "kind_id": strangers_kind, "reason": "x"}
    town.platform("POST", f"/v1/groups/{houses}/jobs", {"action": block}, 404)
    desk = town.platform("POST", "/v1/accounts", {"kind": "concierge", "company_id": other})["account"]
    plan = {"do": "set_ring_plan", "stages": [{"ring_timeout_s": 5, "targets": [{"account": desk}]}]}
    town.platform("POST", f"/v1/groups/{houses}/jobs", {"action": plan}, 422)
    stranger = Api(town.client, services.tokens.create("others", "operator", "Others"))
    stranger("POST", f"/v1/groups/{houses}/jobs", {"action": {"do": "renew_codes"}}, 404)
    stranger("POST", f"/v1/groups/{houses}/jobs", {"action": block | {"kind_id": kind}}, 404)
    assert town.platform("GET", "/v1/jobs")["items"] == []
