"""A name server that says nothing, or takes an address back: carriers known by name, and nothing else waits."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from tests.sip.carriers import FIRST, a_phone_is_dialled
from tests.sip.emergency_scene import rested, until
from tests.sip.households import family
from tests.sip.ordinary import they_talk
from tests.sip.promises import kept_within
from tests.sip.resolver import resolver
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.sip.scene import Scene

NAME, LATER = "sip.carrier-a.example", "sip.carrier-b.example"
_FELT_WITHIN_S = 1.0


@asynccontextmanager
async def _known_by_name(scene: Scene, **names: str) -> AsyncIterator[None]:
    """Inside the block these trunks have names in place of addresses."""
    trunks = {row["name"]: row for row in (await scene.office.get("/v1/trunks?limit=100"))["items"]}
    rows = {name.replace("_", "-"): host for name, host in names.items()}
    for name, host in rows.items():
        await scene.office.send("PATCH", f"/v1/trunks/{trunks[name]['id']}", {"address": f"{host}:5060"})
    try:
        yield
    finally:
        for name in rows:
            await scene.office.send("PATCH", f"/v1/trunks/{trunks[name]['id']}", {"address": trunks[name]["address"]})
        for name in rows:  # the story after this one calls through them
            await until(lambda: scene.kept("trunks", name), lambda told: trunks[name]["address"] in told)  # noqa: B023


async def test_a_right_that_is_withdrawn_is_gone_within_a_second(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    resident = apartment.residents[-1]
    peer = await scene.resident(resident)
    path = f"/v1/accounts/{resident.credentials.username}"
    names = {"carrier_a": "a.example", "carrier_b": "b.example", "second_line": "c.example"}
    async with resolver(scene) as dns, _known_by_name(scene, **names):
        await dns.is_asked("a.example", 5)

        async def gone_s() -> float:
            """How long the account can still register."""
            await scene.office.send("PATCH", path, {"enabled": False})
            watch = Stopwatch()
            try:
                answer = await until(lambda: peer.register(resident.credentials), lambda told: told.status != 200)
                took_s = watch.took_s
                assert answer.status in (401, 403)
            finally:
                await scene.office.send("PATCH", path, {"enabled": True})
                await scene.felt()
            await until(lambda: peer.register(resident.credentials), lambda told: told.status == 200)
            return took_s

        await kept_within(_FELT_WITHIN_S, gone_s)


async def test_a_carrier_is_reached_after_a_start_while_dns_says_nothing(scene: Scene) -> None:
    async with resolver(scene) as dns:
        dns.addresses = {NAME: FIRST}
        async with _known_by_name(scene, carrier_a=NAME):
            await dns.is_asked(NAME, 5)
            await until(lambda: scene.kept("trunk_addresses", NAME), lambda told: FIRST in told)
            dns.addresses = None
            await asyncio.to_thread(scene.stack.restart, "kamailio")
            await dns.is_asked(NAME, 10)
            async with _known_by_name(scene, carrier_b=LATER):
                await dns.is_asked(LATER, 10)  # the first name has been looked up in vain by then
            assert FIRST in await scene.kept("trunk_addresses", NAME)
            await rested(scene)
            call, ring = await a_phone_is_dialled(scene)
            assert ring.invite.uri.endswith(f"@{NAME}:5060")
            await they_talk(call, ring)
            await call.bye()


async def test_an_address_that_a_carrier_has_withdrawn_is_trusted_no_more(scene: Scene) -> None:
    """Its name is still there. Whoever has the address next would call back without a password."""
    async with resolver(scene) as dns:
        dns.addresses = {NAME: FIRST}
        async with _known_by_name(scene, carrier_a=NAME):
            await until(lambda: scene.kept("trunk_addresses", NAME), lambda told: FIRST in told)
            dns.addresses = {NAME: ""}
            await asyncio.to_thread(scene.stack.restart, "kamailio")  # it looks again at once, else within a minute
            await until(lambda: scene.kept("trunk_hosts", FIRST), lambda told: "carrier-a" not in told)
