"""How soon an app rings that wakes: from the 200 of its REGISTER to its INVITE, many calls a second."""

from __future__ import annotations

import asyncio
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from lab.bench import population
from lab.peers.scripted import ScriptedPeer

if TYPE_CHECKING:
    from collections.abc import Sequence

    from lab.bench.population import Household
    from lab.peers.scripted import SipServer

_SLEEPS_S = 0.3
_RINGS_WITHIN_S = 5.0
_OK = 200


@dataclass
class Wakes:
    """What was found: milliseconds from REGISTER's 200 to the INVITE, and why others did not ring."""

    times_ms: list[float] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


async def measure(households: Sequence[Household], server: SipServer, rate: float) -> Wakes:
    """Call each household once, at a rate; its app registers a moment later.

    Args:
        households: each with an app (the third account) that a push wakes, and nobody at home.
        server: the proxy.
        rate: calls a second.
    """
    found = Wakes()
    began_s = time.monotonic()
    tasks = []
    for place, household in enumerate(households):
        await asyncio.sleep(max(0.0, began_s + place / rate - time.monotonic()))
        tasks.append(asyncio.create_task(_wake(place, household, server, found)))
    await asyncio.gather(*tasks)
    return found


async def _wake(place: int, household: Household, server: SipServer, found: Wakes) -> None:
    panel = await ScriptedPeer.open(server, population.panel_address(place + 20_000), streams=1)
    app = await ScriptedPeer.open(server, population.handset_address("c", place + 20_000), streams=1)
    account = household.handsets[2]
    try:
        call = await panel.call(household.panel.credentials, household.dialled)
        await asyncio.sleep(_SLEEPS_S)
        answer = await app.register(account.credentials)
        registered_s = time.monotonic()
        if answer.status != _OK:
            found.failures.append(f"{account.name}: {answer.start_line}")
            return
        ring = await app.incoming(timeout_s=_RINGS_WITHIN_S)
        found.times_ms.append(max(0.0, ring.received.at_s - registered_s) * 1000)
        ring.ring()
        await call.cancel()
    except (TimeoutError, AssertionError) as error:
        found.failures.append(f"{account.name}: {error}")
    finally:
        app.close()
        panel.close()
