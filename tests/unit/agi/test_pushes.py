"""What is wished for when a stage begins, or when a message does; nobody waits for Redis."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

import msgspec

from agi_apps.pushes import Pushes
from agi_apps.redis_keys import PUSH_STREAM
from agi_apps.redis_link import RedisAway
from agi_apps.variables import Decision, Variable
from tests.unit.agi.stand_ins import NOW_MS

if TYPE_CHECKING:
    from agi_apps.application import Outputs
    from agi_apps.redis_link import RedisLink
    from agi_apps.ring_plan import RingPlan


class _Redis:
    def __init__(self) -> None:
        self.is_away = False
        self.commands: list[tuple[Any, ...]] = []

    def pipeline(self, commands: list[tuple[Any, ...]]) -> None:
        if self.is_away:
            raise RedisAway("away")
        self.commands += commands


class _Plan:
    panel, dialled, caller_name = "p1", "12", "Entrance 1"


def _wished(outputs: Outputs, *, away: bool = False) -> list[dict[str, Any]]:
    redis = _Redis()
    redis.is_away = away
    pushes = Pushes(cast("RedisLink", redis))
    pushes.wake("c1", cast("RingPlan", _Plan()), outputs, NOW_MS)
    pushes.deliver()
    redis.is_away = False
    pushes.deliver()
    assert all(command[:2] == ("XADD", PUSH_STREAM) for command in redis.commands)
    return [msgspec.json.decode(command[-1]) for command in redis.commands]


_STAGE: dict[Variable, str] = {
    Variable.DECISION: Decision.DIAL, Variable.ACCOUNTS: "h1,~a1,~a2", Variable.STAGE: "0",
    Variable.RING_TIMEOUT_S: "30",
}  # fmt: skip


def test_sleepers_of_a_stage_are_woken() -> None:
    (wish,) = _wished(_STAGE)
    assert (wish["accounts"], wish["stage"], wish["ring_timeout_s"]) == (["a1", "a2"], 0, 30)
    assert "wants" not in wish
    assert wish["confirm"] is False


def test_a_wish_says_whether_a_phone_of_the_stage_is_asked_for_a_key() -> None:
    phones = {**_STAGE, Variable.DECISION: Decision.PHONE}
    asked = [_wished({**phones, Variable.CONFIRM: confirm})[0]["confirm"] for confirm in ("1", "")]
    assert asked == [True, False]


def test_a_recorded_call_wakes_too() -> None:
    recorded = {**_STAGE, Variable.DECISION: Decision.RECORD, Variable.THEN: Decision.DIAL}
    assert len(_wished(recorded)) == 1


def test_a_message_wants_the_picture_of_its_visitor() -> None:
    assert _wished({Variable.DECISION: Decision.MESSAGE, Variable.MESSAGE_LIMIT_S: "30"}) == [
        {"wants": "message_picture", "call_id": "c1", "at_ms": NOW_MS, "panel": "p1", "dialled": "12"}
    ]


def test_nobody_sleeps_or_nobody_rings_and_nothing_is_wished() -> None:
    assert _wished({**_STAGE, Variable.ACCOUNTS: "h1"}) == []
    assert _wished({Variable.DECISION: Decision.PROMPT}) == []


def test_a_wish_that_redis_does_not_take_is_dropped() -> None:
    assert _wished(_STAGE, away=True) == []
