"""The plan that a call went by is in its story, and answers why a phone did not ring: whatever has changed since."""

from __future__ import annotations

import asyncio
import contextlib
import secrets
import time
from typing import TYPE_CHECKING, Any

import pytest

from lab.peers.digest import Credentials
from lab.peers.scripted import ScriptedPeer
from tests.at_rest import await_rest
from tests.sip.households import in_two_stages, nobody_home, quiet_at_night, quiet_hours
from tests.sip.ordinary import they_talk
from tests.sip.promises import in_most_tries
from tests.sip.records import record_with
from tests.sip.why import why, why_by_command

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.peers.town import Panel
    from tests.sip.scene import Scene

_HALL = "127.0.3.91"


async def _plans(scene: Scene, call_id: str) -> list[dict[str, Any]]:
    """The plans in the story of a call that is over; another process than that of its end may tell them."""

    def plans(record: dict[str, Any]) -> list[dict[str, Any]]:
        return [line for line in record["story"] if line["event"] == "plan"]

    return plans(await record_with(scene, call_id, lambda record: bool(plans(record))))


async def _why(scene: Scene, call_id: str, account: str) -> str:
    await _plans(scene, call_id)
    rang, sentence = await why(scene, call_id, account)
    assert rang is False
    return sentence


async def _nobody_is_reached(scene: Scene, at: Panel, number: str) -> str:
    visitor = await scene.visitor(at)
    call = await visitor.call(at.credentials, number)
    assert (await call.final(15)).status == 480
    return call.call_id


async def _answered_in_the_first_stage(scene: Scene) -> str:
    apartment, at, number = in_two_stages(scene.town)
    phone, visitor = await scene.resident(apartment.residents[0]), await scene.visitor(at)
    began_s = time.monotonic()
    call = await visitor.call(at.credentials, number)
    ring = await phone.incoming(since_s=began_s)
    await they_talk(call, ring)
    await call.bye()
    await ring.wait_request("BYE", 3)
    return call.call_id


async def test_the_story_tells_who_was_named_in_which_stage_and_from_where(scene: Scene) -> None:
    await asyncio.to_thread(await_rest, scene.stack.settings)  # for two seconds after a change no plan is kept
    apartment, at, number = in_two_stages(scene.town)
    handset, app = (resident.credentials.username for resident in apartment.residents)
    kept = await scene.office.get(f"/v1/ring-plans/{at.credentials.username}/{number}")
    calls = [await _answered_in_the_first_stage(scene) for _ in range(2)]
    for call_id in calls:
        (plan,) = await _plans(scene, call_id)
        story = (await scene.office.call_record(call_id))["story"]
        assert [line["event"] for line in story][:2] == ["dialled", "plan"]
        assert (plan["outcome"], plan["stage"], "left_out" in plan) == ("ring", 0, False)
        assert [stage["accounts"] for stage in plan["stages"]] == [[handset], [app]]
        assert [stage["ring_timeout_s"] for stage in plan["stages"]] == [s["ring_timeout_s"] for s in kept["stages"]]
        assert plan["issued_at_ms"] <= plan["at_ms"]

    async def source() -> str:
        (plan,) = await _plans(scene, await _answered_in_the_first_stage(scene))
        return str(plan["plan_source"])

    await in_most_tries(source, lambda told: told == "redis")  # which has 0.15 s for its answer


async def test_an_account_that_is_switched_off_after_the_call_was_not_the_reason(scene: Scene) -> None:
    apartment, _, _ = in_two_stages(scene.town)
    handset, app = (resident.credentials.username for resident in apartment.residents)
    on = await _answered_in_the_first_stage(scene)
    async with scene.with_values(f"/v1/accounts/{app}", enabled=False):
        sentence = f"{app} was not called: its turn, stage 2, did not come, as {handset} answered in stage 1."
        assert await _why(scene, on, app) == sentence
        off = await _answered_in_the_first_stage(scene)
    assert await _why(scene, off, app) == f"{app} was not called: it was switched off."


async def test_an_account_that_kept_quiet_hours_hears_so_when_they_are_others(scene: Scene) -> None:
    apartment, at, number = quiet_at_night(scene.town)
    (sleeper, _), *others = (await scene.home(apartment)).phones
    account = sleeper.credentials.username
    async with scene.with_values(f"/v1/accounts/{account}", **quiet_hours(-1, 1)):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        for _, peer in others:
            (await peer.incoming()).ring()
        await call.cancel()
        (plan,) = await _plans(scene, call.call_id)
    assert plan["left_out"] == {"quiet_hours": [account]}
    sentence = f"{account} was not called: it kept quiet hours at that time of day."
    async with scene.with_values(f"/v1/accounts/{account}", quiet_from=None, quiet_until=None):
        assert await _why(scene, call.call_id, account) == sentence
        assert await why_by_command(scene, call.call_id, account) == sentence


@pytest.mark.parametrize(
    ("rules", "reason"),
    [
        pytest.param(
            {"apartment_phone_minutes": 0}, "the minutes of phones were used up for this month", id="minutes used up"
        ),
        pytest.param(
            {"phone_countries": "KZ,BY"}, "the company allowed no calls to the country of its number", id="country"
        ),
    ],
)
async def test_a_phone_that_was_not_paid_for_hears_so_when_it_is_again(
    scene: Scene, rules: dict[str, Any], reason: str
) -> None:
    apartment, at, number = scene.town.apartment("phone only")
    (mobile,) = apartment.mobiles
    async with scene.company_with(**rules):
        call_id = await _nobody_is_reached(scene, at, number)
    assert await _why(scene, call_id, mobile.account) == f"{mobile.account} was not called: {reason}."


@contextlib.asynccontextmanager
async def _thirty_one(scene: Scene) -> AsyncIterator[list[Credentials]]:
    """An apartment whose own handset lies in a drawer, and thirty apps more: these."""
    apartment, _, _ = nobody_home(scene.town)
    own = await scene.office.get(f"/v1/accounts/{apartment.residents[0].credentials.username}")
    made = []
    try:
        for _ in range(30):
            body = {"account": f"many-{secrets.token_hex(5)}", "kind": "app", "apartment_id": own["apartment_id"]}
            answer = await scene.office.send("POST", "/v1/accounts", body)
            made.append(Credentials(body["account"], answer["password"]))
        await scene.felt()
        yield made
    finally:
        for credentials in made:
            await scene.office.send("DELETE", f"/v1/accounts/{credentials.username}")


async def test_the_thirty_first_of_a_home_rings_when_the_first_thirty_have_not_answered(scene: Scene) -> None:
    _, at, number = nobody_home(scene.town)
    async with _thirty_one(scene) as apps, contextlib.AsyncExitStack() as exits:
        hall = await ScriptedPeer.open(scene.town.sip, _HALL, streams=4)
        exits.callback(hall.close)
        first, last = apps[0], apps[-1]
        for credentials in (first, last):
            exits.push_async_callback(hall.register, credentials, expires_s=0, contact="*")
            assert (await hall.register(credentials)).status == 200
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        refusing = await hall.incoming(first.username)
        assert [ring.invite.uri for ring in hall.ringing if last.username in ring.invite.uri] == []
        refusing.ring()
        refusing.reject(603)
        ring = await hall.incoming(last.username)
        await they_talk(call, ring)
        await call.bye()
        await ring.wait_request("BYE", 3)
        (plan,) = await _plans(scene, call.call_id)
        assert [len(stage["accounts"]) for stage in plan["stages"]] == [30, 1]
        assert plan["stages"][1]["accounts"] == [last.username]


async def test_the_thirty_first_of_a_full_stage_hears_that_it_was_full(scene: Scene) -> None:
    _, at, number = nobody_home(scene.town)
    async with _thirty_one(scene) as apps:
        async with scene.plan_with(at, number, [{"ring_timeout_s": 5, "targets": [{"kind": "all"}]}]):
            shown = await scene.office.get(f"/v1/ring-plans/{at.credentials.username}/{number}")
            assert shown["left_out"] == {"too_many": [apps[-1].username]}
            call_id = await _nobody_is_reached(scene, at, number)
        sentence = "its stage was full, as no more than 30 accounts ring together"
        last = apps[-1].username
        assert await _why(scene, call_id, last) == f"{last} was not called: {sentence}."
