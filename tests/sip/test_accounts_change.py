"""Staff changes an account: the phones feel it within a second."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

from lab.peers.digest import Credentials
from tests.sip.households import family

if TYPE_CHECKING:
    from lab.peers.scripted import ScriptedPeer
    from tests.sip.scene import Scene

_FELT_WITHIN_S = 1.0


async def _until_status(peer: ScriptedPeer, credentials: Credentials, wanted: tuple[int, ...]) -> float:
    """Register again and again until the answer is wanted; returns how long it took, in seconds."""
    began_s = time.monotonic()
    while (answer := await peer.register(credentials)).status not in wanted:
        assert time.monotonic() - began_s < 3, f"still {answer.start_line}"
        await asyncio.sleep(0.2)  # a phone's patience: ten refusals in a row would bar its address
    return time.monotonic() - began_s


async def test_a_disabled_account_is_refused_within_a_second_and_comes_back(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    resident = apartment.residents[-1]
    peer = await scene.resident(resident)
    path = f"/v1/accounts/{resident.credentials.username}"

    await scene.office.send("PATCH", path, {"enabled": False})
    try:
        assert await _until_status(peer, resident.credentials, (401, 403)) < _FELT_WITHIN_S
    finally:
        await scene.office.send("PATCH", path, {"enabled": True})
    assert await _until_status(peer, resident.credentials, (200,)) < _FELT_WITHIN_S


async def _nobody_rings_at(scene: Scene, former: ScriptedPeer) -> None:
    """Whoever has a phone with the old password is not rung with the family any more."""
    apartment, at, number = family(scene.town)
    await scene.felt()
    home = await scene.home(apartment)
    visitor = await scene.visitor(at)
    since_s = time.monotonic()
    call = await visitor.call(at.credentials, number)
    await home.all_ring(since_s=since_s)
    await call.cancel()
    assert not former.ringing


async def test_a_rotated_password_replaces_the_old_one_within_a_second(scene: Scene) -> None:
    name = f"rotated-{secrets.token_hex(4)}"  # an account of its own: the town's passwords stay as its file tells
    apartment, _, _ = family(scene.town)
    lives_in = await scene.office.get(f"/v1/accounts/{apartment.residents[0].credentials.username}")
    wanted = {"account": name, "kind": "app", "apartment_id": lives_in["apartment_id"]}
    made = await scene.office.send("POST", "/v1/accounts", wanted)
    old = Credentials(name, made["password"])
    peer = await scene.peer("127.0.3.30")
    assert await _until_status(peer, old, (200,)) < _FELT_WITHIN_S

    rotated = await scene.office.send("POST", f"/v1/accounts/{name}/rotate-password")
    await _nobody_rings_at(scene, peer)

    assert await _until_status(peer, Credentials(name, rotated["password"]), (200,)) < _FELT_WITHIN_S
    assert (await peer.register(old)).status in (401, 403)
    assert (await peer.register(Credentials(name, rotated["password"]), expires_s=0, contact="*")).status == 200
    await scene.office.send("DELETE", f"/v1/accounts/{name}")
