"""112 from a door panel: the number it calls from, the ways to the dispatch centre, and what is told there."""

from __future__ import annotations

import asyncio
import time
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING
from urllib.parse import unquote

import pytest

from lab.peers.digest import Credentials
from lab.probes import kamailio_rpc
from tests.at_rest import await_nodes
from tests.sip.emergency_scene import (
    CARRIER_A,
    CARRIER_B,
    CITY_LINE,
    SECOND_LINE,
    SHARED,
    asserted_in,
    call_112,
    caller_of,
    centre_known,
    emergency_record,
    language_known,
    line_that_only_tries,
    nobody_holds_a_number,
    number_row,
    panel_at,
    rested,
    silent_line,
    tell,
    until,
)
from tests.sip.ordinary import they_talk
from tests.sip.spoken import language_of
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from lab.peers.scripted import ScriptedPeer
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


async def test_a_silent_line_is_passed_over_within_two_seconds(scene: Scene) -> None:
    await silent_line(scene, CITY_LINE)
    watch = Stopwatch()
    call, ring = await call_112(scene, panel_at(scene), SECOND_LINE)
    took_s = watch.took_s
    tell(f"first line silent: {took_s:.1f} s to the centre")
    assert took_s < 2.5
    assert caller_of(ring) in scene.emergency["pool"]
    assert asserted_in(ring) == ""  # this line looks into From only
    await call.bye()


async def test_a_line_that_answers_too_late_is_hung_up_and_the_next_ones_are_tried(scene: Scene) -> None:
    """The second line, which is being asked by then, refuses: its answer had been taken for the end of the search."""
    await rested(scene)
    late, second, third = [await scene.peer(line) for line in (CITY_LINE, SECOND_LINE, CARRIER_A)]
    visitor = await scene.visitor(panel_at(scene))
    since_s = time.monotonic()
    call = await visitor.call(panel_at(scene).credentials, "112")
    silent = await late.incoming("112", 3, since_s)
    refusing = await second.incoming("112", 3, since_s)
    silent.answer()
    await silent.established()
    await silent.wait_request("BYE", 3)
    refusing.reject(503)
    ring = await third.incoming("", 3, since_s)
    await they_talk(call, ring)
    await asyncio.gather(ring.rtp.wait_for_sound(3), call.rtp.wait_for_sound(3))
    assert await call.bye() == 200
    await ring.wait_request("BYE", 3)
    record = await emergency_record(scene, call.call_id, "ended", "answered")
    assert [step["step"] for step in record["steps"]].count("answered") == 1
    await rested(scene)


async def test_a_line_that_takes_the_call_and_does_not_ring_is_passed_over(scene: Scene) -> None:
    await line_that_only_tries(scene, CITY_LINE)
    began_s = time.monotonic()
    call, _ = await call_112(scene, panel_at(scene), SECOND_LINE, timeout_s=12)
    assert 5.5 < time.monotonic() - began_s < 8
    await call.bye()
    record = await emergency_record(scene, call.call_id, "ended", "way_failed")
    assert next(s["detail"] for s in record["steps"] if s["step"] == "way_failed").endswith("does not ring")


async def test_a_line_that_rings_for_long_is_left_to_ring(scene: Scene) -> None:
    await rested(scene)
    centre, visitor = await scene.peer(CITY_LINE), await scene.visitor(panel_at(scene))
    since_s = time.monotonic()
    call = await visitor.call(panel_at(scene).credentials, "112")
    ring = await centre.incoming("112", 8, since_s)
    ring.ring()
    second = await scene.peer(SECOND_LINE)
    await asyncio.sleep(8)  # longer than a line may take to ring
    assert second.ringing == []
    ring.answer()
    await call.answered()
    await ring.established()
    await call.bye()


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


async def test_the_public_number_through_any_trunk_is_the_last_way(scene: Scene) -> None:
    for line in (CITY_LINE, SECOND_LINE):
        await silent_line(scene, line)
    began_s = time.monotonic()
    call, ring = await call_112(scene, panel_at(scene), CARRIER_A, number="+74951120112", timeout_s=12)
    tell(f"two lines silent: {time.monotonic() - began_s:.1f} s to the centre's public number")
    assert ring.invite.uri.startswith("sip:+74951120112@127.0.3.1")
    await call.bye()
    record = await emergency_record(scene, call.call_id, "ended", "way_failed", "answered")
    assert record["route"] == "carrier-a +74951120112"
    failed = [s["detail"] for s in record["steps"] if s["step"] == "way_failed"]
    assert failed[0].endswith("silent")


@pytest.mark.parametrize("status", [486, 500, 503, 404])
async def test_a_line_that_refuses_is_followed_by_the_next(scene: Scene, status: int) -> None:
    await rested(scene)
    first, second = await scene.peer(CITY_LINE), await scene.peer(SECOND_LINE)
    visitor = await scene.visitor(panel_at(scene))
    since_s = time.monotonic()
    call = await visitor.call(panel_at(scene).credentials, "112")
    refused = await first.incoming("112", 5, since_s)
    refused.reject(status)
    (await second.incoming("112", 5, since_s)).answer()
    await call.answered()
    await call.bye()


async def test_the_visitor_hears_ringing_while_a_line_says_183_and_nothing_else(scene: Scene) -> None:
    await rested(scene)
    centre, at = await scene.peer(CITY_LINE), panel_at(scene)
    visitor = await scene.visitor(at)
    since_s = time.monotonic()
    call = await visitor.call(at.credentials, "112")
    ring = await centre.incoming("112", 8, since_s)
    ring.respond(ring.received, 183)
    await call.wait_status(180, 3)
    await call.cancel()


async def test_that_no_line_takes_the_call_is_told_in_the_companys_language(scene: Scene) -> None:
    async with scene.company_with(language="ru"):
        at = panel_at(scene)
        await language_known(scene, at, "ru")
        await rested(scene)
        lines = [await scene.peer(address) for address in (CITY_LINE, SECOND_LINE, CARRIER_A, CARRIER_B)]
        since_s = time.monotonic()

        async def refuse(line: ScriptedPeer) -> None:
            after_s = since_s
            while True:
                ring = await line.incoming("", 30, after_s)
                ring.reject(503)
                after_s = ring.received.at_s + 1e-6

        visitor = await scene.visitor(at)
        refusing = [asyncio.create_task(refuse(line)) for line in lines]
        call = await visitor.call(at.credentials, "112")
        await call.wait_status(183, 15)
        await call.final(15)
        for task in refusing:
            task.cancel()
        assert language_of(call.rtp.packets, "unavailable") == "ru"


async def test_a_disabled_panel_of_a_company_that_is_out_of_service_still_calls(scene: Scene) -> None:
    at = panel_at(scene, 1)
    account = f"/v1/accounts/{at.credentials.username}"
    company = f"/v1/companies/{(await scene.office.get('/v1/companies'))['items'][0]['id']}"
    await scene.office.send("PATCH", account, {"enabled": False})
    await scene.office.send("PATCH", company, {"active": False})
    try:
        call, _ = await call_112(scene, at)
        await call.bye()
    finally:
        await scene.office.send("PATCH", company, {"active": True})
        await scene.office.send("PATCH", account, {"enabled": True})


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


@asynccontextmanager
async def only_101_is_mapped(scene: Scene, at: Panel) -> AsyncIterator[None]:
    """Inside the block the company maps 101 beside 112, and no other number."""
    company = (await scene.office.get("/v1/companies"))["items"][0]["id"]
    path = f"/v1/companies/{company}/emergency-rules"
    await scene.office.send("PUT", path, {"numbers": ["101"]})
    try:
        rpc = scene.stack.settings.run / "kamailio" / "rpc.sock"

        async def places() -> str:
            name = at.credentials.username
            return str(await asyncio.to_thread(kamailio_rpc, rpc, "htable.get", "emergency_places", name))

        await until(places, lambda told: "101" in told and "104" not in told)
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
    settings = scene.stack.settings
    rpc = settings.run / "kamailio" / "rpc.sock"
    async with only_101_is_mapped(scene, at):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, "104")

        async def setup() -> str:
            return str(await asyncio.to_thread(kamailio_rpc, rpc, "htable.get", "setup", call.call_id))

        told = await until(setup, lambda told: " rings " in told)  # that there is no such apartment
        await scene.stop(next(name for name, address in settings.every_asterisk_node.items() if address in told))
        assert (await call.final(15)).status == 404
        await scene.log_line("kamailio", "call goes on", call.call_id)

        async def record() -> list[str]:
            return [line["event"] for line in (await scene.office.get(f"/v1/calls/{call.call_id}"))["story"]]

        await until(record, lambda events: "ended" in events and "moved" in events)
        calls = (await scene.office.get("/v1/emergency-calls?limit=50"))["items"]
        assert call.call_id not in [row["call_id"] for row in calls]


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
    try:
        refused = await peer.call(resident.credentials, "112")
        assert (await refused.final(10)).status == 480
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
    path = scene.stack.settings.etc / "kamailio-host.cfg"
    usual = path.read_text(encoding="utf-8")
    path.write_text(usual.replace("EP_STRANGERS_PER_MINUTE 0", "EP_STRANGERS_PER_MINUTE 2"), encoding="utf-8")
    await scene.restart("kamailio")
    try:
        await asyncio.to_thread(await_nodes, scene.stack.settings)
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
    finally:
        path.write_text(usual, encoding="utf-8")
        await scene.restart("kamailio")
        await asyncio.to_thread(await_nodes, scene.stack.settings)


async def test_a_city_that_wants_it_has_its_calls_recorded(scene: Scene) -> None:
    centre = (await scene.office.get("/v1/emergency-centres"))["items"][0]
    path = f"/v1/emergency-centres/{centre['id']}"
    await scene.office.send("PATCH", path, {"records_calls": True})
    recordings = scene.stack.settings.lib / "recordings"
    before = set(recordings.glob("*.wav")) if recordings.exists() else set()
    at = panel_at(scene)
    try:
        call, ring = await call_112(scene, at)
        await ring.rtp.wait_for_sound(3, packets=50)
        await call.bye()
        await emergency_record(scene, call.call_id)
    finally:
        await scene.office.send("PATCH", path, {"records_calls": False})
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
