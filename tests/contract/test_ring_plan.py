"""The CRM's half of the ring plan and the call side's half are equal (docs/contracts.md, 6)."""

from __future__ import annotations

from typing import get_args

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from agi_apps import ring_plan as read
from agi_apps.applications.ring_all import decide
from agi_apps.plan_lookup import FoundPlan
from agi_apps.variables import mset_arguments
from crm_api.domain import kinds
from crm_api.domain import ring_plan as written
from crm_api.domain.inputs import base

ACCOUNT = st.from_regex(r"[a-z0-9][a-z0-9-]{1,31}", fullmatch=True)
NAME = st.text(st.characters(min_codepoint=32, exclude_characters="\x7f", exclude_categories=["Cs"]), max_size=140)
TARGET = st.builds(
    written.Target,
    account=ACCOUNT,
    kind=st.sampled_from(kinds.ACCOUNT_KINDS),
    may_open=st.booleans(),
    number=st.none() | st.from_regex(r"\+[1-9][0-9]{2,14}", fullmatch=True),
    quiet=st.lists(st.tuples(st.integers(0, base.MAX_MS), st.integers(0, base.MAX_MS)), max_size=4),
)
STAGE = st.builds(
    written.Stage,
    ring_timeout_s=st.integers(5, 120),
    targets=st.lists(TARGET, max_size=4),
    on_refusal=st.sampled_from(get_args(written.OnRefusal)),
    confirm=st.booleans(),
)
DOOR = st.builds(
    written.Door,
    door_id=st.integers(1, base.MAX_ID),
    method=st.sampled_from(get_args(written.DoorMethod)),
    dtmf=st.none() | st.from_regex(r"[0-9A-D*#]{1,8}", fullmatch=True),
)
PLAN = st.builds(
    written.RingPlan,
    panel=ACCOUNT,
    dialled=st.from_regex(r"[0-9*#]{1,12}", fullmatch=True),
    issued_at_ms=st.integers(0, base.MAX_MS),
    outcome=st.sampled_from(get_args(written.Outcome)),
    apartment_id=st.none() | st.integers(1, base.MAX_ID),
    company_id=st.none() | st.integers(1, base.MAX_ID),
    caller_name=NAME,
    language=st.from_regex(r"[a-z]{2,3}(-[A-Z]{2})?", fullmatch=True),
    talk_limit_s=st.integers(10, 3600),
    stages=st.lists(STAGE, max_size=3),
    door=st.none() | DOOR,
    ring_limit_s=st.integers(5, 600),
    caller=st.sampled_from(get_args(written.Caller)),
    caller_may_open=st.booleans(),
    message_limit_s=st.integers(0, 180),
    records=st.booleans(),
    left_out=st.dictionaries(st.sampled_from(get_args(written.LeftOut)), st.lists(ACCOUNT, max_size=3), max_size=3),
)


@given(PLAN)
def test_whatever_the_crm_may_write_the_call_side_reads(plan: written.RingPlan) -> None:
    heard = read.decode_plan(msgspec.json.encode(plan), plan.panel, plan.dialled)
    for field in heard.__struct_fields__:
        ours, theirs = getattr(heard, field), getattr(plan, field)
        assert msgspec.json.encode(ours) == msgspec.json.encode(theirs), field


def test_a_full_stage_fits_the_dialplan() -> None:
    targets = [written.Target(f"account-{number:024}", "handset", may_open=True) for number in range(30)]
    plan = written.RingPlan(
        panel="p", dialled="1", issued_at_ms=0, outcome="ring", apartment_id=1, company_id=1, caller_name="Ж" * 200,
        language="pt-BR", talk_limit_s=60, stages=[written.Stage(30, targets)], door=None,
    )  # fmt: skip
    heard = read.decode_plan(msgspec.json.encode(plan), "p", "1")
    arguments = mset_arguments(decide(FoundPlan(heard, "crm", 0), 0), limit_bytes=1200)
    assert sum(argument.count("account-") for argument in arguments) == written.MAX_ACCOUNTS_PER_STAGE


@given(PLAN)
def test_whatever_the_crm_may_write_fits_the_dialplan(plan: written.RingPlan) -> None:
    heard = read.decode_plan(msgspec.json.encode(plan), plan.panel, plan.dialled)
    assert mset_arguments(decide(FoundPlan(heard, "crm", plan.issued_at_ms), 0), limit_bytes=900)
