"""`python -m crm_api.emergency --config <crm.json>`: frees numbers, checks panels once a day, watches pools, tells."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import structlog

from crm_api.adapters.heartbeat import Heartbeat
from crm_api.adapters.notice_senders import notice_senders
from crm_api.adapters.plan_cache import RedisErrors
from crm_api.adapters.redis_keys import EMERGENCY_AT_KEY
from crm_api.background import repeat, start, stop_on_signal
from crm_api.bootstrap import make_context
from crm_api.services.city_numbers import CityNumbers
from crm_api.services.emergency_checks import EmergencyChecks
from crm_api.services.emergency_notices import Notices
from crm_api.services.emergency_tests import GIVE_UP_EVERY_S, EmergencyTests
from crm_api.services.notice_delivery import NoticeDelivery
from crm_api.services.number_leases import Leasing
from crm_api.tables.database import DatabaseErrors

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

    def __init__(self, context: Context, tests: EmergencyTests, proxy: tuple[str, int] | None) -> None:
        self._context, self._tests, self._proxy = context, tests, proxy
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


class _Repeated:
    """Something that is done every so often beside the notices: a fault in it keeps none of them from being sent."""

    def __init__(self, context: Context, what: str, every_s: float, do: Callable[[], object]) -> None:
        self._context, self._what, self._every_s, self._do = context, what, every_s, do
        self._due_s = 0.0

    def step(self) -> None:
        """Do it when it is due; after a fault again in a minute.

        Raises one of `DatabaseErrors` when the database is away: it is done as soon as that is back.
        """
        if time.monotonic() < self._due_s:
            return
        pause_s = self._every_s
        try:
            self._do()
        except (*RedisErrors, *DatabaseErrors):
            raise
        except Exception:  # noqa: BLE001 - the one boundary of what goes on beside the notices
            _log.exception("failed; tried again in a minute", what=self._what)
            self._context.database.forget_connection()
            pause_s = MINUTE_S
        self._due_s = time.monotonic() + pause_s


def worker(
    context: Context,
    senders: dict[str, NoticeSender],
    proxy: tuple[str, int] | None,
    beat: Callable[[], None] = lambda: None,
) -> Callable[[], None]:
    """Return one pass: send what is due; each minute free numbers and look at the pools; each day check the panels.

    `beat` is called whenever it gets on.
    """
    delivery = NoticeDelivery(context, senders)
    leasing, numbers, notices = Leasing(context), CityNumbers(context), Notices(context)
    checks, tests = EmergencyChecks(context), EmergencyTests(context)

    def look_at_pools() -> None:
        for pool in numbers.pools():
            if pool["running_out"]:
                day = context.now_ms() // int(DAY_S * 1000)
                told = {name: value for name, value in pool.items() if name != "running_out"}
                _log.warning("pool of numbers is running out", **told)
                with context.database.transaction():
                    notices.pool("pool_running_out", pool["city_id"], day, told)

    def check_panels() -> None:
        found = checks.check()
        if found:
            _log.warning("panels from which an emergency call would not go the whole way", findings=found)

    beside = [
        _Repeated(context, "test calls", 0.0, _TestCalls(context, tests, proxy).step),
        _Repeated(context, "test calls that nobody places", GIVE_UP_EVERY_S, tests.give_up),
        _Repeated(context, "ends of leases", MINUTE_S, leasing.expire),
        _Repeated(context, "pools of numbers", MINUTE_S, look_at_pools),
        _Repeated(context, "check of panels", DAY_S, check_panels),
    ]

    def work() -> None:
        delivery.deliver()
        beat()
        for one in beside:
            one.step()
            beat()

    return work


def run(config: CrmConfig) -> None:
    """Work until SIGTERM."""
    context = make_context(config)
    host, _, port = (config.sip_proxy or "").rpartition(":")
    proxy = (host, int(port)) if host else None
    heartbeat = Heartbeat(config.redis_url, EMERGENCY_AT_KEY, context.now_ms)
    work = worker(context, notice_senders(config), proxy, heartbeat.beat)
    repeat(work, context.database, stop_on_signal(), POLL_S)


if __name__ == "__main__":
    start("crm_api.emergency", run)
