"""Apps that a call has woken are told by push as soon as somebody has answered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.sip.carriers import FIRST, SECOND, either
from tests.sip.ordinary import they_talk
from tests.sip.sleepers import push_services, sleeping_device

if TYPE_CHECKING:
    from tests.sip.scene import Scene


async def test_a_phone_answers_and_the_app_that_was_woken_is_told_while_they_talk(scene: Scene) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("no plan of her own")
    stages = [{"ring_timeout_s": 30, "targets": [{"kind": "all"}, {"kind": "phone"}]}]
    async with scene.plan_with(at, number, stages):
        token = await sleeping_device(scene, apartment.residents[0], "fcm")
        carrier, other = await scene.peer(FIRST), await scene.peer(SECOND)
        call = await (await scene.visitor(at)).call(at.credentials, number)
        leg = await either(carrier, other, apartment.mobiles[0].number)
        await services.wait_for(token)
        await they_talk(call, leg)
        cancel = await services.wait_for(token, "cancel")
        assert (cancel.data["reason"], call.ended) == ("answered", False)
        await call.bye()


async def test_of_two_devices_of_an_account_the_one_that_does_not_answer_is_told(scene: Scene) -> None:
    services = await push_services(scene)
    apartment, at, number = scene.town.apartment("nobody registered")
    (resident,) = apartment.residents
    answers, sleeps = [await sleeping_device(scene, resident, platform) for platform in ("fcm", "apns_voip")]
    call = await (await scene.visitor(at)).call(at.credentials, number)
    await services.wait_for(answers)
    await services.wait_for(sleeps)
    ring = await (await scene.resident(resident)).incoming()
    await they_talk(call, ring)
    cancel = await services.wait_for(sleeps, "cancel")
    assert (cancel.data["reason"], call.ended) == ("answered", False)
    await call.bye()
