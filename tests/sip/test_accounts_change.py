"""Staff changes an account: the phones feel it within a second."""

from __future__ import annotations

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
        assert time.monotonic() - began_s < 5, f"still {answer.start_line}"
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


async def test_a_rotated_password_replaces_the_old_one_within_a_second(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    resident = apartment.residents[-1]
    peer = await scene.resident(resident)
    path = f"/v1/accounts/{resident.credentials.username}"
    fresh = Credentials(resident.credentials.username, "a fresh password of 28 chars")

    await scene.office.send("PATCH", path, {"password": fresh.password})
    try:
        assert await _until_status(peer, fresh, (200,)) < _FELT_WITHIN_S
        assert (await peer.register(resident.credentials)).status in (401, 403)
    finally:
        await scene.office.send("PATCH", path, {"password": resident.credentials.password})
    assert await _until_status(peer, resident.credentials, (200,)) < _FELT_WITHIN_S
