"""`python -m crm_api.outbox --config <crm.json>`: delivers changes to the cache of ring plans."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.background import repeat, start, stop_on_signal
from crm_api.bootstrap import make_context, make_plan_cache
from crm_api.services.delivery import Delivery
from crm_api.tables.commit_watch import CommitWatch

if TYPE_CHECKING:
    from crm_api.config import CrmConfig


def run(config: CrmConfig) -> None:
    """Deliver until SIGTERM."""
    context = make_context(config)
    delivery = Delivery(context, make_plan_cache(config))
    stopped = stop_on_signal()
    watch = CommitWatch(context.database, stopped)
    try:
        repeat(delivery.deliver, context.database, stopped, lambda: watch.wait(delivery.rest_s()))
    finally:
        watch.close()


if __name__ == "__main__":
    start("crm_api.outbox", run)
