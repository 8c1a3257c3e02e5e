"""Apps that sleep on the stage of a story: the push services that wake them, and their devices."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from lab.peers.push_services import PushServices
from tests.sip.households import BUTTON, beside_a_desk

if TYPE_CHECKING:
    from lab.peers.town import Resident
    from tests.sip.scene import Scene


async def push_services(scene: Scene) -> PushServices:
    services = await PushServices.start(scene.stack.settings)
    scene.when_over(services.stop)
    return services


async def sleeping_device(scene: Scene, resident: Resident, platform: str, token: str = "") -> str:
    """Give an account a device that sleeps, until the story is over."""
    account = resident.credentials.username
    text = token or (f"http://127.0.0.70/hook/{account}" if platform == "webhook" else f"token-of-{account}-{platform}")
    body = {"account": account, "device": f"{platform}-1", "platform": platform, "token": text}
    made = await scene.office.send("POST", "/v1/push-tokens", body)

    async def remove() -> None:
        await scene.office.send("DELETE", f"/v1/push-tokens/{made['id']}")

    scene.when_over(remove)
    await plan_knows(scene, resident)
    return text


async def plan_knows(scene: Scene, resident: Resident, *, wakes: bool = True) -> None:
    """A change reaches the next call within a second: wait until it has."""
    panel, number = _where_it_rings(scene, resident)
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        plan = await scene.office.get(f"/v1/ring-plans/{panel}/{number}")
        targets = {t["account"]: t.get("wakes", False) for stage in plan["stages"] for t in stage["targets"]}
        if targets.get(resident.credentials.username) is wakes:
            await scene.felt()
            return
    raise AssertionError(f"the plan of {panel}:{number} does not say that {resident.credentials.username} wakes")


def _where_it_rings(scene: Scene, resident: Resident) -> tuple[str, str]:
    """Return the panel and the number that ring an account."""
    if resident in scene.town.desks:
        return beside_a_desk(scene.town)[0][1].credentials.username, BUTTON
    apartment = next(a for a in scene.town.apartments if resident in a.residents)
    return next(iter(apartment.dial.items()))
