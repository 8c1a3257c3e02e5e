"""Measures `#` to door command with real RTP, beside the load: a few calls a second by scripted peers.

The time is from the end of the key at the handset (first RFC 4733 end packet sent) to the first packet of the door's
code at the panel.
"""

from __future__ import annotations

import asyncio
import time
from contextlib import AsyncExitStack, suppress
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from lab.bench.bench_town import DOOR_KEY
from lab.peers.digest import Credentials
from lab.peers.scripted import ScriptedPeer, SipServer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.bench.population import Household

_PANELS: Final = "127.5.0.1"
_HANDSETS: Final = "127.6.0."
_STEP_TIMEOUT_S: Final = 5.0
_PAUSE_S: Final = 0.3
_OK: Final = 200
_CALLS_PER_HOUSEHOLD_S: Final = 2


@dataclass
class KeyTimes:
    """Times in milliseconds, and the calls in which no door opened, by reason."""

    times_ms: list[float] = field(default_factory=list)
    not_opened: list[str] = field(default_factory=list)


async def measure(households: Sequence[Household], server: SipServer, duration_s: float) -> KeyTimes:
    """Let every household be called again and again for a time, with handset A answering and pressing `#`.

    Raises:
        RuntimeError: a handset could not register.
    """
    found = KeyTimes()
    streams = 3 * len(households) * (int(duration_s) * _CALLS_PER_HOUSEHOLD_S + 2)
    async with AsyncExitStack() as stack:
        panels = await stack.enter_async_context(await ScriptedPeer.open(server, _PANELS))
        handsets = []
        for index, household in enumerate(households):
            peer = await ScriptedPeer.open(server, f"{_HANDSETS}{index + 1}", streams=streams // len(households))
            handsets.append(await stack.enter_async_context(peer))
            for account in household.handsets:
                final = await peer.register(Credentials(account.name, account.password))
                if final.status != _OK:
                    raise RuntimeError(f"{account.name} could not register: {final.start_line}")
        deadline = time.monotonic() + duration_s
        pairs = zip(households, handsets, strict=True)
        await asyncio.gather(*(_be_called(panels, peer, household, deadline, found) for household, peer in pairs))
    return found


async def _be_called(
    panels: ScriptedPeer, peer: ScriptedPeer, household: Household, deadline: float, found: KeyTimes
) -> None:
    while time.monotonic() < deadline:
        try:
            found.times_ms.append(await _one_call(panels, peer, household))
        except (TimeoutError, AssertionError, RuntimeError) as error:
            found.not_opened.append(str(error))
        await asyncio.sleep(_PAUSE_S)


async def _one_call(panels: ScriptedPeer, peer: ScriptedPeer, household: Household) -> float:
    since = time.monotonic()
    credentials = Credentials(household.panel.name, household.panel.password)
    call = await panels.call(credentials, household.dialled, timeout_s=_STEP_TIMEOUT_S)
    try:
        answering, *others = [
            await peer.incoming(account.name, _STEP_TIMEOUT_S, since) for account in household.handsets
        ]
        for ringing in (answering, *others):
            ringing.ring()
        await call.ringing(_STEP_TIMEOUT_S)
        answering.answer()
        await call.answered(_STEP_TIMEOUT_S)
        await answering.established(_STEP_TIMEOUT_S)
        await asyncio.sleep(_PAUSE_S)
        released_s = await answering.rtp.press("#")
        press = await call.rtp.wait_for_key(DOOR_KEY, _STEP_TIMEOUT_S)
        return (press.began_s - released_s) * 1000
    finally:
        call.rtp.hush()
        for ringing in peer.ringing:
            ringing.rtp.hush()
        with suppress(TimeoutError, AssertionError, RuntimeError):
            await (call.bye(_STEP_TIMEOUT_S) if call.target else call.cancel(_STEP_TIMEOUT_S))
        peer.ringing.clear()
