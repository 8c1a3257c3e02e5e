"""Imports from CSV: every row is looked at first, then everything is written in one transaction, or nothing."""

from __future__ import annotations

import threading
from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog

from crm_api.domain import csv_table
from crm_api.domain.csv_table import CsvRow
from crm_api.domain.problems import ProblemError
from crm_api.services.audit import AuditTrail, Entry
from crm_api.services.context import Tenant
from crm_api.services.idempotency import Idempotency
from crm_api.services.importing.apartments import ApartmentImport
from crm_api.services.importing.houses import HouseImport
from crm_api.services.importing.keys import KeyImport
from crm_api.services.importing.residents import ResidentImport
from crm_api.services.jobs import JobLostError, Jobs, Taken
from crm_api.services.kept import company_for
from crm_api.tables.database import DatabaseErrors, ValueErrors

if TYPE_CHECKING:
    from crm_api.domain.csv_table import CsvTable, RowProblem
    from crm_api.services.context import Context
    from crm_api.services.idempotency import Repeatable
    from crm_api.services.importing.importer import Importer
    from crm_api.services.kept import Document

ImportKind = Literal["houses", "apartments", "residents", "keys"]
IMPORTERS: Final[dict[str, type[Importer]]] = {
    "houses": HouseImport,
    "apartments": ApartmentImport,
    "residents": ResidentImport,
    "keys": KeyImport,
}
AT_ONCE_BYTES: Final = 64 * 1024
"""A file up to this size is imported while its sender waits: a second at most."""
MOST_PROBLEMS: Final = 1000
TELL_EVERY: Final = 1000

_log = structlog.get_logger("crm_api.imports")


class StopAskedError(Exception):
    """The worker has to end: the job is given back."""


class Imports:
    """Takes files, and imports them at once or in the background."""

    def __init__(self, context: Context, jobs: Jobs) -> None:
        self._context = context
        self._jobs = jobs
        self._trail = AuditTrail(context)
        self._idempotency = Idempotency(context)

    def submit(
        self,
        tenant: Tenant,
        kind: ImportKind,
        company_id: int | None,
        options: dict[str, Any],
        content: bytes,
        *,
        wish: Repeatable | None = None,
    ) -> Document:
        """Take a file; the answer is its job, ended already when the file is small.

        Args:
            tenant: who sends it.
            kind: what its rows are.
            company_id: whose they will be; may be left out by a company's own operator.
            options: `dry_run`, `on_existing`, `background`, and what the importer takes.
            content: of the file.
            wish: the same wish again is answered with the job that it made before.

        Raises:
            InvalidFieldsError: no such table at all; what is wrong with its rows is told by the job.
        """
        csv_table.read(content, IMPORTERS[kind].columns)
        company = company_for(tenant, company_id)
        kept = {**options, "principal_id": tenant.principal_id}
        made = self._idempotency.once(
            tenant, wish, lambda: {"id": self._jobs.submit(tenant, company, f"import {kind}", kept, content)}
        )
        job_id: int = made["id"]
        if len(content) <= AT_ONCE_BYTES and not options.get("background"):
            taken = self._jobs.take(job_id)  # None: it was done when it was asked for before
            if taken is not None:
                self.run(taken)
        return self._jobs.got(tenant, job_id)

    def work(self, stopped: threading.Event) -> bool:
        """Do one job that waits; say whether there was one."""
        taken = self._jobs.take()
        if taken is None:
            return False
        self.run(taken, stopped)
        return True

    def run(self, taken: Taken, stopped: threading.Event | None = None) -> None:
        """Do a job. A lost job is left to whoever has it; a database that is away raises, and the job is done anew."""
        log = _log.bind(job_id=taken.job_id, kind=taken.kind, attempt=taken.attempt)
        try:
            self._import(taken, stopped or threading.Event())
        except StopAskedError:
            self._jobs.give_back(taken)
            log.info("given back")
        except JobLostError as error:
            log.warning("lost", reason=str(error))
        except DatabaseErrors:
            raise
        except (ProblemError, *ValueErrors) as error:
            detail = error.detail if isinstance(error, ProblemError) else str(error).splitlines()[0]
            self._fail(taken, f"Nothing was imported: {detail}. Somebody else has changed the same rows: try again")
            log.warning("failed", reason=detail)
        except Exception:  # the boundary of a job: a fault of ours must not end the worker, and is never tried again
            log.exception("fault")
            self._fail(taken, "Nothing was imported, by a fault of ours: tell us the id of this job")
        else:
            log.info("done")

    def _import(self, taken: Taken, stopped: threading.Event) -> None:
        importer_class = IMPORTERS[taken.kind.removeprefix("import ")]
        table = csv_table.read(taken.content, importer_class.columns)
        importer = importer_class(self._context, taken.company_id, taken.options)
        problems, rows = self._looked_at(taken, importer, table, stopped)
        dry_run = bool(taken.options.get("dry_run"))
        result: dict[str, Any] = {
            "encoding": table.encoding,
            "separator": table.separator,
            "dry_run": dry_run,
            "rows": rows,
            "skipped": importer.skipped,
            "made": {},
            "problems_found": len(problems),
            "problems": [asdict(problem) for problem in problems[:MOST_PROBLEMS]],
        }
        with self._context.database.transaction():
            if not problems and not dry_run:
                result["made"] = importer.write()
                self._tell_the_audit_log(taken, result["made"])
            state = "failed" if problems and not dry_run else "done"
            self._jobs.end(taken, state, result, rows)

    def _looked_at(
        self, taken: Taken, importer: Importer, table: CsvTable, stopped: threading.Event
    ) -> tuple[list[RowProblem], int]:
        """Return what is wrong with the rows, and how many there are."""
        problems: list[RowProblem] = []
        rows = 0
        for row in table.rows():
            rows += 1
            problems += importer.take(row) if isinstance(row, CsvRow) else [row]
            if rows % TELL_EVERY == 0:
                if stopped.is_set():
                    raise StopAskedError
                self._jobs.tell(taken, rows)
        self._jobs.tell(taken, rows)
        return problems, rows

    def _fail(self, taken: Taken, why: str) -> None:
        try:
            with self._context.database.transaction():
                self._jobs.end(taken, "failed", {"error": why}, 0)
        except JobLostError as error:
            _log.warning("lost", job_id=taken.job_id, reason=str(error))

    def _tell_the_audit_log(self, taken: Taken, made: dict[str, int]) -> None:
        tenant = Tenant(None, taken.made_by, taken.options.get("principal_id"))
        entry = Entry("job", str(taken.job_id), taken.kind, None, {"made": made}, taken.company_id)
        self._trail.write(tenant, [entry])
