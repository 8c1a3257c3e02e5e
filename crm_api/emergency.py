"""`python -m crm_api.emergency --config <crm.json>`: frees numbers, checks panels once a day, watches pools, tells."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_api.adapters.notice_senders import notice_senders
from crm_api.background import repeat, start, stop_on_signal
from crm_api.bootstrap import make_context
from crm_api.services.city_numbers import CityNumbers
from crm_api.services.emergency_checks import EmergencyChecks
from crm_api.services.emergency_notices import Notices
from crm_api.services.emergency_tests import EmergencyTests
from crm_api.services.notice_delivery import NoticeDelivery
from crm_api.services.number_leases import Leasing

if TYPE_CHECKING:
    from collections.abc import Callable
    from concurrent.futures import Future

    from crm_api.adapters.notice_senders import NoticeSender
    from crm_api.config import CrmConfig
    from crm_api.services.context import Context

POLL_S: Final = 0.5
MINUTE_S: Final = 60.0
DAY_S: Final = 86_400.0

_log = structlog.get_logger("crm_api.emergency")


class _TestCalls:
    """Places test calls beside the notices, which tell of people in need: one lasts as long as it rings."""

    def __init__(self, context: Context, proxy: tuple[str, int] | None) -> None:
        self._context, self._proxy = context, proxy
        self._tests = EmergencyTests(context)
        self._thread = ThreadPoolExecutor(1, "test call")
        self._placing: Future[None] | None = None

    def step(self) -> None:
        """Begin one that waits, unless another is on its way."""
        if self._placing is None or self._placing.done():
            row = self._tests.take()
            self._placing = None if row is None else self._thread.submit(self._place, row)

    def _place(self, row: Any) -> None:
        try:
            self._tests.place_one(row, self._proxy)
        except Exception:  # noqa: BLE001 - the one error boundary of a thread
            _log.exception("test call failed", call_id=row.call_id)
        finally:
            self._context.database.forget_connection()


def worker(context: Context, senders: dict[str, NoticeSender], proxy: tuple[str, int] | None) -> Callable[[], None]:
    """Return one pass: send what is due; each minute free numbers and look at the pools; each day check the panels."""
    delivery = NoticeDelivery(context, senders)
    leasing, numbers, notices = Leasing(context), CityNumbers(context), Notices(context)
    checks, tests = EmergencyChecks(context), _TestCalls(context, proxy)
    due = {"minute": 0.0, "day": 0.0}

    def each_minute() -> None:
        leasing.expire()
        for pool in numbers.pools():
            if pool["running_out"]:
                day = context.now_ms() // int(DAY_S * 1000)
                told = {name: value for name, value in pool.items() if name != "running_out"}
                _log.warning("pool of numbers is running out", **told)
                with context.database.transaction():
                    notices.pool("pool_running_out", pool["city_id"], day, told)

    def work() -> None:
        delivery.deliver()
        tests.step()
        now = time.monotonic()
        if now >= due["minute"]:
            each_minute()
            due["minute"] = now + MINUTE_S
        if now >= due["day"]:
            found = checks.check()
            due["day"] = now + DAY_S  # only now: with the database away it is checked as soon as it is back
            if found:
                _log.warning("panels from which an emergency call would not go the whole way", findings=found)

    return work


def run(config: CrmConfig) -> None:
    """Work until SIGTERM."""
    context = make_context(config)
    host, _, port = (config.sip_proxy or "").rpartition(":")
    proxy = (host, int(port)) if host else None
    repeat(worker(context, notice_senders(config), proxy), context.database, stop_on_signal(), POLL_S)


if __name__ == "__main__":
    start("crm_api.emergency", run)
