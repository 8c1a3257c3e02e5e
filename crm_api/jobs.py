"""`python -m crm_api.jobs --config <crm.json>`: does the jobs that wait, one after the other."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from crm_api.adapters.heartbeat import Heartbeat
from crm_api.adapters.redis_keys import JOBS_AT_KEY
from crm_api.background import repeat, start, stop_on_signal
from crm_api.bootstrap import make_context, make_services
from crm_api.services.code_retention import CodeRetention
from crm_api.services.record_retention import RecordRetention
from crm_api.services.unfinished_calls import UnfinishedCalls

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable

    from crm_api.config import CrmConfig
    from crm_api.services.context import Context

POLL_S: Final = 0.4
TIDY_EVERY_S: Final = 3600.0


def worker(context: Context, stopped: threading.Event, beat: Callable[[], None] = lambda: None) -> Callable[[], None]:
    """Return one pass: every job that waits, and each hour what nobody asks for: old records go, lost calls end.

    `beat` is called whenever it gets on, within a job as often as that tells how far it is.
    """
    services = make_services(context)
    services.jobs.when_told = beat
    records, codes = RecordRetention(context), CodeRetention(context)
    unfinished = UnfinishedCalls(context)
    tidied_s = [-TIDY_EVERY_S]

    def work() -> None:
        while not stopped.is_set() and services.job_work.work(stopped):
            beat()
        if time.monotonic() - tidied_s[0] > TIDY_EVERY_S:
            services.jobs.prune()
            services.visitor_pictures.forget()
            records.prune(beat)
            codes.prune()
            unfinished.end()
            tidied_s[0] = time.monotonic()  # at last: with the database away it is done as soon as it is back
        beat()

    return work


def run(config: CrmConfig) -> None:
    """Work until SIGTERM; a job that is being looked at then is given back, one that is being written is finished."""
    context = make_context(config)
    stopped = stop_on_signal()
    heartbeat = Heartbeat(config.redis_url, JOBS_AT_KEY, context.now_ms)
    repeat(worker(context, stopped, heartbeat.beat), context.database, stopped, POLL_S)


if __name__ == "__main__":
    start("crm_api.jobs", run)
