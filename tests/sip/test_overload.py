"""Nodes that stand still: visitors are told to try again, 112 does not wait, and all is as before once they work."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from typing import TYPE_CHECKING

from tests.at_rest import await_nodes
from tests.sip.emergency_scene import CITY_LINE, panel_at, rested, until
from tests.sip.promises import in_most_tries

if TYPE_CHECKING:
    from tests.sip.scene import Scene

NODES = ("ast1", "ast2")
LEAST = 30
APARTMENT_OF_NOBODY = "7777"
_DEAD_AFTER_S = 1.75
"""Nodes that stand still for longer are taken for dead, and their calls fail."""


def _tell(scene: Scene, what: signal.Signals) -> None:
    for node in NODES:
        for pid in scene.stack.pids(node):
            os.kill(pid, what)


async def _bound(scene: Scene) -> str:
    """The bound of calls in setup as Kamailio keeps it: none while it is not overloaded."""
    return await scene.kept("dialled_calls", "limit")


async def _overs(scene: Scene) -> int:
    return len(scene.log_lines("kamailio", "overload is over"))


async def test_while_nodes_stand_still_visitors_are_put_off_and_112_waits_for_nobody(scene: Scene) -> None:
    centre = await scene.peer(CITY_LINE)
    callers = [(panel_at(scene, index), await scene.visitor(panel_at(scene, index))) for index in range(4)]

    async def stood_s() -> float:
        """How long the nodes stood still; what was promised if that was no longer than they may."""
        await rested(scene)
        overs = await _overs(scene)
        since_s = time.monotonic()
        _tell(scene, signal.SIGSTOP)
        try:
            waiting = [
                await peer.call(at.credentials, APARTMENT_OF_NOBODY)
                for at, peer in callers[:2]
                for _ in range(LEAST // 2)
            ]
            await until(lambda: _bound(scene), lambda told: f"'value': {LEAST}" in told, 5)
            at, peer = callers[2]
            refused = await peer.call(at.credentials, APARTMENT_OF_NOBODY)
            answer = await refused.final(5)
            at, peer = callers[3]
            emergency = await peer.call(at.credentials, "112")
            ring = await centre.incoming("112", 5, since_s)
            ring.answer()
            await emergency.answered()
        finally:
            _tell(scene, signal.SIGCONT)
            stood_s = time.monotonic() - since_s
        assert (answer.status, answer.get("Retry-After")) == (503, "2")
        finals = {(await call.final(15)).status for call in waiting}
        assert stood_s > _DEAD_AFTER_S or finals == {404}
        await until(lambda: _overs(scene), lambda told: told > overs, 15)
        await asyncio.to_thread(await_nodes, scene.stack.settings)
        after = await callers[2][1].call(callers[2][0].credentials, APARTMENT_OF_NOBODY)
        assert (await after.final(15)).status == 404
        await emergency.bye()
        assert scene.log_lines("kamailio", "fewer calls are let in")
        return stood_s

    await in_most_tries(stood_s, lambda seen_s: seen_s < _DEAD_AFTER_S)
