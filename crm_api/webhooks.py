"""`python -m crm_api.webhooks --config <crm.json>`: tells client companies' systems what happened."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Final

from crm_api.adapters.customer_posts import client_of
from crm_api.adapters.heartbeat import Heartbeat
from crm_api.adapters.redis_keys import WEBHOOKS_AT_KEY
from crm_api.background import repeat, start, stop_on_signal
from crm_api.bootstrap import make_context
from crm_api.domain.network_addresses import networks_of
from crm_api.services.message_pictures import MessagePictures
from crm_api.services.telling import Telling, is_due, prune

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.config import CrmConfig
    from crm_api.domain.network_addresses import Networks
    from crm_api.services.context import Context

POLL_S: Final = 0.5
TIDY_EVERY_S: Final = 3600.0


def teller(
    context: Context, public_url: str, networks: Networks = (), beat: Callable[[], None] = lambda: None
) -> Callable[[], None]:
    """Return one pass: what is due, side by side, and now and then the removal of what is long delivered.

    `beat` is called whenever it gets on, once in 15 s at least.
    """
    pictures = MessagePictures(context, {}, public_url)
    tidied_s = [-TIDY_EVERY_S]

    async def deliver() -> None:
        async with client_of(networks) as client:
            telling = Telling(context, client, pictures)
            while await telling.deliver():
                beat()

    def work() -> None:
        if is_due(context):
            asyncio.run(deliver())
        if time.monotonic() - tidied_s[0] > TIDY_EVERY_S:
            tidied_s[0] = time.monotonic()
            prune(context)
        beat()

    return work


def run(config: CrmConfig) -> None:
    """Tell until SIGTERM."""
    context = make_context(config)
    heartbeat = Heartbeat(config.redis_url, WEBHOOKS_AT_KEY, context.now_ms)
    work = teller(context, config.public_url, networks_of(config.webhook_networks), heartbeat.beat)
    repeat(work, context.database, stop_on_signal(), POLL_S)


if __name__ == "__main__":
    start("crm_api.webhooks", run)
