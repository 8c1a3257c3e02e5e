"""One scheduler process: acts while it holds the lease, stands by otherwise."""

from __future__ import annotations

import functools
import time
from typing import TYPE_CHECKING, Final

import structlog

from crm_api.adapters.plan_cache import RedisErrors
from crm_api.services.job_runs import JobRuns, RunLostError
from crm_api.services.timetable import Timetable
from crm_api.tables.database import DatabaseErrors, reason_of
from scheduler.threads import Threads
from scheduler.work import StoppedError, Telling

if TYPE_CHECKING:
    import threading
    from collections.abc import Callable, Mapping, Sequence

    from crm_api.services.context import Context
    from crm_api.services.job_runs import Run
    from crm_api.services.scheduler_lease import SchedulerLease
    from scheduler.work import Job, Step

FILL_EVERY_S: Final = 10.0

_log = structlog.get_logger("scheduler")


class SchedulerProcess:
    """Beats once a second: keeps the lease, looks at the timetable, takes runs, and lets steps go on that are due.

    Args:
        context: database and clock.
        lease: this process's view of it.
        jobs: what does a run, by kind.
        steps: what goes on beside them.
        stopped: set when the process has to end.
        say_alive: tells others that a scheduler acts (Redis); may raise one of `RedisErrors`.
    """

    def __init__(
        self,
        context: Context,
        lease: SchedulerLease,
        *,
        jobs: Mapping[str, Job],
        steps: Sequence[Step],
        stopped: threading.Event,
        say_alive: Callable[[], None] = lambda: None,
    ) -> None:
        self._context = context
        self._lease = lease
        self._jobs = jobs
        self._steps = steps
        self._stopped = stopped
        self._say_alive = say_alive
        self._timetable = Timetable(context)
        self._runs = JobRuns(context)
        self._threads = Threads()
        self._filled_s = -FILL_EVERY_S
        self._acted = False
        self._redis_away = False

    def start(self) -> None:
        """Start the threads."""
        self._threads.start()

    def stop(self) -> None:
        """End what runs (each run is given back at its next sign of life), then let another process take over."""
        self._stopped.set()
        self._threads.stop()
        self._lease.give_back()

    def beat(self) -> None:
        """Do what is due. Raises one of `DatabaseErrors` when the database is away."""
        acts = self._lease.keep()
        if acts != self._acted:
            _log.info("acting" if acts else "standing by", holder=self._lease.holder)
            self._acted = acts
        if not acts:
            return
        if time.monotonic() - self._filled_s >= FILL_EVERY_S:
            self._timetable.fill()
            self._filled_s = time.monotonic()
        self._timetable.look()
        while (run := self._runs.take(self._lease.holder, self._own())) is not None:
            self._threads.begin(f"run {run.run_id}", functools.partial(self._do, run))
        for step in self._steps:
            name = f"step {step.name}"
            # Handing a step to a thread costs more than asking: most seconds of a day it would be for nothing.
            if name not in self._threads.busy and step.is_due():
                self._threads.begin(name, functools.partial(self._step, step))
        self._tell_redis()

    def _own(self) -> set[int]:
        return {int(name.removeprefix("run ")) for name in self._threads.busy if name.startswith("run ")}

    def _do(self, run: Run) -> None:
        """Do one run; it ends, is tried again later, or is given back."""
        log = _log.bind(job=run.kind, slot=run.slot, company_id=run.company_id, attempt=run.attempt)
        try:
            log.info("run begins")
            result = self._jobs[run.kind](Telling(run, self._runs, self._stopped))
            self._runs.end(run, result)
            log.info("run done", **{name: value for name, value in result.items() if not isinstance(value, dict)})
        except StoppedError:
            self._runs.give_back(run)
            log.info("run given back")
        except RunLostError as error:
            log.warning("run lost", reason=str(error))
        except DatabaseErrors as error:
            # The run stays `running` and is silent: it is taken again when the database is back.
            log.error("run left: the database is away", reason=reason_of(error))  # noqa: TRY400 - one line an outage
        except Exception as error:
            log.exception("run failed")
            self._runs.fail(run, f"{type(error).__name__}: {error}")
        finally:
            self._context.database.forget_connection()

    def _step(self, step: Step) -> None:
        """Let a step go on; the connection stays with its thread, which lasts as long as the process."""
        try:
            step.step(self._stopped)
        except (*DatabaseErrors, *RedisErrors) as error:
            _log.error("step could not go on", step=step.name, reason=reason_of(error))
        except Exception:  # noqa: BLE001 - the one boundary of all steps; the next turn tries again
            _log.exception("step failed", step=step.name)
        else:
            return
        self._context.database.forget_connection()
        self._stopped.wait(1.0)

    def _tell_redis(self) -> None:
        try:
            self._say_alive()
        except RedisErrors as error:
            if not self._redis_away:
                _log.error("Redis is away; trying again", reason=str(error))
            self._redis_away = True
            return
        if self._redis_away:
            _log.info("Redis is back")
            self._redis_away = False
