"""After every story: no channel, no transaction, no contact, no event is left. Played last (tests/sip/conftest.py)."""

from __future__ import annotations

import asyncio
import re
import time
from typing import TYPE_CHECKING, Any

import pytest

from lab.probes import redis_command
from lab.services import CALL_EVENTS, CALL_RECORDS_GROUP, PANEL_CALLS

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tests.sip.scene import Scene

# tm keeps a finished transaction for 5 s, and one whose CANCEL nobody answered, as the phone had gone, for 95 s.
_SETTLE_S = 120.0
pytestmark = pytest.mark.timeout(150)  # what is left is told before


async def _until(read: Callable[[], Awaitable[object]], wanted: object) -> None:
    deadline_s = time.monotonic() + _SETTLE_S
    while (found := await read()) != wanted:
        assert time.monotonic() < deadline_s, f"still {found}, wanted {wanted}"
        await asyncio.sleep(0.25)


async def _kamailio(scene: Scene, method: str, *parameters: str) -> Any:
    answer = await scene.rpc(method, *parameters)
    assert "result" in answer, answer
    return answer["result"]


@pytest.mark.parametrize("node", ["ast1", "ast2", "ast-probe", "ast-emergency"])
async def test_no_channel_is_left(scene: Scene, node: str) -> None:
    async def channels() -> int:
        told = await asyncio.to_thread(scene.console, node, "core show channels count")
        found = re.search(r"^(\d+) active channels?$", told, re.MULTILINE)
        assert found is not None
        return int(found[1])

    await _until(channels, 0)


async def test_no_transaction_is_left(scene: Scene) -> None:
    async def transactions() -> list[object]:
        # The dispatcher's own probes come and go.
        return [left for left in await _kamailio(scene, "tm.list") if left["method"] != "OPTIONS"]

    await _until(transactions, [])


async def test_no_ringing_is_said_again_for_ever(scene: Scene) -> None:
    """Kamailio repeats ringing that another phone's answer may have hidden from tm: once (late_ringing.py)."""
    counted: list[object] = []

    async def has_changed() -> bool:
        (count,) = await _kamailio(scene, "stats.get_statistics", "rcv_replies_18x")
        counted.append(count)
        return counted[-1:] != counted[-2:-1]

    await _until(has_changed, wanted=False)


async def test_no_contact_is_left(scene: Scene) -> None:
    domains = (await _kamailio(scene, "ul.dump", "brief"))["Domains"]
    assert [domain["Domain"].get("AoRs") or [] for domain in domains] == [[]]


@pytest.mark.parametrize("table", ["setup", "wake", "wake_legs", "voice_calls", "voice_legs"])
async def test_no_lock_of_a_call_is_left(scene: Scene, table: str) -> None:
    """Legs in setup are forgotten when the call is answered or over; an entry left would count as a running call."""
    await _until(lambda: _kamailio(scene, "htable.dump", table), [])


async def test_no_panel_is_busy(scene: Scene) -> None:
    redis = (scene.stack.settings.redis_host, scene.stack.settings.redis_port)
    script = (
        "local busy = {} for _, key in ipairs(redis.call('KEYS', ARGV[1])) do "
        "busy[#busy + 1] = key .. ' ' .. redis.call('GET', key) end return table.concat(busy, ', ')"
    )
    await _until(lambda: asyncio.to_thread(redis_command, *redis, "EVAL", script, "0", f"{PANEL_CALLS}*"), "")


async def test_every_event_is_recorded(scene: Scene) -> None:
    redis = (scene.stack.settings.redis_host, scene.stack.settings.redis_port)
    await _until(lambda: asyncio.to_thread(redis_command, *redis, "XLEN", CALL_EVENTS), 0)
    script = "return redis.call('XPENDING', KEYS[1], ARGV[1])[1]"
    assert redis_command(*redis, "EVAL", script, "1", CALL_EVENTS, CALL_RECORDS_GROUP) == 0


_LOGS = (
    *("agi", "sounds", "kamailio", "scheduler"),
    *("crm", "crm-outbox", "crm-call-records", "crm-jobs", "crm-emergency", "crm-pushes", "crm-webhooks"),
    "crm-voice",
)


@pytest.mark.parametrize("log", _LOGS)
async def test_no_exception_was_logged(scene: Scene, log: str) -> None:
    text = (scene.stack.settings.log / f"{log}.log").read_text("utf-8", "replace")
    wrong = [line for line in text.splitlines() if "Traceback" in line or "exception in" in line.lower()]
    # A request whose text is not UTF-8 is answered 400 by the error boundary: that is its log line.
    assert [line for line in wrong if "UnicodeDecodeError" not in line] == []
