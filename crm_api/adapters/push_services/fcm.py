"""Firebase Cloud Messaging, HTTP v1 (https://firebase.google.com/docs/reference/fcm/rest/v1/projects.messages).

A service account signs a token (RFC 7523) that Google exchanges for an access token of an hour.
"""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote

import jwt

from crm_api.adapters.push_services.push import ACCEPTED, TRY_AGAIN, Verdict, json_of, try_again

if TYPE_CHECKING:
    import httpx

    from crm_api.adapters.push_services.push import Push
    from crm_api.config import FcmConfig

SCOPE: Final = "https://www.googleapis.com/auth/firebase.messaging"
GRANT: Final = "urn:ietf:params:oauth:grant-type:jwt-bearer"
LIFETIME_S: Final = 3600
RENEWED_BEFORE_S: Final = 300
_OK, _UNAUTHORISED = 200, 401
# `errorCode` of google.firebase.fcm.v1.FcmError.
DEAD: Final = frozenset({"UNREGISTERED", "SENDER_ID_MISMATCH"})


class Fcm:
    """Android apps: a data message of high priority, that wakes a sleeping app."""

    def __init__(self, config: FcmConfig, client: httpx.AsyncClient) -> None:
        self._config = config
        self._client = client
        self._url = f"{config.url}/v1/projects/{quote(config.project_id, safe='')}/messages:send"
        self._access = ""
        self._access_until = 0.0
        self._renewing = asyncio.Lock()

    async def send(self, token: str, push: Push) -> Verdict:
        """Send to an app's registration token."""
        access = await self._access_token()
        if not access:
            return Verdict("try_again", "no access token")
        message = {
            "token": token,
            "data": dict(push.data),
            "android": {"priority": "NORMAL" if push.silent else "HIGH", "ttl": f"{push.seconds_left()}s"},
        }
        response = await self._client.post(
            self._url, json={"message": message}, headers={"Authorization": f"Bearer {access}"}
        )
        if response.status_code == _OK:
            return ACCEPTED
        error: Any = json_of(response).get("error") or {}
        code = next((part["errorCode"] for part in error.get("details", []) if "errorCode" in part), "")
        reason = code or error.get("status") or str(response.status_code)
        if code in DEAD or (code == "INVALID_ARGUMENT" and "token" in str(error.get("message")).lower()):
            return Verdict("dead_token", reason)
        if response.status_code == _UNAUTHORISED:
            self._access_until = 0.0
            return Verdict("try_again", reason)
        return try_again(response, reason) if response.status_code in TRY_AGAIN else Verdict("refused", reason)

    async def _access_token(self) -> str:
        """Return the access token, a new one when it is about to end; empty when Google gives none."""
        async with self._renewing:
            if time.monotonic() < self._access_until:
                return self._access
            now_s = int(time.time())
            claims = {
                "iss": self._config.client_email,
                "scope": SCOPE,
                "aud": self._config.token_url,
                "iat": now_s,
                "exp": now_s + LIFETIME_S,
            }
            assertion = jwt.encode(claims, self._config.private_key_file.read_text(), algorithm="RS256")
            answer = await self._client.post(self._config.token_url, data={"grant_type": GRANT, "assertion": assertion})
            told = json_of(answer)
            if answer.status_code != _OK or not isinstance(told.get("access_token"), str):
                return ""
            self._access = str(told["access_token"])
            self._access_until = time.monotonic() + float(str(told.get("expires_in", LIFETIME_S))) - RENEWED_BEFORE_S
            return self._access
