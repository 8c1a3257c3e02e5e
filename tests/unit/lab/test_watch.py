"""A wait of a scripted peer is longer by what the machine has stalled, and not longer than three times."""

from __future__ import annotations

import asyncio
import time

import pytest

from lab.peers.watch import Patience, Watch
from tests.sip.stopwatch import stalled_s


async def _waits_in_vain(timeout_s: float) -> float:
    began_s = time.monotonic()
    with pytest.raises(TimeoutError, match="nobody came"):
        await Watch().until(lambda: False, timeout_s, lambda: "nobody came")
    return time.monotonic() - began_s


def test_a_wait_is_no_longer_for_what_stalled_before_it(monkeypatch: pytest.MonkeyPatch) -> None:
    now_s = [100.0]
    monkeypatch.setattr(time, "monotonic", lambda: now_s[0])
    monkeypatch.setattr(Patience, "stalled_s", staticmethod(lambda: 7.0))
    patience = Patience(2.0)
    now_s[0] += 1.5
    assert (patience.waited_s, patience.left_s) == (1.5, 0.5)
    now_s[0] += 0.5
    assert patience.left_s == 0.0


def test_a_wait_ends_on_a_machine_that_stalls_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "stalled_s", staticmethod(lambda: 10 * time.monotonic()))
    assert asyncio.run(_waits_in_vain(0.2)) >= 0.6


def test_what_comes_late_on_a_machine_that_stalled_has_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Patience, "stalled_s", staticmethod(time.monotonic))
    came: list[str] = []
    watch = Watch()

    async def late() -> None:
        def comes() -> None:
            came.append("visitor")
            watch.notify()

        asyncio.get_running_loop().call_later(0.3, comes)
        await watch.until(lambda: bool(came), 0.2, lambda: "nobody came")

    asyncio.run(late())
    assert came == ["visitor"]


def test_the_machine_tells_how_long_it_has_stalled() -> None:
    before_s = stalled_s()
    assert 0.0 <= before_s <= stalled_s()
