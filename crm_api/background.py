"""What the CRM's background processes share: a stop on SIGTERM, and a loop that outlives Redis and the database."""

from __future__ import annotations

import argparse
import signal
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Final

import structlog

from crm_api.adapters.plan_cache import RedisErrors
from crm_api.bootstrap import set_up_logging
from crm_api.config import ConfigError, read_config
from crm_api.tables.database import DatabaseErrors, reason_of

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.config import CrmConfig
    from crm_api.tables.database import CrmDatabase

FIRST_RETRY_S: Final = 0.1
LAST_RETRY_S: Final = 1.0

_log = structlog.get_logger("crm_api.background")


def start(program: str, run: Callable[[CrmConfig], None]) -> None:
    """Run a process with the file given as --config; a wrong setting ends it with status 2, told in one line."""
    parser = argparse.ArgumentParser(prog=program, description=run.__doc__)
    parser.add_argument("--config", type=Path, required=True)
    path = parser.parse_args().config
    try:
        config = read_config(path)
        set_up_logging(config)
        run(config)
    except ConfigError as error:
        sys.stderr.write(f"{program}: {error}\n")
        sys.exit(2)


def stop_on_signal() -> threading.Event:
    """Return an event that SIGTERM and SIGINT set."""
    stopped = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopped.set())
    return stopped


def repeat(
    work: Callable[[], object],
    database: CrmDatabase,
    stopped: threading.Event,
    pause: float | Callable[[], object],
) -> None:
    """Call `work` again and again until stopped, so many seconds apart, or as `pause` waits for what there is to do.

    While a server is away, try less often.

    An outage is logged once when it begins and once when it ends.
    """
    retry_s = 0.0
    while not stopped.is_set():
        try:
            work()
        except (*RedisErrors, *DatabaseErrors) as error:
            database.forget_connection()
            if retry_s == 0.0:
                _log.error("away; trying again", reason=reason_of(error))
            retry_s = min(max(retry_s * 2, FIRST_RETRY_S), LAST_RETRY_S)
            stopped.wait(retry_s)
            continue
        if retry_s:
            _log.info("back")
            retry_s = 0.0
        if callable(pause):
            pause()
        else:
            stopped.wait(pause)
