"""The Twilio of the tests is as strict as Twilio, for Twilio's own library."""

from __future__ import annotations

import asyncio
import base64
from typing import TYPE_CHECKING
from urllib.parse import urlencode

import httpx
import pytest
from twilio.request_validator import RequestValidator

from lab.peers.http_service import Request
from lab.peers.scripted import ScriptedPeer, SipServer
from lab.peers.twilio import PlacedCall, Twilio, signature

if TYPE_CHECKING:
    from collections.abc import Mapping

    from lab.peers.http_service import Reply

ACCOUNT, TOKEN, NUMBER = "AC" + "0" * 32, "secret", "+74950000001"
FORM = {
    "To": "+79161234567", "From": NUMBER, "Url": "http://x/a", "Method": "POST", "StatusCallback": "http://x/e",
    "StatusCallbackMethod": "POST", "StatusCallbackEvent": ["ringing", "completed"], "Timeout": "60",
    "TimeLimit": "3600",
}  # fmt: skip
CALLS = f"/2010-04-01/Accounts/{ACCOUNT}/Calls"


@pytest.fixture
def twilio() -> Twilio:
    edge = ScriptedPeer(SipServer("127.0.0.10", "entryphone.test"))
    return Twilio(ACCOUNT, TOKEN, (NUMBER,), edge)


def ask(twilio: Twilio, path: str, form: Mapping[str, object], *, token: str = TOKEN, method: str = "POST") -> Reply:
    login = base64.b64encode(f"{ACCOUNT}:{token}".encode()).decode()
    headers = {"authorization": f"Basic {login}", "content-type": "application/x-www-form-urlencoded"}
    body = urlencode(form, doseq=True).encode()
    return asyncio.run(twilio.serve(Request(method, path, headers, body)))


def test_a_call_is_placed_and_ended_once(twilio: Twilio) -> None:
    assert ask(twilio, f"{CALLS}.json", FORM).status == 201
    (call,) = twilio.calls
    assert (call.number, call.caller_number, call.events) == ("+79161234567", NUMBER, ("ringing", "completed"))
    assert ask(twilio, f"{CALLS}/{call.sid}.json", {"Status": "completed"}).status == 200
    assert call.hung_up.is_set()
    assert b"21220" in ask(twilio, f"{CALLS}/{call.sid}.json", {"Status": "completed"}).body
    assert b"20404" in ask(twilio, f"{CALLS}/CA0.json", {"Status": "completed"}).body


@pytest.mark.parametrize(
    ("changed", "code"),
    [
        ({"To": "89161234567"}, b"21211"),
        ({"From": "+74959999999"}, b"21210"),
        ({"Url": "x"}, b"21205"),
        ({"Method": "GET"}, b"20001"),
        ({"Timeout": "601"}, b"20001"),
        ({"TimeLimit": "0"}, b"20001"),
        ({"StatusCallbackEvent": ["ended"]}, b"20001"),
        ({"Colour": "red"}, b"20001"),
        ({"To": ["+79161234567", "+79161234568"]}, b"20001"),
    ],
)
def test_what_twilio_would_refuse_is_refused(twilio: Twilio, changed: dict[str, object], code: bytes) -> None:
    reply = ask(twilio, f"{CALLS}.json", {**FORM, **changed})
    assert reply.status == 400
    assert code in reply.body
    assert twilio.calls == []


def test_only_the_account_gets_in(twilio: Twilio) -> None:
    assert ask(twilio, f"{CALLS}.json", FORM, token="another").status == 401
    assert ask(twilio, f"{CALLS}.json", FORM, method="GET").status == 400
    assert ask(twilio, f"{CALLS}/x.json", {"Status": "canceled"}).status == 404
    twilio.fault = "unavailable"
    assert ask(twilio, f"{CALLS}.json", FORM).status == 503
    twilio.fault = "refuses"
    assert ask(twilio, f"{CALLS}.json", FORM).status == 401


def test_signatures_are_those_of_twilios_library() -> None:
    url, fields = "https://door.example/v1/x", {"b": "2", "A": "1", "c": ""}
    assert signature("token", url, fields) == RequestValidator("token").compute_signature(url, fields)


@pytest.mark.parametrize(
    ("content", "kind", "status"),
    [
        (b"<Response><Dial><Sip>sip:a@127.0.0.10:5060</Sip></Dial></Response>", "application/json", 200),
        (b"<Response><Dial><Sip>sip:a@127.0.0.10:5060</Sip></Dial></Response>", "text/xml", 403),
        (b"<Response><Hangup /></Response>", "text/xml", 200),
        (b"<Response><Dial><Number>1</Number></Dial></Response>", "text/xml", 200),
    ],
)
def test_only_twiml_that_dials_sip_is_followed(content: bytes, kind: str, status: int) -> None:
    with pytest.raises(ValueError, match="TwiML"):
        PlacedCall.dialled(httpx.Response(status, content=content, headers={"content-type": kind}))


@pytest.mark.parametrize("uri", ["sip:a@127.0.0.11:5060", "sip:a@127.0.0.10:5061", "tel:+7916", "sip:127.0.0.10:5060"])
def test_a_sip_address_elsewhere_is_not_called(twilio: Twilio, uri: str) -> None:
    with pytest.raises(ValueError, match="elsewhere"):
        asyncio.run(twilio.dial(uri, "+79161234567"))
