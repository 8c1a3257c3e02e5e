"""The dispatch centre's lines on the stage of a story, and what the demo town has for emergency calls."""

from __future__ import annotations

import asyncio
import socket
import sys
import time
from typing import TYPE_CHECKING, Any, cast
from urllib.parse import quote

from lab.peers import message
from lab.peers.digest import Credentials
from lab.probes import redis_command
from lab.services import PANEL_CALLS
from tests.sip.ordinary import they_talk
from tests.sip.stopwatch import Stopwatch

if TYPE_CHECKING:
    from collections.abc import Callable

    from lab.peers.calls import IncomingCall, OutgoingCall
    from lab.peers.scripted import ScriptedPeer
    from lab.peers.town import Panel
    from tests.sip.scene import Scene

CITY_LINE, SECOND_LINE = "127.0.3.11", "127.0.3.12"
DISPATCHER = Credentials("dispatcher", "")
SHARED = "+74951120000"
COMPONENTS = ("crm", "redis", "agi", "ast1", "ast2", "ast-emergency", "crm-call-records")
"""What has a part in a call to 112 or in its record."""


def panel_at(scene: Scene, index: int = 0) -> Panel:
    """A panel of the town."""
    return scene.town.panels[index]


def caller_of(ring: IncomingCall) -> str:
    """The number that the centre sees in From."""
    return message.uri_of(ring.invite.get("From")).partition("sip:")[2].partition("@")[0]


def asserted_in(ring: IncomingCall) -> str:
    """The number in P-Asserted-Identity; empty without one."""
    return message.uri_of(ring.invite.get("P-Asserted-Identity")).partition("sip:")[2].partition("@")[0]


async def call_112(
    scene: Scene,
    at: Panel,
    line: str = CITY_LINE,
    *,
    dialled: str = "112",
    number: str = "112",
    timeout_s: float = 8.0,
    headers: tuple[tuple[str, str], ...] = (),
) -> tuple[OutgoingCall, IncomingCall]:
    """A panel calls, the centre behind a line answers, both talk."""
    if line == CITY_LINE:
        await rested(scene)
    centre = await scene.peer(line)
    visitor = await scene.visitor(at)
    since_s = time.monotonic()
    call = await visitor.call(at.credentials, dialled, headers=headers)
    ring = await centre.incoming(number, timeout_s, since_s)
    await they_talk(call, ring)
    return call, ring


async def timed_112(scene: Scene, at: Panel, line: str = CITY_LINE) -> tuple[OutgoingCall, IncomingCall, float]:
    """As `call_112`, and how long the platform took until the centre rang, in seconds."""
    centre, visitor = await scene.peer(line), await scene.visitor(at)
    watch = Stopwatch()
    call = await visitor.call(at.credentials, "112")
    ring = await centre.incoming("112", 12, watch.began_s)
    took_s = watch.took_s
    await they_talk(call, ring)
    return call, ring, took_s


async def the_centre_is_rung(scene: Scene, at: Panel) -> tuple[OutgoingCall, IncomingCall, ScriptedPeer]:
    """A panel calls 112, the centre behind the first line rings, and the panel hears so: the centre is the last."""
    centre = await scene.peer(CITY_LINE)
    visitor = await scene.visitor(at)
    since_s = time.monotonic()
    call = await visitor.call(at.credentials, "112")
    ring = await centre.incoming("112", 8, since_s)
    ring.ring()
    await call.ringing()
    return call, ring, centre


async def call_back(
    scene: Scene, panel: ScriptedPeer, account: str, number: str, line: str = CITY_LINE
) -> tuple[OutgoingCall, IncomingCall]:
    """A dispatcher dials a number, hears the address until he presses a key, and the panel rings."""
    dispatcher = await scene.peer(line)
    since_s = time.monotonic()
    back = await dispatcher.call(DISPATCHER, number)
    await back.answered()
    await back.rtp.wait_for_sound(5)
    assert not [ring for ring in panel.ringing if ring.received.at_s >= since_s], "the address comes first"
    await back.rtp.press("1")
    return back, await panel.incoming(account, 5, since_s)


def tell(line: str) -> None:
    """Print a measure of the story."""
    sys.stdout.write(f"\n{line}\n")


async def rested(scene: Scene) -> None:
    """Let no line be tried last because it failed in the story before."""
    for name in ("city-line", "second-line", "carrier-a", "carrier-b"):
        await scene.rpc("htable.delete", "resting", name)


async def centre_known(scene: Scene) -> None:
    """Until Kamailio knows the way to the dispatch centre (it reads cities anew every two seconds)."""
    await until(
        lambda: scene.kept("emergency_cities", "1"),
        lambda told: "city-line" in told and '"112"' in told.replace("\\", ""),
    )


async def language_known(scene: Scene, at: Panel, language: str) -> None:
    """Until Kamailio knows what is spoken at a panel (read anew as cities are)."""
    await until(
        lambda: scene.kept("emergency_places", at.credentials.username),
        lambda told: f'"{language}"' in told.replace("\\", ""),
    )


async def line_that_only_tries(scene: Scene, address: str) -> None:
    """A line whose server takes every call (100) and then says nothing more."""

    class Server(asyncio.DatagramProtocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self._transport = cast("asyncio.DatagramTransport", transport)

        def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
            asked = message.parse(data)
            if not asked.is_response and asked.method == "INVITE":
                trying = message.response(100, "Trying")
                for name in ("Via", "From", "To", "Call-ID", "CSeq"):
                    for value in asked.get_all(name):
                        trying.add(name, value)
                self._transport.sendto(trying.encode(), addr)

    transport, _ = await asyncio.get_running_loop().create_datagram_endpoint(Server, local_addr=(address, 5060))

    async def close() -> None:
        transport.close()

    scene.when_over(close)


async def silent_line(scene: Scene, address: str) -> None:
    """A line whose server takes what comes and says nothing."""
    endpoint = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    endpoint.bind((address, 5060))

    async def close() -> None:
        endpoint.close()

    scene.when_over(close)


async def until(read: Callable[[], Any], wanted: Callable[[Any], bool], timeout_s: float = 20.0) -> Any:
    """What `read` (a coroutine function) returns once it is as wanted: the API has nothing to wait on."""
    deadline_s = time.monotonic() + timeout_s
    while not wanted(found := await read()):
        assert time.monotonic() < deadline_s, f"not within {timeout_s} s: {found}"
        await asyncio.sleep(0.1)
    return found


async def emergency_record(scene: Scene, call_id: str, step: str = "ended", *others: str) -> dict[str, Any]:
    """The record of an emergency call, once it has these steps: Kamailio and FastAGI each tell theirs."""
    wanted = {step, *others}

    async def read() -> dict[str, Any] | None:
        found = await scene.office.get("/v1/emergency-calls?limit=50")
        return next((item for item in found["items"] if item["call_id"] == call_id), None)

    record: dict[str, Any] = await until(
        read, lambda row: row is not None and wanted <= {told["step"] for told in row["steps"]}
    )
    return record


async def number_row(scene: Scene, number: str) -> dict[str, Any]:
    """A number of the city as the API shows it."""
    found = await scene.office.get(f"/v1/city-numbers?number={quote(number)}")
    row: dict[str, Any] = found["items"][0]
    return row


async def held_by(scene: Scene, at: Panel) -> str | int | None:
    """Whose call the panel carries, for whoever makes probes."""
    settings, key = scene.stack.settings, f"{PANEL_CALLS}{at.credentials.username}"
    return await asyncio.to_thread(redis_command, settings.redis_host, settings.redis_port, "GET", key)


async def nobody_holds_a_number(scene: Scene) -> None:
    """Release every lease: stories share the city's few numbers."""
    found = await scene.office.get("/v1/number-leases?limit=100")
    for lease in found["items"]:
        if lease["ended_at_ms"] is None:
            await scene.office.send("POST", f"/v1/number-leases/{lease['id']}/release", {"reason": "end of a story"})


async def desk(scene: Scene, account: str = "duty-desk", address: str = "127.0.2.90") -> ScriptedPeer:
    """A desk on duty of the company, registered; gone after the story."""
    company = (await scene.office.get("/v1/companies"))["items"][0]["id"]
    made = await scene.office.send(
        "POST", "/v1/accounts", {"account": account, "kind": "concierge", "company_id": company}
    )
    row = await scene.office.send("POST", "/v1/concierge-desks", {"account": account, "name": "Duty desk"})

    async def remove() -> None:
        await scene.office.send("DELETE", f"/v1/concierge-desks/{row['id']}")
        await scene.office.send("DELETE", f"/v1/accounts/{account}")

    scene.when_over(remove)
    peer = await scene.peer(address)
    credentials = Credentials(account, made["password"])
    assert (await peer.register(credentials)).status == 200

    async def forget() -> None:
        await peer.register(credentials, expires_s=0, contact="*")

    scene.when_over(forget)
    return peer


async def registered(scene: Scene, at: Panel) -> ScriptedPeer:
    """A scripted panel that is registered, so that it can be called back."""
    peer = await scene.visitor(at)
    assert (await peer.register(at.credentials)).status == 200

    async def forget() -> None:
        await peer.register(at.credentials, expires_s=0, contact="*")

    scene.when_over(forget)
    return peer
