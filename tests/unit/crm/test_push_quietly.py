"""A push that is to make no sound: what each service is asked for, so that nobody is woken by it."""

from __future__ import annotations

import asyncio
import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import httpx
import pytest

from crm_api.adapters.push_services.apns import Apns
from crm_api.adapters.push_services.fcm import Fcm
from crm_api.adapters.push_services.hms import Hms
from crm_api.adapters.push_services.push import SILENT_LASTS_MS, Push
from crm_api.config import ApnsConfig, FcmConfig, HmsConfig
from crm_api.domain.push_texts import Alert

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.adapters.push_services.push import PushService

_KEY = Path("nobody-reads-it")
_URL = "https://push.example"


def _apns(client: httpx.AsyncClient) -> Apns:
    return Apns(ApnsConfig(team_id="t", key_id="k", private_key_file=_KEY, topic="app", url=_URL), client, voip=False)


def _fcm(client: httpx.AsyncClient) -> Fcm:
    config = FcmConfig(project_id="p", client_email="e", private_key_file=_KEY, url=_URL, token_url=_URL)
    return Fcm(config, client)


def _hms(client: httpx.AsyncClient) -> Hms:
    return Hms(HmsConfig(app_id="a", app_secret="s", url=_URL, token_url=_URL), client)


def _asked(make: Callable[[httpx.AsyncClient], PushService], monkeypatch: pytest.MonkeyPatch, *, silent: bool) -> Any:
    """The request that a push of a message becomes: its headers and its body."""
    requests: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        requests.append(request)
        return httpx.Response(200, json={})

    async def access(_self: object) -> str:
        return "access"

    monkeypatch.setattr(Apns, "_provider_token", lambda _self: "access")
    for service in (Fcm, Hms):
        monkeypatch.setattr(service, "_access_token", access)

    async def send() -> None:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            expires_at_ms = time.time_ns() // 1_000_000 + 60_000
            await make(client).send("t", Push({"type": "message"}, expires_at_ms, Alert("", "A message"), silent))

    asyncio.run(send())
    (request,) = requests
    return request.headers, json.loads(request.content)


@pytest.mark.parametrize("silent", [True, False])
def test_an_iphone_shows_it_and_makes_no_sound(monkeypatch: pytest.MonkeyPatch, silent: bool) -> None:
    headers, body = _asked(_apns, monkeypatch, silent=silent)
    aps = body["aps"]
    assert (headers["apns-push-type"], headers["apns-priority"]) == ("alert", "5" if silent else "10")
    assert ("sound" in aps, aps.get("interruption-level")) == (not silent, "passive" if silent else None)
    assert aps["alert"] == {"body": "A message"}
    left_s = int(headers["apns-expiration"]) - time.time()
    assert left_s == pytest.approx(60 + (SILENT_LASTS_MS / 1000 if silent else 0), abs=5)


@pytest.mark.parametrize(("make", "word"), [(_fcm, "priority"), (_hms, "urgency")])
@pytest.mark.parametrize("silent", [True, False])
def test_an_android_is_not_woken_by_it(
    monkeypatch: pytest.MonkeyPatch, make: Callable[[httpx.AsyncClient], PushService], word: str, silent: bool
) -> None:
    _, body = _asked(make, monkeypatch, silent=silent)
    android = body["message"]["android"]
    assert android[word] == ("NORMAL" if silent else "HIGH")
    kept_s = int(android["ttl"].removesuffix("s"))
    assert kept_s == pytest.approx(60 + (SILENT_LASTS_MS / 1000 if silent else 0), abs=5)
