"""The resident's phone, called by Twilio's voice API: its answer joins the visitor's call, whatever Twilio does."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from lab.peers.digest import Credentials
from lab.peers.twilio import Fault, Twilio
from tests.sip.carriers import FIRST, SECOND, either
from tests.sip.records import record_so_far, record_with, record_with_keys

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.peers.calls import OutgoingCall
    from lab.peers.town import Apartment, Panel
    from lab.peers.twilio import PlacedCall
    from tests.sip.scene import Scene

_ACCOUNT, _TOKEN = "AC" + "0" * 32, "a token of the account"
_NUMBER = "+74953330003"
_EDGE, _STRANGER = "127.0.3.21", "127.0.3.22"


@contextlib.asynccontextmanager
async def _twilio(scene: Scene, *, carriers: bool = False) -> AsyncIterator[Twilio]:
    """Twilio calls the phones of the town; the carriers are there, too, or switched off."""
    office = scene.office
    edge = await scene.peer(_EDGE)
    # A name of its own: a trunk that has failed in another story rests for half a minute.
    twilio = await Twilio.start(scene.stack.settings.twilio_host, _ACCOUNT, _TOKEN, (_NUMBER,), edge)
    scene.when_over(twilio.stop)
    company = (await office.get("/v1/companies"))["items"][0]["id"]
    made = await office.send("POST", "/v1/trunks", {
        "name": twilio.trunk, "kind": "twilio_voice", "username": _ACCOUNT, "password": _TOKEN, "networks": [_EDGE],
        "price_per_minute_micros": 20_000, "routes": [{"company_id": company, "caller_number": _NUMBER}],
    })  # fmt: skip
    others = [] if carriers else (await office.get("/v1/trunks"))["items"]
    others = [trunk for trunk in others if trunk["name"].startswith("carrier")]
    for trunk in others:
        await office.send("PATCH", f"/v1/trunks/{trunk['id']}", {"enabled": False})
    await scene.felt()
    try:
        yield twilio
    finally:
        await office.send("DELETE", f"/v1/trunks/{made['id']}")
        for trunk in others:
            await office.send("PATCH", f"/v1/trunks/{trunk['id']}", {"enabled": True})
        await scene.felt()


class Called(NamedTuple):
    """A visitor whose call rings the resident's phone through Twilio."""

    visit: OutgoingCall
    phone: PlacedCall
    apartment: Apartment
    at: Panel


async def _called(scene: Scene, twilio: Twilio, note: str = "phone only") -> Called:
    apartment, at, number = scene.town.apartment(note)
    visitor = await scene.visitor(at)
    visit = await visitor.call(at.credentials, number)
    phone = await twilio.placed(apartment.mobiles[0].number)
    return Called(visit, phone, apartment, at)


def _told_of_branches(record: dict[str, Any]) -> list[tuple[str, str]]:
    return [(line["trunk"], line["outcome"]) for line in record["story"] if line["event"] == "branch"]


async def _branches(scene: Scene, visit: OutgoingCall, outcome: str) -> list[tuple[str, str]]:
    """What the story of a call that is over tells of its branches, once it tells this of one."""
    record = await record_with(
        scene, visit.call_id, lambda record: outcome in {told for _, told in _told_of_branches(record)}
    )
    return _told_of_branches(record)


async def test_a_phone_that_is_asked_for_a_key_is_free_when_the_visitor_leaves(scene: Scene) -> None:
    async with _twilio(scene) as twilio:
        visit, phone, _, _ = await _called(scene, twilio, "presses a key first")
        talk = await phone.answer()
        await talk.answered()
        await talk.rtp.wait_for_sound(3)
        await visit.cancel()
        await talk.wait_request("BYE", 5)
        (told,) = await scene.office.phone_legs(visit.call_id, 1)
        assert told["connected"] is False


async def test_a_phone_answers_talks_opens_and_is_paid_for(scene: Scene) -> None:
    async with _twilio(scene) as twilio:
        visit, phone, apartment, at = await _called(scene, twilio)
        assert phone.caller_number == _NUMBER
        await visit.ringing()
        assert await phone.ring() == 204
        await record_so_far(scene, visit.call_id, lambda record: (twilio.trunk, "ringing") in _told_of_branches(record))
        talk = await phone.answer()
        await talk.answered()
        await visit.answered()
        await visit.rtp.wait_for_sound(3)
        await talk.rtp.wait_for_sound(3)
        await talk.rtp.press(at.door_code[0])
        await talk.rtp.press("5")
        await talk.rtp.press("#")
        await visit.rtp.wait_for_key(at.door_code[0], 3)
        assert len(visit.rtp.keys) == 1, "only the key opens"
        await phone.hang_up()
        await visit.wait_request("BYE", 3)

        mobile = apartment.mobiles[0]
        record = await record_with_keys(scene, visit.call_id)
        assert (record["result"], record["answered_by"]) == ("answered", mobile.account)
        assert [line["hung_up_by"] for line in record["story"] if line["event"] == "ended"] == ["callee"]
        assert [(opening["result"], opening["account"]) for opening in record["access_records"]] == [
            ("sent", mobile.account)
        ]
        assert await _branches(scene, visit, "answered") == [
            (twilio.trunk, "invited"),
            (twilio.trunk, "ringing"),
            (twilio.trunk, "answered"),
        ]
        (leg,) = await scene.office.phone_legs(visit.call_id, 1)
        assert (leg["trunk"], leg["billed_s"], leg["cost_micros"], leg["connected"]) == (twilio.trunk, 60, 20_000, True)
        assert leg["account"] == mobile.account


async def test_the_visitor_hangs_up_after_the_talk(scene: Scene) -> None:
    async with _twilio(scene) as twilio:
        visit, phone, _, _ = await _called(scene, twilio)
        talk = await phone.answer()
        await talk.answered()
        await visit.answered()
        await visit.bye()
        await talk.wait_request("BYE", 3)
        assert (await scene.office.call_record(visit.call_id))["result"] == "answered"


async def test_the_visitor_leaves_and_twilio_stops_ringing(scene: Scene) -> None:
    async with _twilio(scene) as twilio:
        visit, phone, _, _ = await _called(scene, twilio)
        await phone.ring()
        await visit.ringing()
        assert (await visit.cancel()).status == 487
        await asyncio.wait_for(phone.hung_up.wait(), 3)
        record = await scene.office.call_record(visit.call_id)
        assert record["result"] == "caller_hung_up"
        assert (await _branches(scene, visit, "cancelled"))[-1] == (twilio.trunk, "cancelled")


@pytest.mark.parametrize(
    ("status", "sip_status", "outcome", "final"),
    [("busy", 0, "busy", 486), ("no-answer", 0, "offline", 480), ("failed", 603, "declined", 480)],
)
async def test_a_phone_that_does_not_answer_ends_its_leg(
    scene: Scene, status: Any, sip_status: int, outcome: str, final: int
) -> None:
    async with _twilio(scene) as twilio:
        visit, phone, _, _ = await _called(scene, twilio)
        assert await phone.refuse(status, sip_status) == 204
        assert (await visit.final(15)).status == final
        assert (await _branches(scene, visit, outcome))[-1] == (twilio.trunk, outcome)


async def test_the_app_answers_and_twilio_stops_ringing(scene: Scene) -> None:
    async with _twilio(scene) as twilio:
        apartment, at, number = scene.town.apartment("presses a key first")
        home = await scene.home(apartment)
        visitor = await scene.visitor(at)
        visit = await visitor.call(at.credentials, number)
        phones = [await twilio.placed(mobile.number) for mobile in apartment.mobiles]
        (app,) = await home.all_ring()
        app.answer()
        await visit.answered()
        for phone in phones:
            await asyncio.wait_for(phone.hung_up.wait(), 3)
        await visit.bye()
        assert (await scene.office.call_record(visit.call_id))["answered_by"] == app_account(apartment)


def app_account(apartment: Apartment) -> str:
    """The account of the only app."""
    return apartment.residents[0].credentials.username


async def test_a_phone_is_told_that_the_talk_is_recorded(scene: Scene) -> None:
    async with scene.company_with(records_calls=True), _twilio(scene) as twilio:
        visit, phone, _, at = await _called(scene, twilio)
        talk = await phone.answer()
        await talk.answered()
        await talk.rtp.wait_for_sound(3, packets=50)
        assert 200 not in visit.statuses
        await talk.rtp.press(at.door_code[0])
        await visit.answered()
        assert visit.rtp.keys == []
        await talk.rtp.press("#")
        await visit.rtp.wait_for_key(at.door_code[0], 3)
        await visit.bye()
        await talk.wait_request("BYE", 3)


async def test_an_answering_machine_presses_no_key_and_the_other_phone_rings_on(scene: Scene) -> None:
    async with _twilio(scene) as twilio:
        apartment, at, number = scene.town.apartment("presses a key first")
        home = await scene.home(apartment)
        visitor = await scene.visitor(at)
        visit = await visitor.call(at.credentials, number)
        machine, person = [await twilio.placed(mobile.number) for mobile in apartment.mobiles]
        (app,) = await home.all_ring()
        recorded = await machine.answer()
        await recorded.answered()
        await recorded.rtp.wait_for_sound(3)
        await recorded.wait_request("BYE", 25)  # nobody pressed a key
        assert 200 not in visit.statuses
        assert app.cancelled is None

        talk = await person.answer()
        await talk.answered()
        await talk.rtp.wait_for_sound(3)
        await talk.rtp.press("#")  # any key
        await visit.answered()
        await app.wait_cancelled()
        await talk.rtp.press("#")
        await visit.rtp.wait_for_key(at.door_code[0], 3)
        await visit.bye()
        await talk.wait_request("BYE", 3)
    legs = {leg["account"]: leg["connected"] for leg in await scene.office.phone_legs(visit.call_id, 2)}
    assert legs == {apartment.mobiles[0].account: False, apartment.mobiles[1].account: True}
    assert (await scene.office.call_record(visit.call_id))["answered_by"] == apartment.mobiles[1].account


async def test_whoever_picks_up_and_hangs_up_before_the_key_has_not_answered(scene: Scene) -> None:
    async with _twilio(scene) as twilio:
        apartment, at, number = scene.town.apartment("presses a key first")
        home = await scene.home(apartment)
        visitor = await scene.visitor(at)
        visit = await visitor.call(at.credentials, number)
        first, second = [await twilio.placed(mobile.number) for mobile in apartment.mobiles]
        (app,) = await home.all_ring()
        app.reject(486)
        await second.refuse("busy")
        talk = await first.answer()
        await talk.answered()
        await talk.rtp.wait_for_sound(3)
        hung_up_s = time.monotonic()
        await first.hang_up()
        await visit.final(15)
        assert time.monotonic() - hung_up_s < 12  # and not when the stage has rung for 20 s
        (leg,) = await scene.office.phone_legs(visit.call_id, 1)
        assert not leg["connected"]


@pytest.mark.parametrize("fault", ["refuses", "unavailable", "hangs"])
async def test_without_twilio_the_next_carrier_calls(scene: Scene, fault: Fault) -> None:
    async with _twilio(scene, carriers=True) as twilio:
        twilio.fault = fault
        apartment, at, number = scene.town.apartment("phone only")
        first, second = await scene.peer(FIRST), await scene.peer(SECOND)
        visitor = await scene.visitor(at)
        visit = await visitor.call(at.credentials, number)
        (await either(first, second, apartment.mobiles[0].number, 12)).reject(486)
        assert (await visit.final(15)).status == 486
        assert (await _branches(scene, visit, "busy"))[:2] == [(twilio.trunk, "invited"), (twilio.trunk, "failed")]


async def test_the_worker_is_dead_and_the_call_goes_on(scene: Scene) -> None:
    async with _twilio(scene) as twilio:
        await scene.kill("crm-voice")
        _, at, number = scene.town.apartment("phone only")
        visitor = await scene.visitor(at)
        began_s = time.monotonic()
        visit = await visitor.call(at.credentials, number)
        await visit.final(20)
        assert 4 < time.monotonic() - began_s < 15
        assert twilio.calls == []
        assert (await _branches(scene, visit, "failed"))[-1] == (twilio.trunk, "failed")
        await scene.revive()
        assert twilio.calls == []  # a late wish calls nobody


async def test_a_token_is_good_once_from_twilio_alone_and_while_the_visitor_waits(scene: Scene) -> None:
    async with _twilio(scene) as twilio:
        visit, phone, _, _ = await _called(scene, twilio)
        token = phone.dialled(await phone.fetch()).removeprefix("sip:").partition("@")[0]
        stranger = await scene.peer(_STRANGER)
        nobody = Credentials("+79990000000", "")
        assert (await (await stranger.call(nobody, token)).final()).status in {401, 403, 407}
        wrong = await twilio.edge.call(nobody, "v" + "0" * 32)
        assert (await wrong.final()).status == 404
        forged = await twilio.edge.call(nobody, "voice", headers=(("X-Entryphone-Waiting", "0 a b|a|c|0||en|x"),))
        assert (await forged.final()).status in {401, 403, 407}
        assert 200 not in visit.statuses

        talk = await twilio.edge.call(nobody, token)
        await talk.answered()
        await visit.answered()
        again = await twilio.edge.call(nobody, token)
        assert (await again.final()).status == 404
        await visit.bye()
        await talk.wait_request("BYE", 3)

        visit, phone, _, _ = await _called(scene, twilio)
        token = phone.dialled(await phone.fetch()).removeprefix("sip:").partition("@")[0]
        await visit.ringing()
        await visit.cancel()
        await asyncio.wait_for(phone.hung_up.wait(), 3)  # so the leg has heard of it
        late = await twilio.edge.call(nobody, token)
        assert (await late.final()).status == 404


async def test_a_webhook_with_a_wrong_signature_or_replayed_changes_nothing(scene: Scene) -> None:
    async with _twilio(scene) as twilio:
        visit, phone, _, _ = await _called(scene, twilio)
        busy = phone.event_fields("busy", {})
        assert await phone.send(busy, "d3Jvbmc=") == 403
        assert await phone.send(busy, "") == 403
        assert await phone.send({**busy, "CallSid": "CA" + "0" * 32}) == 403
        assert (await twilio.post(phone.url, phone.fields("in-progress"), "d3Jvbmc=")).status_code == 403
        assert (await twilio.post(phone.url + "0", phone.fields("in-progress"))).status_code == 403
        old = {**phone.event_fields("busy", {}), "Timestamp": "Sat, 01 Aug 2026 10:00:00 +0000"}
        assert await phone.send(old) == 409
        ringing = phone.event_fields("ringing", {})
        assert await phone.send(ringing) == 204
        assert await phone.send(ringing) == 409
        talk = await phone.answer()
        assert (await phone.fetch()).status_code == 409
        await talk.answered()
        await visit.answered()  # after all that it still waited
        await visit.bye()
        assert (await scene.office.call_record(visit.call_id))["result"] == "answered"
