"""Servers that are slow, not dead: they have 200 ms of every 400 or 600 ms. Calls are as they ever are, only later."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import threading
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Self

import pytest

from tests.sip.emergency_scene import CITY_LINE, emergency_record, panel_at, tell, timed_112
from tests.sip.households import family
from tests.sip.records import record_with_keys
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator

    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.town import Panel
    from tests.sip.scene import Home, Scene

_RUNS_S = 0.2
SLOW = [("kamailio",), ("ast1",), ("ast1", "ast2", "ast-emergency"), ("agi",), ("redis",), ("crm",)]


class Stutter:
    """Stops processes and lets them go on again and again, in a thread of its own."""

    def __init__(self, pids: list[int], period_s: float) -> None:
        self._pids = pids
        self._stops_s = period_s - _RUNS_S
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._over.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._over.is_set():
            self._signal(signal.SIGSTOP)
            self._over.wait(self._stops_s)
            self._signal(signal.SIGCONT)
            self._over.wait(_RUNS_S)

    def _signal(self, number: signal.Signals) -> None:
        for pid in self._pids:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)


@contextlib.asynccontextmanager
async def _slowly(scene: Scene, services: tuple[str, ...], period_s: float) -> AsyncIterator[None]:
    pids = [pid for name in services for pid in scene.stack.pids(name)]
    try:
        with Stutter(pids, period_s):
            yield
    finally:
        await scene.thaw(*services)


def _ends(record: dict[str, Any]) -> list[str]:
    return [line["result"] for line in record["story"] if line["event"] == "ended"]


@dataclass
class Evening:
    """The family's calls while servers are slow, and how long each step took."""

    scene: Scene
    home: Home
    at: Panel
    number: str
    took: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def within(self, limit_s: float, what: str) -> Iterator[float]:
        """What happens inside takes no longer than this; when it began (monotonic seconds)."""
        watch = Stopwatch()
        yield watch.began_s
        took_s = watch.took_s
        self.took.append(f"{what} {took_s:.2f} s")
        assert took_s < limit_s, self.took

    async def rings(self) -> tuple[OutgoingCall, list[IncomingCall], float]:
        """A visitor calls, all phones ring, and the visitor hears so."""
        visitor = await self.scene.visitor(self.at)
        with self.within(3, "rings") as began_s:
            call = await visitor.call(self.at.credentials, self.number)
            rings = await self.home.all_ring(8, began_s)
            await call.ringing()
        return call, rings, began_s

    async def is_answered(self) -> OutgoingCall:
        """One answers, the others hear no more of it; the key opens; the visitor leaves."""
        call, rings, began_s = await self.rings()
        with self.within(3, "talk"):
            rings[0].answer()
            await call.answered()
            await rings[0].established()
            await asyncio.gather(*(ring.wait_cancelled() for ring in rings[1:]))
        with self.within(4, "key"):
            await rings[0].rtp.press("#")
            await call.rtp.wait_for_key(self.at.door_code[0], 5)
        with self.within(3, "BYE"):
            await call.bye()
            await rings[0].wait_request("BYE", 5)
        self.rang_once(began_s)
        return call

    async def is_left(self) -> OutgoingCall:
        """The visitor leaves while it rings."""
        call, rings, began_s = await self.rings()
        with self.within(3, "CANCEL"):
            assert (await call.cancel()).status == 487
            await asyncio.gather(*(ring.wait_cancelled() for ring in rings))
        self.rang_once(began_s)
        return call

    def rang_once(self, since_s: float) -> None:
        """Each phone has had one INVITE since then, and all of them are of one leg: one node has rung them."""
        rings = [ring for _, peer in self.home.phones for ring in peer.ringing if ring.received.at_s >= since_s]
        assert len(rings) == len(self.home.phones), [(ring.invite.uri, ring.call_id) for ring in rings]
        assert len({ring.call_id for ring in rings}) == 1


@pytest.mark.parametrize("period_s", [0.4, 0.6])
@pytest.mark.parametrize("slow", SLOW, ids="+".join)
async def test_calls_of_a_visitor(scene: Scene, slow: tuple[str, ...], period_s: float) -> None:
    apartment, at, number = family(scene.town)
    for address in (at.address, *(resident.address for resident in apartment.residents)):
        await scene.peer(address, streams=8)
    call, ring, home = await scene.talk(apartment, at, number)
    await call.bye()
    await ring.wait_request("BYE", 3)
    evening = Evening(scene, home, at, number)
    who, phone = home.phones[0]
    async with _slowly(scene, slow, period_s):
        with evening.within(3, "REGISTER"):
            assert (await phone.register(who.credentials)).status == 200
        calls = [(await evening.is_answered(), await evening.is_left()) for _ in range(2)]  # nodes take turns
    tell(f"{'+'.join(slow)} has {_RUNS_S} of {period_s} s: {', '.join(evening.took)}")
    for answered, left in calls:
        record = await record_with_keys(scene, answered.call_id)
        assert (record["result"], _ends(record)) == ("answered", ["answered"])
        assert [row["result"] for row in record["access_records"]] == ["sent"]
        assert [key.key for key in answered.rtp.keys] == list(at.door_code)
        assert _ends(await scene.office.call_record(left.call_id)) == ["caller_hung_up"]


@pytest.mark.parametrize("period_s", [0.4, 0.6])
@pytest.mark.parametrize("slow", SLOW, ids="+".join)
async def test_112(scene: Scene, slow: tuple[str, ...], period_s: float) -> None:
    centre = await scene.peer(CITY_LINE)
    async with _slowly(scene, slow, period_s):
        began_s = time.monotonic()
        call, ring, took_s = await timed_112(scene, panel_at(scene))
        tell(f"112 with {'+'.join(slow)} slow ({_RUNS_S} of {period_s} s): {took_s:.2f} s to the centre")
        await call.bye()
        await ring.wait_request("BYE", 5)
        assert len([other for other in centre.ringing if other.received.at_s >= began_s]) == 1
    assert took_s < 4
    record = await emergency_record(scene, call.call_id, "ended", "answered")
    steps = [told["step"] for told in record["steps"]]
    assert (record["result"], steps.count("answered"), steps.count("ended")) == ("answered", 1, 1), steps
