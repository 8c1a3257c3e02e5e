"""`python -m crm_api.outbox --config <crm.json>`: delivers changes to the cache of ring plans."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.background import repeat, start, stop_on_signal
from crm_api.bootstrap import make_context, make_plan_cache
from crm_api.services.delivery import Delivery

if TYPE_CHECKING:
    from crm_api.config import CrmConfig

POLL_S: Final = 0.05


def run(config: CrmConfig) -> None:
    """Deliver until SIGTERM."""
    context = make_context(config)
    delivery = Delivery(context, make_plan_cache(config))
    repeat(delivery.deliver, context.database, stop_on_signal(), POLL_S)


if __name__ == "__main__":
    start("crm_api.outbox", run)
