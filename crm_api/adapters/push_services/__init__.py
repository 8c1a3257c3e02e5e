"""Push services behind one small interface: `PushService.send` a `Push` to a token, and hear a `Verdict`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import httpx

from crm_api.adapters.push_services.apns import Apns
from crm_api.adapters.push_services.fcm import Fcm
from crm_api.adapters.push_services.hms import Hms
from crm_api.adapters.push_services.webhook import Webhook

if TYPE_CHECKING:
    from crm_api.adapters.push_services.push import PushService
    from crm_api.config import PushConfig

TIMEOUT = httpx.Timeout(5.0, connect=2.0, pool=10.0)
LIMITS = httpx.Limits(max_connections=200, max_keepalive_connections=50)


def push_services(config: PushConfig) -> dict[str, PushService]:
    """Return the services that are configured, under the platforms of `push_tokens`; each with connections of its own.

    One that hangs fills its own connections and nobody else's.
    """

    def client(*, http2: bool = False) -> httpx.AsyncClient:
        return httpx.AsyncClient(timeout=TIMEOUT, limits=LIMITS, http2=http2, follow_redirects=False, trust_env=False)

    services: dict[str, PushService] = {}
    if config.fcm is not None:
        services["fcm"] = Fcm(config.fcm, client())
    if config.apns is not None:
        apns = client(http2=True)
        services["apns"] = Apns(config.apns, apns, voip=False)
        services["apns_voip"] = Apns(config.apns, apns, voip=True)
    if config.hms is not None:
        services["hms"] = Hms(config.hms, client())
    if config.webhook is not None:
        services["webhook"] = Webhook(config.webhook, client())
    return services
