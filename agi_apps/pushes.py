"""Wishes to wake apps, and for pictures beside messages, on their way to the process that pushes (stream `ep:pushes`).

A call never waits for one.
"""

from __future__ import annotations

import logging
import threading
from collections import deque
from typing import TYPE_CHECKING

import msgspec

from agi_apps.phone_legs import SLEEPER
from agi_apps.redis_keys import PUSH_STREAM, PUSH_STREAM_LENGTH
from agi_apps.redis_link import RedisAway
from agi_apps.variables import Decision, Variable

if TYPE_CHECKING:
    from agi_apps.application import Outputs
    from agi_apps.redis_link import Argument, RedisLink
    from agi_apps.ring_plan import RingPlan

_log = logging.getLogger(__name__)

BUFFER_LIMIT = 2_000
MESSAGE_PICTURE = "message_picture"


class Pushes:
    """Takes wishes from the applications at once; a thread hands them over. One that Redis does not take is dropped."""

    def __init__(self, redis: RedisLink) -> None:
        self._redis = redis
        self._waiting: deque[bytes] = deque(maxlen=BUFFER_LIMIT)
        self._wake = threading.Event()

    def wake(self, call_id: str, plan: RingPlan, outputs: Outputs, now_ms: int) -> None:
        """Have those accounts of the stage that is about to ring woken that a push wakes. Never waits, never fails.

        Where the visitor is about to leave a message, the panel's picture is wanted beside it.
        """
        # Of a talk that is recorded the announcement comes first.
        decision = outputs.get(Variable.THEN, outputs.get(Variable.DECISION))
        if decision == Decision.MESSAGE:
            self._add(
                {
                    "wants": MESSAGE_PICTURE,
                    "call_id": call_id,
                    "at_ms": now_ms,
                    "panel": plan.panel,
                    "dialled": plan.dialled,
                }
            )
            return
        if decision not in Decision.rings():
            return
        named = outputs[Variable.ACCOUNTS]
        if SLEEPER not in named:
            return
        wish: dict[str, object] = {
            "call_id": call_id,
            "at_ms": now_ms,
            "panel": plan.panel,
            "dialled": plan.dialled,
            "stage": int(outputs[Variable.STAGE]),
            "ring_timeout_s": int(outputs[Variable.RING_TIMEOUT_S]),
            "caller_name": plan.caller_name,
            "confirm": outputs.get(Variable.CONFIRM) == "1",
            "accounts": [account[1:] for account in named.split(",") if account.startswith(SLEEPER)],
        }
        self._add(wish)

    def _add(self, wish: dict[str, object]) -> None:
        self._waiting.append(msgspec.json.encode(wish))
        self._wake.set()

    def run(self) -> None:
        """Hand over as long as the process lives."""
        while True:
            self._wake.wait()
            self.deliver()

    def deliver(self) -> None:
        """Hand over what waits."""
        self._wake.clear()
        commands: list[tuple[Argument, ...]] = []
        while self._waiting:
            wish = self._waiting.popleft()
            commands.append(("XADD", PUSH_STREAM, "MAXLEN", "~", PUSH_STREAM_LENGTH, "*", "push", wish))
        if not commands:
            return
        try:
            self._redis.pipeline(commands)
        except RedisAway as error:
            _log.warning("%d calls wake no app: Redis is away (%s)", len(commands), error)
