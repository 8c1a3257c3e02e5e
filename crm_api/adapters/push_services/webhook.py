"""A webhook for makers of apps who wake them by themselves; the token is its URL."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

import httpx

from crm_api.adapters.push_services.push import ACCEPTED, TRY_AGAIN, Verdict, try_again
from crm_api.adapters.signing import SIGNATURE, signature

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.adapters.push_services.push import Push
    from crm_api.config import WebhookPushConfig

GONE: Final = 410
_SUCCESS: Final = range(200, 300)


class Webhook:
    """`POST` of the push's data as JSON, signed."""

    def __init__(self, config: WebhookPushConfig, client: httpx.AsyncClient) -> None:
        self._config = config
        self._client = client
        self._prefixes = tuple(httpx.URL(prefix) for prefix in config.url_prefixes)

    async def send(self, token: str, push: Push) -> Verdict:
        """Post to the URL; 410 says that the device is no more."""
        if not leads_below(token, self._prefixes):
            return Verdict("dead_token", f"the URL begins with none of {', '.join(self._config.url_prefixes)}")
        body = json.dumps(dict(push.data), separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            SIGNATURE: signature(self._config.secret, int(time.time()), body),
        }
        response = await self._client.post(token, content=body, headers=headers)
        reason = str(response.status_code)
        if response.status_code in _SUCCESS:
            return ACCEPTED
        if response.status_code == GONE:
            return Verdict("dead_token", reason)
        return try_again(response, reason) if response.status_code in TRY_AGAIN else Verdict("refused", reason)


def leads_below(text: str, prefixes: Sequence[httpx.URL]) -> bool:
    """Tell whether a URL leads to a prefix's own server (scheme, host, port), and there to its path or below it.

    Apps choose the text. It is judged as the client reads it, which alone decides where a request goes: to a client
    the `https://push.maker.example` of `https://push.maker.example@192.0.2.1/` is a login.
    """
    try:
        url = httpx.URL(text)
    except httpx.InvalidURL:
        return False
    if url.userinfo or "\\" in url.path or ".." in url.path.split("/"):  # servers may read these as they like
        return False
    return any(_server(url) == _server(prefix) and _is_below(url.path, prefix.path) for prefix in prefixes)


def _server(url: httpx.URL) -> tuple[str, bytes, int | None]:
    return url.scheme, url.raw_host, url.port


def _is_below(path: str, begin: str) -> bool:
    return path == begin or path.startswith(begin if begin.endswith("/") else f"{begin}/")
