"""Where the panel stands, as the centre is told: beside the media description, spoken on a key; and test calls."""

from __future__ import annotations

import time
from email.parser import BytesParser
from typing import TYPE_CHECKING, Any

import pytest
from lxml import etree

from tests.location_schema import wrong_with
from tests.sip.carriers import FIRST, SECOND
from tests.sip.emergency_scene import (
    CITY_LINE,
    SECOND_LINE,
    call_112,
    caller_of,
    nobody_holds_a_number,
    number_row,
    panel_at,
    silent_line,
    until,
)

if TYPE_CHECKING:
    from lab.peers.calls import IncomingCall
    from tests.sip.scene import Scene

pytestmark = pytest.mark.usefixtures("patient_leases")
NAMES = {"cl": "urn:ietf:params:xml:ns:pidf:geopriv10:civicAddr", "gml": "http://www.opengis.net/gml"}


def location_in(ring: IncomingCall) -> Any:
    """The document that the INVITE's Geolocation header points to, read by libraries that are not ours."""
    head = f"Content-Type: {ring.invite.get('Content-Type')}\r\nMIME-Version: 1.0\r\n\r\n".encode()
    message = BytesParser().parsebytes(head + ring.invite.body)
    parts = {part.get_content_type(): part for part in message.walk()}
    assert "application/sdp" in parts
    part = parts["application/pidf+xml"]
    assert ring.invite.get("Geolocation") == f"<cid:{part['Content-ID'].strip('<>')}>"
    content = part.get_payload(decode=True)
    assert isinstance(content, bytes)
    return etree.fromstring(content.strip())


async def test_the_centre_is_told_address_and_point_where_the_line_takes_them(scene: Scene) -> None:
    call, ring = await call_112(scene, panel_at(scene, 1))
    root = location_in(ring)
    assert wrong_with(root) is None
    told = {
        name: root.findtext(f".//cl:{name}", namespaces=NAMES) for name in ("country", "A3", "RD", "HNO", "LOC", "FLR")
    }
    assert told == {
        "country": "RU", "A3": "Riverside", "RD": "Lenina", "HNO": "1", "LOC": "entrance 2", "FLR": "0",
    }  # fmt: skip
    assert root.findtext(".//gml:pos", namespaces=NAMES) == "55.755800 37.617300"
    await call.rtp.wait_for_sound(3)
    await ring.rtp.wait_for_sound(3)
    await call.bye()


async def test_a_line_that_takes_no_location_gets_the_media_description_alone(scene: Scene) -> None:
    await silent_line(scene, CITY_LINE)
    call, ring = await call_112(scene, panel_at(scene, 1), SECOND_LINE)
    assert ring.invite.get("Content-Type") == "application/sdp"
    assert ring.invite.get("Geolocation") == ""
    assert b"presence" not in ring.invite.body
    await call.bye()


@pytest.mark.parametrize("stall_s", [0.0, 0.3])
async def test_the_dispatcher_hears_the_address_on_a_key(scene: Scene, stall_s: float) -> None:
    """Also when the network holds back a part of the key, so that Asterisk takes it for two."""
    call, ring = await call_112(scene, panel_at(scene))
    await ring.rtp.wait_for_sound(3)
    call.rtp.hush()
    await ring.rtp.quiet(0.4)
    before = ring.rtp.audible_packets
    await ring.rtp.press("0", stall_s=stall_s)
    await ring.rtp.wait_for_sound(5, packets=before + 40)
    assert "0" not in [press.key for press in call.rtp.keys]
    await call.bye()


async def test_a_test_call_goes_the_whole_way_and_tells_each_step(scene: Scene) -> None:
    await nobody_holds_a_number(scene)
    at = panel_at(scene)
    centre = await scene.peer(CITY_LINE)
    since_s = time.monotonic()
    asked = await scene.office.send("POST", "/v1/emergency-test-calls", {"panel": at.credentials.username})
    ring = await centre.incoming("+74951120199", 8, since_s)
    number = caller_of(ring)
    ring.answer()
    await ring.established()

    async def read() -> Any:
        return await scene.office.get(f"/v1/emergency-calls/{asked['id']}")

    def is_over(row: Any) -> bool:
        told = {step["step"] for step in row["steps"]}
        return row["result"] is not None and told >= {"number", "dial", "answered", "ended"}

    told = await until(read, is_over)
    steps = [step["step"] for step in told["steps"]]
    assert (told["result"], told["test"], told["number"]) == ("answered", True, number)
    assert [s for s in steps if s in ("asked", "placed", "challenged", "connected", "heard", "result")] == [
        "asked", "placed", "challenged", "connected", "heard", "result",
    ]  # fmt: skip
    assert (await until(lambda: number_row(scene, number), lambda row: row["status"] == "free"))["panel"] is None
    assert (await scene.office.get(f"/v1/emergency-notices?call_id={told['call_id']}"))["items"] == []


async def test_a_test_call_tells_where_it_got_stuck(scene: Scene) -> None:
    for line in (CITY_LINE, SECOND_LINE, FIRST, SECOND):
        await scene.peer(line)
    at = panel_at(scene)
    since_s = time.monotonic()
    asked = await scene.office.send("POST", "/v1/emergency-test-calls", {"panel": at.credentials.username})
    ring = await (await scene.peer(CITY_LINE)).incoming("+74951120199", 8, since_s)
    ring.reject(603)

    async def read() -> Any:
        return await scene.office.get(f"/v1/emergency-calls/{asked['id']}")

    def declined(row: Any) -> bool:
        return any(s["step"] == "way_failed" and "603" in s["detail"] for s in row["steps"])

    told = await until(read, lambda row: row["result"] is not None and declined(row), 40)
    assert told["result"] == "failed"
