"""A webhook for makers of apps who wake them by themselves; the token is its URL."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Final

from crm_api.adapters.push_services.push import ACCEPTED, TRY_AGAIN, Verdict, try_again
from crm_api.adapters.signing import SIGNATURE, signature

if TYPE_CHECKING:
    import httpx

    from crm_api.adapters.push_services.push import Push
    from crm_api.config import WebhookPushConfig

GONE: Final = 410
_SUCCESS: Final = range(200, 300)


class Webhook:
    """`POST` of the push's data as JSON, signed."""

    def __init__(self, config: WebhookPushConfig, client: httpx.AsyncClient) -> None:
        self._config = config
        self._client = client

    async def send(self, token: str, push: Push) -> Verdict:
        """Post to the URL; 410 says that the device is no more."""
        if not token.startswith(self._config.url_prefixes):
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
