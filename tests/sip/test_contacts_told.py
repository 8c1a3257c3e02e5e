"""Who is registered now, and which panels are silent: asked over the API, answered by Kamailio."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest

from lab.peers.digest import Credentials
from lab.peers.office import OfficeError
from lab.probes import redis_command
from tests.sip.emergency_scene import panel_at, registered, until
from tests.sip.households import family
from tests.sip.promises import kept_within

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tests.sip.scene import Scene

_SILENT = "urn:entryphone:problem:registrar-silent"
_SAID_WITHIN_S = 1.2
"""A second, and the way to the API and back."""


async def asked_once(scene: Scene, account: str) -> list[dict[str, Any]]:
    """Where an account is registered; raises when nobody can tell."""
    found: list[dict[str, Any]] = (await scene.office.get(f"/v1/accounts/{account}/contacts"))["items"]
    return found


async def contacts(scene: Scene, account: str) -> list[dict[str, Any]]:
    """Where an account is registered; asked again where the machine stood still for as long as one waits."""

    async def told() -> list[dict[str, Any]] | None:
        try:
            return await asked_once(scene, account)
        except OfficeError as error:
            assert _SILENT in str(error)  # noqa: PT017 - anything else is a fault
            return None

    found: list[dict[str, Any]] = await until(told, lambda items: items is not None)
    return found


async def addresses(scene: Scene, account: str) -> set[str]:
    """At which addresses."""
    return {contact["address"] for contact in await contacts(scene, account)}


async def left_in_redis(scene: Scene) -> str | int | None:
    """How many questions and answers there are in Redis."""
    redis = (scene.stack.settings.redis_host, scene.stack.settings.redis_port)
    return await asyncio.to_thread(redis_command, *redis, "EVAL", "return #redis.call('KEYS', 'ep:contact*')", "0")


async def nothing_is_left(scene: Scene) -> None:
    """Answers are taken when they are read; one that comes too late goes after some seconds."""
    await until(lambda: left_in_redis(scene), lambda count: count == 0)


@pytest.mark.parametrize("transport", ["udp", "tcp"])
async def test_a_phone_is_shown_while_it_is_registered(scene: Scene, transport: Any) -> None:
    apartment, _, _ = family(scene.town)
    resident = apartment.residents[0]
    account = resident.credentials.username
    assert await contacts(scene, account) == []
    before_ms = time.time() * 1000
    phone = await scene.phone(resident, transport=transport)
    (shown,) = await contacts(scene, account)
    host, _, port = shown["address"].rpartition(":")
    # Over TCP a baresip sends from wherever the machine likes, and is reached there and nowhere else.
    assert host == (resident.address if transport == "udp" else "127.0.0.1")
    assert int(port) > 0
    assert shown["transport"] == transport
    assert "baresip" in shown["user_agent"]
    # Kamailio counts in whole seconds.
    assert before_ms - 2000 < shown["registered_at_ms"] <= time.time() * 1000
    assert 300_000 < shown["expires_at_ms"] - shown["registered_at_ms"] <= 3_600_000
    await phone.unregister()
    await until(lambda: contacts(scene, account), lambda found: found == [])
    await nothing_is_left(scene)


async def test_each_device_of_an_account_is_shown(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    resident = apartment.residents[0]
    account = resident.credentials.username
    first = await scene.resident(resident)
    second = await scene.peer("127.0.2.91")
    assert (await second.register(resident.credentials)).status == 200
    assert await addresses(scene, account) == {f"{resident.address}:5060", "127.0.2.91:5060"}
    # Whatever it says of itself (NAT): where it sends from is where it is reached.
    hidden = f"<sip:{account}@192.168.1.7:5062>"
    assert (await second.register(resident.credentials, expires_s=0, contact="*")).status == 200
    assert await contacts(scene, account) == []
    assert (await second.register(resident.credentials, contact=hidden)).status == 200
    assert await addresses(scene, account) == {"127.0.2.91:5060"}
    assert (await first.register(resident.credentials, expires_s=0, contact="*")).status == 200
    assert await contacts(scene, account) == []
    await nothing_is_left(scene)


async def test_a_new_password_leaves_nobody_registered(scene: Scene) -> None:
    company = (await scene.office.get("/v1/companies"))["items"][0]["id"]
    account = "told-desk"
    made = await scene.office.send(
        "POST", "/v1/accounts", {"account": account, "kind": "concierge", "company_id": company}
    )

    async def remove() -> None:
        await scene.office.send("DELETE", f"/v1/accounts/{account}")

    scene.when_over(remove)
    peer = await scene.peer("127.0.2.92")
    assert (await peer.register(Credentials(account, made["password"]))).status == 200
    assert await addresses(scene, account) == {"127.0.2.92:5060"}
    await scene.office.send("POST", f"/v1/accounts/{account}/rotate-password")
    await until(lambda: contacts(scene, account), lambda found: found == [])


@asynccontextmanager
async def panels_looked_for(scene: Scene, every_s: float) -> AsyncIterator[None]:
    """The scheduler looks for panels so often inside the block."""
    path = scene.stack.settings.etc / "crm.json"
    usual = path.read_text(encoding="utf-8")
    path.write_text(json.dumps(json.loads(usual) | {"panels_asked_every_s": every_s}), encoding="utf-8")
    try:
        await asyncio.to_thread(scene.stack.restart, "scheduler")
        yield
    finally:
        path.write_text(usual, encoding="utf-8")
        await asyncio.to_thread(scene.stack.restart, "scheduler")


async def test_a_quiet_panel_that_is_registered_has_been_seen(scene: Scene) -> None:
    at, other = panel_at(scene), panel_at(scene, 1)

    async def panel(account: str) -> dict[str, Any]:
        found: dict[str, Any] = (await scene.office.get(f"/v1/panels?account={account}"))["items"][0]
        return found

    async def counts() -> dict[str, int] | None:
        redis = (scene.stack.settings.redis_host, scene.stack.settings.redis_port)
        told = await asyncio.to_thread(redis_command, *redis, "GET", "ep:panels_registered")
        found: dict[str, int] | None = None if told is None else json.loads(str(told))
        return found

    await registered(scene, at)
    before, silent = await panel(at.credentials.username), await panel(other.credentials.username)
    since_ms = time.time() * 1000
    async with panels_looked_for(scene, 1.0):
        seen = await until(lambda: panel(at.credentials.username), lambda row: (row["last_seen_at_ms"] or 0) > since_ms)
        again = await until(
            lambda: panel(at.credentials.username),
            lambda row: row["last_seen_at_ms"] > seen["last_seen_at_ms"],
        )
        assert again["version"] == before["version"]
        found = await until(counts, lambda told: told is not None and told["at_ms"] > since_ms)
        assert found["registered"] == 1
        panels = (await scene.office.get("/v1/panels?limit=200"))["items"]
        assert found["enabled"] == len(panels) >= len(scene.town.panels)
        assert (await panel(other.credentials.username)) == silent
        silent_ones = await scene.office.get(f"/v1/panels?silent_since_ms={int(since_ms)}&limit=100")
        shown = {row["account"] for row in silent_ones["items"]}
        assert other.credentials.username in shown
        assert at.credentials.username not in shown
    await nothing_is_left(scene)


async def test_kamailio_that_is_away_or_hangs_is_told_within_a_second(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    account = apartment.residents[0].credentials.username

    async def said_after_s() -> float:
        began_s = time.monotonic()
        with pytest.raises(OfficeError, match=_SILENT):
            await asked_once(scene, account)
        return time.monotonic() - began_s

    await scene.freeze("kamailio")
    await kept_within(_SAID_WITHIN_S, said_after_s)
    await nothing_is_left(scene)
    await scene.thaw("kamailio")
    await scene.stop("kamailio")
    await kept_within(_SAID_WITHIN_S, said_after_s)
    await nothing_is_left(scene)
    await scene.revive()
    assert await contacts(scene, account) == []


async def test_redis_that_was_away_is_used_again(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    resident = apartment.residents[0]
    account = resident.credentials.username
    await scene.kill("redis")
    await scene.resident(resident)  # nobody waits for Redis to register
    with pytest.raises(OfficeError, match=_SILENT):
        await asked_once(scene, account)
    await scene.revive()
    assert await addresses(scene, account) == {f"{resident.address}:5060"}
