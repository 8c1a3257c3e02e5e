"""Kamailio killed and started again with a city's contacts in its database: how long until a panel's call rings."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from lab.peers.digest import Credentials
from lab.peers.scripted import ScriptedPeer, SipServer

if TYPE_CHECKING:
    from lab.bench.population import Household
    from lab.stack import Stack

_PANEL: Final = "127.5.1.1"
_HANDSETS: Final = "127.6.1.1"
_OK: Final = 200
_TRY_S: Final = 1.0
_PATIENCE_S: Final = 120.0


async def seconds_until_it_rings(stack: Stack, household: Household) -> float:
    """Register a household's phones, kill Kamailio, start it; the time from the kill to the first 180 at the panel.

    Raises:
        TimeoutError: it did not ring within two minutes.
        RuntimeError: a phone could not register.
    """
    settings = stack.settings
    server = SipServer(settings.sip_address, settings.domain, settings.sip_port)
    async with (
        await ScriptedPeer.open(server, _PANEL, streams=200) as panel,
        await ScriptedPeer.open(server, _HANDSETS, streams=200) as phones,
    ):
        for account in household.handsets:
            final = await phones.register(Credentials(account.name, account.password))
            if final.status != _OK:
                raise RuntimeError(f"{account.name} could not register: {final.start_line}")
        started = time.monotonic()
        stack.kill("kamailio")
        restart = asyncio.create_task(asyncio.to_thread(stack.restart, "kamailio"))
        try:
            while time.monotonic() - started < _PATIENCE_S:
                since = time.monotonic()
                try:
                    call = await panel.call(
                        Credentials(household.panel.name, household.panel.password), household.dialled, timeout_s=_TRY_S
                    )
                    ringing = await phones.incoming(household.handsets[0].name, _TRY_S, since)
                    ringing.ring()
                    await call.ringing(_TRY_S)
                except (TimeoutError, AssertionError, RuntimeError):
                    continue
                return time.monotonic() - started
            raise TimeoutError(f"no call rang within {_PATIENCE_S:.0f} s of the restart")
        finally:
            await restart
            await panel.hang_up_everything()
