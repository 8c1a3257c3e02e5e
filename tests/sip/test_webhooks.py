"""A client company's own system is told of calls and doors, signed, also when it was away for a moment."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import hmac
import json
import time
from typing import TYPE_CHECKING, Any

from crm_api.services.telling import PAUSES_S
from tests.sip.households import family, nobody_home
from tests.sip.records import answer_recorded, opening_recorded

if TYPE_CHECKING:
    from lab.peers.calls import OutgoingCall
    from tests.sip.scene import Scene

_URL = "http://127.0.0.71:8071/entryphone"


class _Company:
    """The company's server: takes what is signed, after it has refused as often as ordered."""

    def __init__(self, secret: str, refusals: int) -> None:
        self._secret = secret
        self._refusals = refusals
        self.told: asyncio.Queue[dict[str, Any]] = asyncio.Queue()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in head.split("\r\n"))}
            body = await reader.readexactly(int(headers["content-length"]))
            status = 200 if self._is_signed(headers["entryphone-signature"], body) else 401
            if self._refusals > 0:
                self._refusals -= 1
                status = 503
            if status == 200:
                self.told.put_nowait(json.loads(body))
            writer.write(f"HTTP/1.1 {status} x\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())
            await writer.drain()
        writer.close()

    def _is_signed(self, header: str, body: bytes) -> bool:
        parts = dict(part.split("=", 1) for part in header.split(","))
        right = hmac.digest(self._secret.encode(), f"{parts['t']}.".encode() + body, hashlib.sha256).hex()
        return abs(time.time() - int(parts["t"])) < 60 and hmac.compare_digest(right, parts["v1"])


async def _listening(scene: Scene, refusals: int) -> tuple[_Company, int]:
    """The company's server, told of everything until the story is over, and the webhook's id."""
    company_id = (await scene.office.get("/v1/companies"))["items"][0]["id"]
    made = await scene.office.send("POST", "/v1/webhooks", {"company_id": company_id, "url": _URL})
    company = _Company(made["secret"], refusals)
    server = await asyncio.start_server(company.serve, "127.0.0.71", 8071)

    async def clear() -> None:
        await scene.office.send("DELETE", f"/v1/webhooks/{made['id']}")
        server.close()
        await server.wait_closed()

    scene.when_over(clear)
    return company, made["id"]


async def test_a_call_and_its_door_are_told_also_after_a_failure(scene: Scene) -> None:
    apartment, at, number = family(scene.town)
    company, webhook_id = await _listening(scene, refusals=1)
    call, ring, _ = await scene.talk(apartment, at, number)
    await answer_recorded(scene, call.call_id)
    await ring.rtp.press("#")
    await call.rtp.wait_for_key(at.door_code[0], 3)
    await opening_recorded(scene, call.call_id)
    await call.bye()

    told: dict[str, dict[str, Any]] = {}
    async with asyncio.timeout(15):
        while set(told) != {"call.ended", "door.opened"}:
            body = await company.told.get()
            if body["data"].get("call_id") == call.call_id:
                told[body["event"]] = body["data"]
    assert (told["call.ended"]["result"], told["call.ended"]["panel"]) == ("answered", at.credentials.username)
    opened = told["door.opened"]
    assert opened["account"] == told["call.ended"]["answered_by"]
    resident = await scene.office.get(f"/v1/accounts/{opened['account']}")
    assert opened["apartment_id"] == told["call.ended"]["apartment_id"] == resident["apartment_id"] is not None
    deadline = time.monotonic() + PAUSES_S[0] + 5  # the one refused may be of another story's call
    while True:
        deliveries = (await scene.office.get(f"/v1/webhook-deliveries?webhook_id={webhook_id}"))["items"]
        if all(delivery["state"] == "delivered" for delivery in deliveries):
            break
        assert time.monotonic() < deadline, deliveries
        await asyncio.sleep(0.1)  # the API has nothing to wait on
    assert max(delivery["attempts"] for delivery in deliveries) == 2


def _is_of(call: OutgoingCall, body: dict[str, Any]) -> bool:
    """Whether this is told of the call: what an earlier story has left may be told now."""
    return bool(body["data"].get("call_id") == call.call_id)


async def test_a_message_of_a_visitor_is_told(scene: Scene) -> None:
    _, at, number = nobody_home(scene.town)
    company, _ = await _listening(scene, refusals=0)
    async with scene.company_with(message_limit_s=2):
        visitor = await scene.visitor(at)
        call = await visitor.call(at.credentials, number)
        await call.answered()
        await call.wait_request("BYE", 20)
        async with asyncio.timeout(20):
            while (body := await company.told.get())["event"] != "message.left" or not _is_of(call, body):
                assert body["event"] == "call.ended" or not _is_of(call, body)
    assert (body["data"]["call_id"], body["data"]["dialled"]) == (call.call_id, number)
    await scene.office.send("DELETE", f"/v1/call-sounds/{body['data']['id']}")
