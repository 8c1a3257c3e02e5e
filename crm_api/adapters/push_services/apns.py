"""Apple Push Notification service over HTTP/2 with token authentication (ES256).

https://developer.apple.com/documentation/usernotifications/sending-notification-requests-to-apns
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final
from urllib.parse import quote

import jwt

from crm_api.adapters.push_services.push import ACCEPTED, TRY_AGAIN, Verdict, json_of, try_again

if TYPE_CHECKING:
    import httpx

    from crm_api.adapters.push_services.push import Push
    from crm_api.config import ApnsConfig

RENEWED_AFTER_S: Final = 2400
"""Apple refuses tokens older than an hour, and new ones more often than every 20 minutes."""
DEAD: Final = frozenset({"Unregistered", "BadDeviceToken", "DeviceTokenNotForTopic", "ExpiredToken"})
_OK = 200


class Apns:
    """Apple apps: a VoIP push, which wakes the app at once and must ring, or an alert."""

    def __init__(self, config: ApnsConfig, client: httpx.AsyncClient, *, voip: bool) -> None:
        self._config = config
        self._client = client
        self._voip = voip
        self._token = ""
        self._token_at = float("-inf")

    async def send(self, token: str, push: Push) -> Verdict:
        """Send to a device's token."""
        alert = None if self._voip else push.alert
        is_background = not self._voip and alert is None
        topic = self._config.topic + (".voip" if self._voip else "")
        headers = {
            "authorization": f"bearer {self._provider_token()}",
            "apns-topic": topic,
            "apns-push-type": "voip" if self._voip else "background" if is_background else "alert",
            "apns-priority": "5" if is_background or push.silent else "10",  # with `background` Apple takes 5 alone
            "apns-expiration": str(push.kept_until_ms // 1000),
        }
        if call_id := push.data.get("call_id", "")[:64]:
            headers["apns-collapse-id"] = call_id
        aps: dict[str, object] = {"content-available": 1}
        if alert is not None:
            shown = {name: text for name, text in alert._asdict().items() if text}
            heard = {"interruption-level": "passive"} if push.silent else {"sound": "default"}
            aps = {"alert": shown, **heard, "mutable-content": 1}
        body = {"aps": aps, **push.data}
        url = f"{self._config.url}/3/device/{quote(token, safe='')}"
        response = await self._client.post(url, json=body, headers=headers)
        if response.status_code == _OK:
            return ACCEPTED
        reason = str(json_of(response).get("reason") or response.status_code)
        if reason in DEAD:
            return Verdict("dead_token", reason)
        if reason in {"ExpiredProviderToken", "InvalidProviderToken"}:
            self._token_at = float("-inf")
            return Verdict("try_again" if reason == "ExpiredProviderToken" else "refused", reason)
        return try_again(response, reason) if response.status_code in TRY_AGAIN else Verdict("refused", reason)

    def _provider_token(self) -> str:
        if time.monotonic() - self._token_at > RENEWED_AFTER_S:
            self._token = jwt.encode(
                {"iss": self._config.team_id, "iat": int(time.time())},
                self._config.private_key_file.read_text(),
                algorithm="ES256",
                headers={"kid": self._config.key_id},
            )
            self._token_at = time.monotonic()
        return self._token
