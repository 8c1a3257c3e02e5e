"""Twilio as the outside world plays it: strict about every request, and its phones do what a script says.

Its REST interface is an HTTP server. A phone that answers has Twilio fetch the TwiML of its call and place a real SIP
call from Twilio's own address; its webhooks are signed as Twilio documents it
(https://www.twilio.com/docs/usage/security#validating-requests).
"""

from __future__ import annotations

import asyncio
import base64
import hashlib
import hmac
import json
import re
import secrets
import time
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import TYPE_CHECKING, Final, Literal, Self
from urllib.parse import parse_qs, urlencode
from xml.etree import ElementTree as ET

import httpx

from lab.peers.digest import Credentials
from lab.peers.http_service import HttpService, Reply, Request
from lab.peers.watch import Watch

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.peers.calls import OutgoingCall
    from lab.peers.scripted import ScriptedPeer

Fault = Literal["none", "hangs", "refuses", "unavailable"]
API: Final = "2010-04-01"
EVENTS: Final = ("initiated", "ringing", "answered", "completed")
LIVE: Final = ("queued", "ringing", "in-progress")
_E164 = re.compile(r"\+[1-9][0-9]{6,14}", re.ASCII)
_CREATE: Final = {
    *("To", "From", "Url", "Method", "StatusCallback", "StatusCallbackMethod", "StatusCallbackEvent"),
    *("Timeout", "TimeLimit"),
}
_LONGEST_RING_S, _LONGEST_CALL_S = 600, 86_400
_SIP = re.compile(r"sip:([^@;]+)@([0-9.]+):([0-9]+)", re.ASCII)


def signature(token: str, url: str, fields: Mapping[str, str]) -> str:
    """Return `X-Twilio-Signature`: HMAC-SHA1 of the URL and every field, sorted by name, with nothing in between."""
    text = url + "".join(f"{name}{value}" for name, value in sorted(fields.items()))
    return base64.b64encode(hmac.digest(token.encode(), text.encode(), hashlib.sha1)).decode()


@dataclass
class PlacedCall:
    """A call that Twilio was asked to place; methods are what the called phone does."""

    twilio: Twilio
    sid: str
    number: str
    caller_number: str
    url: str
    callback: str
    events: tuple[str, ...]
    status: str = "queued"
    sequence: int = 0
    talk: OutgoingCall | None = None
    hung_up: asyncio.Event = field(default_factory=asyncio.Event)

    async def ring(self) -> int:
        """The phone rings; returns the status of our webhook."""
        self.status = "ringing"
        return await self.tell("ringing", "ringing")

    async def refuse(self, status: Literal["busy", "no-answer", "failed"], sip_status: int = 0) -> int:
        """The phone does not answer."""
        self.status = status
        return await self.tell("completed", status, {"SipResponseCode": str(sip_status)} if sip_status else {})

    async def answer(self) -> OutgoingCall:
        """The phone is picked up: fetch what to do, and place the SIP call that it says. It may be refused there."""
        self.status = "in-progress"
        await self.tell("answered", "in-progress")
        uri = self.dialled(await self.fetch())
        self.talk = await self.twilio.dial(uri, self.number)
        return self.talk

    async def hang_up(self) -> int:
        """The phone is put down."""
        if self.talk is not None and self.talk.is_established:
            await self.talk.bye()
        self.status = "completed"
        return await self.tell("completed", "completed", {"CallDuration": "7"})

    async def fetch(self, **changed: str) -> httpx.Response:
        """Ask for the TwiML of the call."""
        return await self.twilio.post(self.url, self.fields("in-progress") | changed)

    @staticmethod
    def dialled(answer: httpx.Response) -> str:
        """The SIP address that TwiML dials.

        Raises:
            ValueError: no TwiML, or another verb than Dial and Sip.
        """
        if answer.status_code != 200 or not answer.headers["content-type"].startswith("text/xml"):  # noqa: PLR2004
            raise ValueError(f"no TwiML but {answer.status_code} {answer.headers.get('content-type')}: {answer.text}")
        root = ET.fromstring(answer.content)  # noqa: S314 - our own answer
        verbs = [element.tag for element in root.iter()]
        if verbs != ["Response", "Dial", "Sip"]:
            raise ValueError(f"TwiML with {verbs}: one Dial with one Sip is played here")
        return "".join(root.itertext()).strip()

    async def tell(self, event: str, status: str, more: Mapping[str, str] | None = None) -> int:
        """Tell our webhook, when it wants to know; returns its status."""
        if event not in self.events:
            return 0
        return await self.send(self.event_fields(status, more or {}))

    def event_fields(self, status: str, more: Mapping[str, str]) -> dict[str, str]:
        """What a status callback holds."""
        at = formatdate(time.time())
        told = {"Timestamp": at, "SequenceNumber": str(self.sequence), "CallbackSource": "call-progress-events"}
        self.sequence += 1
        return {**self.fields(status), **told, **more}

    async def send(self, fields: Mapping[str, str], signed: str | None = None) -> int:
        """Send a status callback, signed with this (as it should be when left out)."""
        return (await self.twilio.post(self.callback, fields, signed)).status_code

    def fields(self, status: str) -> dict[str, str]:
        """What every webhook of a call holds."""
        return {
            "CallSid": self.sid, "AccountSid": self.twilio.account, "From": self.caller_number, "To": self.number,
            "CallStatus": status, "ApiVersion": API, "Direction": "outbound-api",
        }  # fmt: skip


@dataclass
class Twilio:
    """The service: one account with its token and its numbers; SIP calls leave from `edge`."""

    account: str
    token: str
    numbers: tuple[str, ...]
    edge: ScriptedPeer
    trunk: str = field(default_factory=lambda: f"twilio-{secrets.token_hex(4)}")
    """What the platform calls it."""
    calls: list[PlacedCall] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)
    fault: Fault = "none"
    _watch: Watch = field(default_factory=Watch)
    _service: HttpService | None = None
    _client: httpx.AsyncClient = field(default_factory=lambda: httpx.AsyncClient(timeout=5.0))

    @classmethod
    async def start(cls, host: str, account: str, token: str, numbers: tuple[str, ...], edge: ScriptedPeer) -> Self:
        """Serve at an address."""
        twilio = cls(account, token, numbers, edge)
        twilio._service = await HttpService.start(host, 80, twilio.serve)
        return twilio

    async def stop(self) -> None:
        """Close every connection."""
        await self._client.aclose()
        if self._service is not None:
            await self._service.stop()

    async def placed(self, number: str, timeout_s: float = 5.0) -> PlacedCall:
        """The first call to a number that nobody has taken yet in this script."""

        def found() -> PlacedCall | None:
            return next((call for call in self.calls if call.number == number and call.sequence == 0), None)

        await self._watch.until(
            lambda: found() is not None, timeout_s, lambda: f"no call to {number}; refused: {self.refused}"
        )
        call = found()
        if call is None:
            raise AssertionError("a call that was there is gone")
        await call.tell("initiated", "initiated")
        call.sequence = max(1, call.sequence)
        return call

    async def dial(self, uri: str, number: str) -> OutgoingCall:
        """Place a SIP call, as Twilio does for `<Sip>`."""
        found = _SIP.fullmatch(uri)
        if found is None or (found[2], int(found[3])) != (self.edge.server.address, self.edge.server.port):
            raise ValueError(f"{uri} leads elsewhere than to {self.edge.server}")
        return await self.edge.call(Credentials(number, ""), found[1])

    async def post(self, url: str, fields: Mapping[str, str], signed: str | None = None) -> httpx.Response:
        """Send a signed form."""
        headers = {
            "X-Twilio-Signature": signature(self.token, url, fields) if signed is None else signed,
            "Content-Type": "application/x-www-form-urlencoded",
        }
        return await self._client.post(url, content=urlencode(fields), headers=headers)

    async def serve(self, request: Request) -> Reply:
        """Answer a request of the REST interface."""
        if self.fault == "hangs":
            await asyncio.Event().wait()
        if self.fault == "unavailable":
            return _error(503, 20503, "Service unavailable")
        if self.fault == "refuses" or request.headers.get("authorization") != self._basic():
            return _error(401, 20003, "Authenticate")
        base = f"/{API}/Accounts/{self.account}/Calls"
        try:
            if request.path == f"{base}.json":
                return self._create(_form(request))
            sid = request.path.removeprefix(f"{base}/").removesuffix(".json")
            return self._update(sid, _form(request))
        except (KeyError, ValueError) as error:
            self.refused.append(f"{request.method} {request.path}: {type(error).__name__} {error}")
            return _error(400, 20001, str(error))

    def _basic(self) -> str:
        return "Basic " + base64.b64encode(f"{self.account}:{self.token}".encode()).decode()

    def _create(self, form: dict[str, list[str]]) -> Reply:
        if unknown := form.keys() - _CREATE:
            raise ValueError(f"parameters that are not played here: {sorted(unknown)}")
        one = {name: values[0] for name, values in form.items() if len(values) == 1}
        number, caller_number = one["To"], one["From"]
        if _E164.fullmatch(number) is None:
            return _error(400, 21211, f"Invalid 'To' Phone Number: {number}")
        if caller_number not in self.numbers:
            return _error(400, 21210, f"The source phone number provided, {caller_number}, is not yet verified")
        for name in ("Url", "StatusCallback"):
            if not one[name].startswith(("http://", "https://")):
                return _error(400, 21205, f"{name} is no URL: {one[name]}")
        if (one["Method"], one["StatusCallbackMethod"]) != ("POST", "POST"):
            raise ValueError("webhooks are posted here")
        events = tuple(form["StatusCallbackEvent"])
        if set(events) - set(EVENTS):
            raise ValueError(f"StatusCallbackEvent {events}")
        if not (0 < int(one["Timeout"]) <= _LONGEST_RING_S and 0 < int(one["TimeLimit"]) <= _LONGEST_CALL_S):
            raise ValueError("Timeout or TimeLimit is out of Twilio's bounds")
        call = PlacedCall(
            self, f"CA{secrets.token_hex(16)}", number, caller_number, one["Url"], one["StatusCallback"], events
        )
        self.calls.append(call)
        self._watch.notify()
        return self._shown(call, 201)

    def _update(self, sid: str, form: dict[str, list[str]]) -> Reply:
        call = next((call for call in self.calls if call.sid == sid), None)
        if call is None:
            return _error(404, 20404, "The requested resource was not found")
        if form != {"Status": ["completed"]}:
            raise ValueError(f"only Status=completed is played here: {form}")
        if call.status not in LIVE:
            return _error(400, 21220, "Call is not in-progress. Cannot redirect.")
        call.status = "completed"
        call.hung_up.set()
        return self._shown(call, 200)

    def _shown(self, call: PlacedCall, status: int) -> Reply:
        document = {
            "sid": call.sid, "account_sid": self.account, "to": call.number, "from": call.caller_number,
            "status": call.status, "direction": "outbound-api", "api_version": API,
        }  # fmt: skip
        return Reply(status, json.dumps(document).encode())


def _form(request: Request) -> dict[str, list[str]]:
    if request.method != "POST":
        raise ValueError(f"{request.method} is not played here")
    if request.headers.get("content-type", "").partition(";")[0] != "application/x-www-form-urlencoded":
        raise ValueError(f"Content-Type {request.headers.get('content-type')}: a form is posted here")
    return parse_qs(request.body.decode(), keep_blank_values=True, strict_parsing=True)


def _error(status: int, code: int, text: str) -> Reply:
    document = {
        "status": status,
        "code": code,
        "message": text,
        "more_info": f"https://www.twilio.com/docs/errors/{code}",
    }
    return Reply(status, json.dumps(document).encode())
