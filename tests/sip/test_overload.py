"""Nodes that stand still: visitors are told to try again, 112 does not wait, and all is as before once they work."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

from lab.probes import kamailio_rpc
from tests.sip.emergency_scene import CITY_LINE, panel_at, rested, until

if TYPE_CHECKING:
    from tests.sip.scene import Scene

NODES = ("ast1", "ast2")
LEAST = 30
APARTMENT_OF_NOBODY = "7777"


def _tell(scene: Scene, what: signal.Signals) -> None:
    for node in NODES:
        for pid in scene.stack.pids(node):
            os.kill(pid, what)


async def _bound(scene: Scene) -> str:
    """The bound of calls in setup as Kamailio keeps it: none while it is not overloaded."""
    rpc = scene.stack.settings.run / "kamailio" / "rpc.sock"
    return str(await asyncio.to_thread(kamailio_rpc, rpc, "htable.get", "dialled_calls", "limit"))


async def test_while_nodes_stand_still_visitors_are_put_off_and_112_waits_for_nobody(scene: Scene) -> None:
    await rested(scene)
    centre = await scene.peer(CITY_LINE)
    callers = [(panel_at(scene, index), await scene.visitor(panel_at(scene, index))) for index in range(4)]
    since_s = time.monotonic()
    _tell(scene, signal.SIGSTOP)
    try:
        waiting = [
            await peer.call(at.credentials, APARTMENT_OF_NOBODY) for at, peer in callers[:2] for _ in range(LEAST // 2)
        ]
        await until(lambda: _bound(scene), lambda told: f"'value': {LEAST}" in told, 1.5)
        at, peer = callers[2]
        refused = await peer.call(at.credentials, APARTMENT_OF_NOBODY)
        answer = await refused.final(1)
        at, peer = callers[3]
        emergency = await peer.call(at.credentials, "112")
        ring = await centre.incoming("112", 5, since_s)
        ring.answer()
        await emergency.answered()
    finally:
        _tell(scene, signal.SIGCONT)
    assert (answer.status, answer.get("Retry-After")) == (503, "2")
    for call in waiting:
        assert (await call.final(15)).status == 404
    await scene.log_line("kamailio", "overload is over", timeout_s=15)
    after = await callers[2][1].call(callers[2][0].credentials, APARTMENT_OF_NOBODY)
    assert (await after.final(15)).status == 404
    await emergency.bye()
    assert scene.log_lines("kamailio", "fewer calls are let in")
