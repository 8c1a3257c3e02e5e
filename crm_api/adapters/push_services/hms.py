"""Huawei Push Kit (https://developer.huawei.com/consumer/en/doc/HMSCore-References/https-send-api-0000001050986197)."""

from __future__ import annotations

import asyncio
import json
import time
from typing import TYPE_CHECKING, Final

from crm_api.adapters.push_services.push import ACCEPTED, TRY_AGAIN, Verdict, json_of, try_again

if TYPE_CHECKING:
    import httpx

    from crm_api.adapters.push_services.push import Push
    from crm_api.config import HmsConfig

SUCCESS: Final = "80000000"
DEAD: Final = frozenset({"80300007", "80300002"})
"""Every token is invalid; the app has no right to the token."""
ACCESS_OVER: Final = frozenset({"80200001", "80200003"})
BUSY: Final = frozenset({"81000001", "80300008"})
_OK = 200
RENEWED_BEFORE_S: Final = 300


class Hms:
    """Huawei apps: a data message of high urgency."""

    def __init__(self, config: HmsConfig, client: httpx.AsyncClient) -> None:
        self._config = config
        self._client = client
        self._access = ""
        self._access_until = 0.0
        self._renewing = asyncio.Lock()

    async def send(self, token: str, push: Push) -> Verdict:
        """Send to an app's token."""
        access = await self._access_token()
        if not access:
            return Verdict("try_again", "no access token")
        message = {
            "data": json.dumps(dict(push.data)),
            "android": {"urgency": "NORMAL" if push.silent else "HIGH", "ttl": f"{push.seconds_left()}s"},
            "token": [token],
        }
        response = await self._client.post(
            f"{self._config.url}/v1/{self._config.app_id}/messages:send",
            json={"validate_only": False, "message": message},
            headers={"Authorization": f"Bearer {access}"},
        )
        code = str(json_of(response).get("code") or response.status_code)
        if response.status_code == _OK and code == SUCCESS:
            return ACCEPTED
        if code in DEAD:
            return Verdict("dead_token", code)
        if code in ACCESS_OVER:
            self._access_until = 0.0
            return Verdict("try_again", code)
        busy = response.status_code in TRY_AGAIN or code in BUSY
        return try_again(response, code) if busy else Verdict("refused", code)

    async def _access_token(self) -> str:
        async with self._renewing:
            if time.monotonic() < self._access_until:
                return self._access
            answer = await self._client.post(
                self._config.token_url,
                data={
                    "grant_type": "client_credentials",
                    "client_id": self._config.app_id,
                    "client_secret": self._config.app_secret,
                },
            )
            told = json_of(answer)
            if answer.status_code != _OK or not isinstance(told.get("access_token"), str):
                return ""
            self._access = str(told["access_token"])
            self._access_until = time.monotonic() + float(str(told.get("expires_in", 3600))) - RENEWED_BEFORE_S
            return self._access
