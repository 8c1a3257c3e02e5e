"""112 from a door panel: who may call it, the number it calls from, and what is told at the dispatch centre."""

from __future__ import annotations

import asyncio
import contextlib
import time
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from lab.peers.digest import Credentials
from tests.sip.emergency_scene import (
    CITY_LINE,
    SHARED,
    asserted_in,
    call_112,
    caller_of,
    centre_known,
    emergency_record,
    nobody_holds_a_number,
    number_row,
    panel_at,
    the_centre_is_rung,
    until,
)
from tests.sip.promises import in_most_tries, once_hit

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.peers.town import Panel
    from tests.sip.scene import Scene

pytestmark = pytest.mark.usefixtures("patient_leases")


async def test_112_reaches_the_centre_with_a_number_of_the_city(scene: Scene) -> None:
    await nobody_holds_a_number(scene)
    at = panel_at(scene)
    call, ring = await call_112(scene, at)
    number = caller_of(ring)
    assert number in scene.emergency["pool"]
    assert asserted_in(ring) == number
    assert ring.invite.uri.startswith("sip:112@127.0.3.11")
    assert not [name for name, _ in ring.invite.headers if name.lower().startswith("x-entryphone")]
    await call.rtp.wait_for_sound(3)
    await ring.rtp.wait_for_sound(3)
    row = await number_row(scene, number)
    assert (row["status"], row["panel"], row["fias_id"]) == (
        "in_call", at.credentials.username, "0c5b2444-70a0-4932-980c-b4dc0d3f02b5",
    )  # fmt: skip
    assert await ring.bye() == 200
    await call.wait_request("BYE", 3)

    record = await emergency_record(scene, call.call_id, "ended", "number", "dial", "answered")
    assert (record["panel"], record["dialled"], record["number"], record["number_source"]) == (
        at.credentials.username, "112", number, "leased",
    )  # fmt: skip
    assert (record["result"], record["route"], record["test"]) == ("answered", "city-line 112", False)
    assert [s["step"] for s in record["steps"]][:2] == ["number", "dial"]
    assert (await scene.office.call_record(call.call_id))["result"] == "answered"
    kept = await until(lambda: number_row(scene, number), lambda row: row["status"] == "kept")
    assert kept["held_until_ms"] - record["ended_at_ms"] == 86_400_000


async def test_a_centre_whose_server_writes_strange_headers_is_heard(scene: Scene) -> None:
    """One looks as if a header hid in it; another the proxy cannot read at all: nothing of it is believed."""
    call, ring, _ = await the_centre_is_rung(scene, panel_at(scene))
    ring.answer(headers=(("X-Maker", "a=1&c: [2"), ("X-Maker\r\n ", "1")))
    await call.answered()
    await ring.established()
    await call.rtp.wait_for_sound(3)
    assert await call.bye() == 200


async def test_a_panel_that_calls_again_uses_the_same_number(scene: Scene) -> None:
    numbers = []
    for _ in range(2):
        call, ring = await call_112(scene, panel_at(scene))
        numbers.append(caller_of(ring))
        await call.bye()
    assert numbers[0] == numbers[1]


async def test_the_fire_brigades_number_reaches_the_centre_and_an_apartment_of_that_number_does_not(
    scene: Scene,
) -> None:
    call, ring = await call_112(scene, panel_at(scene), dialled="101")
    await call.bye()
    record = await emergency_record(scene, call.call_id, "ended", "number")
    assert (record["dialled"], caller_of(ring)) == ("101", record["number"])


async def test_the_last_panel_gets_the_citys_shared_number_when_the_pool_is_empty(scene: Scene) -> None:
    await nobody_holds_a_number(scene)
    calls = [await call_112(scene, panel_at(scene, index)) for index in range(4)]
    numbers = [caller_of(ring) for _, ring in calls]
    assert sorted(numbers[:3]) == sorted(scene.emergency["pool"])
    assert numbers[3] == SHARED
    for call, _ in calls:
        await call.bye()
    record = await emergency_record(scene, calls[3][0].call_id, "ended", "number")
    assert record["number_source"] == "shared"
    await nobody_holds_a_number(scene)


async def test_a_caller_who_cannot_speak_stays_with_the_centre(scene: Scene) -> None:
    """Some panels send nothing in silence: an ordinary talk ends after 30 s of it."""
    call, ring = await call_112(scene, panel_at(scene))
    await asyncio.gather(ring.rtp.wait_for_sound(3), call.rtp.wait_for_sound(3))
    call.rtp.hush()
    await asyncio.sleep(34)  # longer than any other call may go without sound
    heard = call.rtp.audible_packets
    await call.rtp.wait_for_sound(3, packets=heard + 10)
    assert not ring.ended
    assert await call.bye() == 200


async def test_a_disabled_panel_of_a_company_that_is_out_of_service_still_calls(scene: Scene) -> None:
    at = panel_at(scene, 1)
    account = f"/v1/accounts/{at.credentials.username}"
    company = f"/v1/companies/{(await scene.office.get('/v1/companies'))['items'][0]['id']}"
    await scene.office.send("PATCH", account, {"enabled": False})
    await scene.office.send("PATCH", company, {"active": False})
    try:
        await scene.felt()
        call, _ = await call_112(scene, at)
        await call.bye()
    finally:
        await scene.office.send("PATCH", company, {"active": True})
        await scene.office.send("PATCH", account, {"enabled": True})
        await scene.felt()


async def test_an_app_of_a_blocked_apartment_still_calls(scene: Scene) -> None:
    resident = next(r for a in scene.town.apartments for r in a.residents if r.kind == "app")
    found = await scene.office.get(f"/v1/accounts/{resident.credentials.username}")
    kind = (await scene.office.get("/v1/block-kinds"))["items"][0]
    body = {"apartment_id": found["apartment_id"], "kind_id": kind["id"], "reason": "owes"}
    block = await scene.office.send("POST", "/v1/blocks", body)
    try:
        peer, centre = await scene.peer(resident.address), await scene.peer(CITY_LINE)
        since_s = time.monotonic()
        call = await peer.call(resident.credentials, "112")
        (await centre.incoming("112", 8, since_s)).answer()
        await call.answered()
        await call.bye()
    finally:
        await scene.office.send("DELETE", f"/v1/blocks/{block['id']}")


@contextlib.asynccontextmanager
async def only_101_is_mapped(scene: Scene, at: Panel) -> AsyncIterator[None]:
    """Inside the block the company maps 101 beside 112, and no other number."""
    company = (await scene.office.get("/v1/companies"))["items"][0]["id"]
    path = f"/v1/companies/{company}/emergency-rules"
    await scene.office.send("PUT", path, {"numbers": ["101"]})
    try:
        await until(
            lambda: scene.kept("emergency_places", at.credentials.username),
            lambda told: "101" in told and "104" not in told,
        )
        yield
    finally:
        await scene.office.send("PUT", path, {})


async def test_a_number_that_the_company_does_not_map_is_no_emergency_number(scene: Scene) -> None:
    at = panel_at(scene)
    async with only_101_is_mapped(scene, at):
        visitor, centre = await scene.visitor(at), await scene.peer(CITY_LINE)
        since_s = time.monotonic()
        call = await visitor.call(at.credentials, "104")
        assert (await call.final(15)).status == 404
        assert not [ring for ring in centre.ringing if ring.received.at_s >= since_s]
        mapped, _ = await call_112(scene, at, dialled="101")
        await mapped.bye()


async def test_no_centre_is_told_of_an_ordinary_call_to_such_a_number_that_leaves_its_node(scene: Scene) -> None:
    at = panel_at(scene)
    nodes = scene.stack.settings.every_asterisk_node
    async with only_101_is_mapped(scene, at):
        visitor = await scene.visitor(at)

        async def moved() -> str:
            """The Call-ID, if the node was stopped while it told that there is no such apartment."""
            call = await visitor.call(at.credentials, "104")
            told = await until(lambda: scene.kept("setup", call.call_id), lambda told: " rings " in told)
            await scene.stop(next(name for name, address in nodes.items() if address in told))
            assert (await call.final(15)).status == 404
            if scene.log_lines("kamailio", "call goes on", call.call_id):
                return call.call_id
            await scene.revive()
            return ""

        call_id = await once_hit(moved, bool)

        async def record() -> list[str]:
            return [line["event"] for line in (await scene.office.get(f"/v1/calls/{call_id}"))["story"]]

        await until(record, lambda events: "ended" in events and "moved" in events)
        calls = (await scene.office.get("/v1/emergency-calls?limit=50"))["items"]
        assert call_id not in [row["call_id"] for row in calls]


async def test_an_account_without_a_panel_calls_for_its_companys_city(scene: Scene) -> None:
    company = (await scene.office.get("/v1/companies"))["items"][0]["id"]
    made = await scene.office.send(
        "POST", "/v1/accounts", {"account": "p99999", "kind": "panel", "company_id": company}
    )

    async def remove() -> None:
        await scene.office.send("DELETE", "/v1/accounts/p99999")

    scene.when_over(remove)
    visitor = await scene.peer("127.0.1.99")
    centre = await scene.peer(CITY_LINE)
    since_s = time.monotonic()
    call = await visitor.call(Credentials("p99999", made["password"]), "112")
    ring = await centre.incoming("112", 5, since_s)
    assert caller_of(ring) == SHARED
    ring.answer()
    await call.answered()
    await call.bye()


async def test_an_app_calls_for_its_own_house_unless_the_company_refuses(scene: Scene) -> None:
    apartment = next(a for a in scene.town.apartments if a.residents and a.residents[0].kind == "app")
    resident = apartment.residents[0]
    peer = await scene.peer(resident.address)
    centre = await scene.peer(CITY_LINE)
    since_s = time.monotonic()
    call = await peer.call(resident.credentials, "112")
    ring = await centre.incoming("112", 5, since_s)
    assert caller_of(ring) == SHARED
    ring.answer()
    await call.answered()
    await call.bye()
    company = (await scene.office.get("/v1/companies"))["items"][0]["id"]
    path = f"/v1/companies/{company}/emergency-rules"
    await scene.office.send("PUT", path, {"from_apps": "refused"})

    async def is_refused() -> bool:
        """Only the CRM knows: a node that has not heard from it in time calls the centre."""
        call = await peer.call(resident.credentials, "112")
        with contextlib.suppress(TimeoutError):
            return (await call.final(5)).status == 480
        await call.cancel()
        return False

    try:
        await in_most_tries(is_refused, bool)
    finally:
        await scene.office.send("PUT", path, {})


async def test_a_device_without_account_is_refused(scene: Scene) -> None:
    stranger = await scene.peer("127.0.9.1")
    call = await stranger.call(Credentials("nobody-at-all", "guessed"), "112")
    assert (await call.final(5)).status in (401, 403, 407)


async def _minute_with_room(room_s: float = 15.0) -> None:
    """Calls are counted by the minute of the clock that nobody sets (`kemi_routes.digest`): not at its end."""
    left_s = 60 - time.monotonic() % 60
    if left_s < room_s:
        await asyncio.sleep(left_s)


async def test_policy_may_serve_a_device_without_account_so_often_a_minute(scene: Scene) -> None:
    async with scene.kamailio_host("EP_STRANGERS_PER_MINUTE 0", "EP_STRANGERS_PER_MINUTE 2"):
        stranger, centre = await scene.peer("127.0.9.3"), await scene.peer(CITY_LINE)
        await _minute_with_room()
        for _ in range(2):
            since_s = time.monotonic()
            # It is asked for no password: its INVITE waits for the centre.
            calling = asyncio.create_task(stranger.call(Credentials("nobody-at-all", ""), "112", timeout_s=9))
            ring = await centre.incoming("112", 8, since_s)
            assert caller_of(ring) == SHARED
            ring.answer()
            call = await calling
            await call.answered()
            await call.bye()
        refused = await stranger.call(Credentials("nobody-at-all", ""), "112")
        assert (await refused.final(5)).status == 403


async def test_a_city_that_wants_it_has_its_calls_recorded(scene: Scene) -> None:
    centre = (await scene.office.get("/v1/emergency-centres"))["items"][0]
    path = f"/v1/emergency-centres/{centre['id']}"
    usual = await scene.kept("emergency_cities", "1")
    await scene.office.send("PATCH", path, {"records_calls": True})
    recordings = scene.stack.settings.lib / "recordings"
    before = set(recordings.glob("*.wav")) if recordings.exists() else set()
    at = panel_at(scene)
    try:
        await until(lambda: scene.kept("emergency_cities", "1"), lambda told: told != usual)
        call, ring = await call_112(scene, at)
        await ring.rtp.wait_for_sound(3, packets=50)
        await call.bye()
        await emergency_record(scene, call.call_id)
    finally:
        await scene.office.send("PATCH", path, {"records_calls": False})
        await until(lambda: scene.kept("emergency_cities", "1"), lambda told: told == usual)
    (recorded,) = set(recordings.glob("*.wav")) - before

    async def size() -> int:
        return recorded.stat().st_size

    await until(size, lambda size: size > 8000)  # a second of sound has 16,000 bytes; Asterisk writes them beside it
    of_call = recorded.with_suffix(".call").read_text(encoding="utf-8").strip().split(",")
    assert [unquote(word) for word in of_call[:3]] == [call.call_id, at.credentials.username, "112"]
    assert abs(int(of_call[3]) / 1000 - time.time()) < 60


async def test_a_city_without_a_centre_says_so_and_is_found_by_the_daily_check(scene: Scene) -> None:
    centre = (await scene.office.get("/v1/emergency-centres"))["items"][0]
    body = {name: value for name, value in centre.items() if name not in ("id", "version")}
    await scene.office.send("DELETE", f"/v1/emergency-centres/{centre['id']}")
    try:
        at = panel_at(scene)

        async def gone() -> str:
            visitor = await scene.visitor(at)
            call = await visitor.call(at.credentials, "112")
            final = await call.final(20)
            return f"{final.status}"

        # Kamailio reads the city anew within seconds; until then the centre is still called, and nobody answers there.
        status = await until(gone, lambda status: status == "480", 30)
        assert status == "480"
    finally:
        await scene.office.send("POST", "/v1/emergency-centres", body)
        await centre_known(scene)
