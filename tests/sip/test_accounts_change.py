"""Staff changes an account: the phones feel it within a second."""

from __future__ import annotations

import asyncio
import secrets
import time
from typing import TYPE_CHECKING

import pytest

from lab.peers.digest import Credentials
from tests.sip.households import family
from tests.sip.promises import kept_within
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from lab.peers.scripted import ScriptedPeer
    from tests.sip.scene import Scene

_FELT_WITHIN_S = 1.0
_SETTLED_WITHIN_S = 5.0
"""Where it is asked whether a change is felt, not when."""


async def _until_status(peer: ScriptedPeer, credentials: Credentials, wanted: tuple[int, ...]) -> float:
    """Register again and again until the answer is wanted; returns how long that took the platform, in seconds."""
    watch = Stopwatch()
    while (answer := await peer.register(credentials)).status not in wanted:
        assert watch.took_s < 3, f"still {answer.start_line}"
        await asyncio.sleep(0.4)  # a phone's patience: ten refusals in a row would bar its address
    return watch.took_s


async def test_a_disabled_account_is_refused_within_a_second_and_comes_back(scene: Scene) -> None:
    apartment, _, _ = family(scene.town)
    resident = apartment.residents[-1]
    peer = await scene.resident(resident)
    path = f"/v1/accounts/{resident.credentials.username}"
    scene.when_over(scene.delivered)

    async def longer_s() -> float:
        """How long the slower of both changes takes."""
        await scene.office.send("PATCH", path, {"enabled": False})
        try:
            refused_s = await _until_status(peer, resident.credentials, (401, 403))
        finally:
            await scene.office.send("PATCH", path, {"enabled": True})
        return max(refused_s, await _until_status(peer, resident.credentials, (200,)))

    await kept_within(_FELT_WITHIN_S, longer_s)


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


async def _one_more_app(scene: Scene, name: str) -> Credentials:
    """An account of its own in the family: the town's passwords stay as its file tells."""
    apartment, _, _ = family(scene.town)
    lives_in = await scene.office.get(f"/v1/accounts/{apartment.residents[0].credentials.username}")
    wanted = {"account": name, "kind": "app", "apartment_id": lives_in["apartment_id"]}
    scene.when_over(scene.delivered)
    made = await scene.office.send("POST", "/v1/accounts", wanted)
    return Credentials(name, made["password"])


def _removed_when_over(scene: Scene, name: str) -> None:
    async def remove() -> None:
        await scene.office.send("DELETE", f"/v1/accounts/{name}")

    scene.when_over(remove)


async def test_a_rotated_password_replaces_the_old_one_within_a_second(scene: Scene) -> None:
    name = f"rotated-{secrets.token_hex(4)}"
    old = await _one_more_app(scene, name)
    _removed_when_over(scene, name)
    peer = await scene.peer("127.0.3.30")
    await _until_status(peer, old, (200,))
    rights = [old]

    async def gone_s() -> float:
        """How long who has the old password is registered yet."""
        assert await scene.has_contact(name)
        rotated = await scene.office.send("POST", f"/v1/accounts/{name}/rotate-password")
        rights.append(Credentials(name, rotated["password"]))
        return await scene.contact_goes(name, _SETTLED_WITHIN_S)

    async def longer_s() -> float:
        """How long until nobody has the old password any more, and somebody the new one: the longer of both."""
        return max(await gone_s(), await _until_status(peer, rights[-1], (200,)))

    await kept_within(_FELT_WITHIN_S, longer_s)
    await gone_s()
    await _nobody_rings_at(scene, peer)
    assert (await peer.register(rights[-1])).status == 200
    assert [(await peer.register(former)).status in (401, 403) for former in rights[:-1]] == [True] * len(rights[:-1])
    assert (await peer.register(rights[-1], expires_s=0, contact="*")).status == 200


@pytest.mark.parametrize("change", ["a new password", "removed and made anew"])
async def test_what_changes_while_kamailio_is_down_is_felt_at_its_start(scene: Scene, change: str) -> None:
    name = f"rotated-{secrets.token_hex(4)}"
    old = await _one_more_app(scene, name)
    _removed_when_over(scene, name)
    former = await scene.peer("127.0.3.30")
    await _until_status(former, old, (200,))
    await scene.kill("kamailio")

    if change == "a new password":
        new = Credentials(name, (await scene.office.send("POST", f"/v1/accounts/{name}/rotate-password"))["password"])
    else:
        await scene.office.send("DELETE", f"/v1/accounts/{name}")
        new = await _one_more_app(scene, name)
    await scene.revive()
    await scene.contact_goes(name, _SETTLED_WITHIN_S)
    await _nobody_rings_at(scene, former)

    another = await scene.peer("127.0.3.31")
    await _until_status(another, new, (200,))
    await scene.restart("kamailio")
    await scene.felt()
    apartment, at, number = family(scene.town)
    home, visitor, since_s = await scene.home(apartment), await scene.visitor(at), time.monotonic()
    call = await visitor.call(at.credentials, number)
    (await another.incoming(since_s=since_s)).ring()  # who has the new password is left alone by a further start
    await home.all_ring(since_s=since_s)  # a phone that says nothing is sent the INVITE again, also in the next story
    await call.cancel()
    assert (await another.register(new, expires_s=0, contact="*")).status == 200
