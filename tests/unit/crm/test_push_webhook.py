"""Push tokens of the platform `webhook` are URLs that apps choose: pushes go to their makers' servers alone."""

from __future__ import annotations

import asyncio

import httpx
import pytest
from pydantic import ValidationError

from crm_api.adapters.push_services.push import Push
from crm_api.adapters.push_services.webhook import Webhook
from crm_api.config import WebhookPushConfig

BARE = "https://push.maker.example"
BELOW = "https://push.maker.example:8443/devices"


def pushed(token: str, prefix: str) -> tuple[str, list[str]]:
    """The verdict, and what was posted to."""
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        return httpx.Response(204)

    async def send() -> str:
        async with httpx.AsyncClient(transport=httpx.MockTransport(answer)) as client:
            webhook = Webhook(WebhookPushConfig(secret="s" * 32, url_prefixes=(prefix,)), client)
            return (await webhook.send(token, Push({"type": "call"}, 10**14))).outcome

    return asyncio.run(send()), asked


@pytest.mark.parametrize(
    ("prefix", "token"),
    [
        (BARE, f"{BARE}@169.254.169.254/latest"),
        (BARE, f"{BARE}.evil.example/x"),
        (BARE, f"{BARE}:x@127.0.0.1:8080/y"),
        (BARE, f"{BARE}:8080/y"),
        (BARE, "https://user@push.maker.example/y"),
        (BARE, "http://push.maker.example/y"),
        (BARE, f"{BARE}\\@127.0.0.1/y"),
        (BARE, f"{BARE}:port/"),
        (BELOW, f"{BELOW}-of-others/1"),
        (BELOW, f"{BELOW}/../admin"),
        (BELOW, f"{BELOW}/%2e%2e/admin"),
        (BELOW, f"{BELOW}/..%5cadmin"),
        (BELOW, "https://push.maker.example/devices/1"),
    ],
)
def test_a_push_goes_nowhere_but_below_a_prefix(prefix: str, token: str) -> None:
    assert pushed(token, prefix) == ("dead_token", [])


@pytest.mark.parametrize(
    ("prefix", "token"),
    [
        (BARE, f"{BARE}/devices/1?a=b"),
        (BARE, f"{BARE}:443/devices/1"),
        (BARE, "https://PUSH.maker.example/1"),
        (BELOW, BELOW),
        (BELOW, f"{BELOW}/1"),
        (BELOW, f"{BELOW}?id=1"),
        (f"{BELOW}/", f"{BELOW}/1"),
    ],
)
def test_a_push_goes_below_its_prefix(prefix: str, token: str) -> None:
    outcome, asked = pushed(token, prefix)
    assert (outcome, len(asked)) == ("accepted", 1)


@pytest.mark.parametrize(
    "prefix", ["push.maker.example/", "ftp://maker.example/", "https://a@maker.example/", "https:/x"]
)
def test_a_prefix_names_a_server(prefix: str) -> None:
    with pytest.raises(ValidationError, match="scheme, host and path"):
        WebhookPushConfig(secret="s" * 32, url_prefixes=(prefix,))
