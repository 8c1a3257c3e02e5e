"""The plan that FastAGI tells of a call is what the CRM keeps and explains (docs/contracts.md, 6 and 7)."""

from __future__ import annotations

from pathlib import Path
from typing import get_args

import msgspec
from hypothesis import given

from agi_apps import ring_plan as read
from agi_apps import stages, told_plans
from agi_apps.plan_lookup import FoundPlan
from crm_api.domain import call_record, told_plan
from crm_api.domain import ring_plan as written
from crm_api.services.call_recording import events_of
from tests.contract.test_ring_plan import PLAN

CONTRACTS = (Path(__file__).parents[2] / "docs/contracts.md").read_text()


@given(PLAN)
def test_whatever_plan_is_told_is_kept_as_it_was_told(plan: written.RingPlan) -> None:
    heard = read.decode_plan(msgspec.json.encode(plan), plan.panel, plan.dialled)
    told = told_plans.plan_event("c", FoundPlan(heard, "redis", 0), plan.issued_at_ms)
    (event,) = events_of("1-0", msgspec.json.encode([told]))
    expected = {name: value for name, value in told.items() if name != "call_id"}
    assert msgspec.json.decode(call_record.line_of(event)) == msgspec.json.decode(msgspec.json.encode(expected))


def test_every_reason_to_leave_an_account_out_is_in_the_contract_and_has_a_sentence() -> None:
    reasons = {*get_args(written.LeftOut), told_plans.QUIET, told_plans.NO_TRUNK}
    assert set(told_plan.SENTENCES) == reasons
    assert {reason for reason in reasons if f"`{reason}`" not in CONTRACTS} == set()


def test_names_of_a_told_plan_are_the_same_on_both_sides() -> None:
    assert (told_plan.QUIET, told_plan.NO_TRUNK) == (told_plans.QUIET, told_plans.NO_TRUNK)
    assert told_plan.PASSED_ON_FROM == stages.PASSED_ON_FROM
    assert str(written.MAX_ACCOUNTS_PER_STAGE) in told_plan.SENTENCES["too_many"]


def test_a_plan_of_an_older_crm_is_read_as_one_that_leaves_nobody_out() -> None:
    plan = written.RingPlan(
        panel="p", dialled="1", issued_at_ms=0, outcome="ring", apartment_id=1, company_id=1, caller_name="p",
        language="en", talk_limit_s=60, stages=[], door=None,
    )  # fmt: skip
    old = msgspec.to_builtins(plan)
    del old["left_out"]
    assert read.decode_plan(msgspec.json.encode(old), "p", "1").left_out == {}
