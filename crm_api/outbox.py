"""`python -m crm_api.outbox --config <crm.json>`: delivers changes to the cache of ring plans."""

from __future__ import annotations

from typing import Final

from crm_api.background import config_path, repeat, stop_on_signal
from crm_api.bootstrap import make_context, make_plan_cache, set_up_logging
from crm_api.config import read_config
from crm_api.services.delivery import Delivery

POLL_S: Final = 0.05


def main() -> None:
    """Deliver until SIGTERM."""
    config = read_config(config_path("crm_api.outbox", main.__doc__ or ""))
    set_up_logging(config)
    context = make_context(config)
    delivery = Delivery(context, make_plan_cache(config))
    repeat(delivery.deliver, context.database, stop_on_signal(), POLL_S)


if __name__ == "__main__":
    main()
