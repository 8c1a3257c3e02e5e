"""Imports from CSV: every row is looked at first, then everything is written in one transaction, or nothing."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any, Final, Literal

import structlog

from crm_api.domain import csv_table
from crm_api.domain.csv_table import CsvRow, RowProblem
from crm_api.domain.problems import InvalidFieldsError
from crm_api.services.audit import COLUMNS, AuditTrail, Entry
from crm_api.services.context import Tenant
from crm_api.services.idempotency import Idempotency
from crm_api.services.importing.apartments import ApartmentImport
from crm_api.services.importing.houses import HouseImport
from crm_api.services.importing.importer import MOST_ROWS
from crm_api.services.importing.keys import KeyImport
from crm_api.services.importing.residents import ResidentImport
from crm_api.services.job_work import StopAskedError, run_job
from crm_api.services.kept import company_for
from crm_api.tables.database import DatabaseErrors, reason_of

if TYPE_CHECKING:
    import threading

    from crm_api.domain.csv_table import CsvTable
    from crm_api.services.context import Context
    from crm_api.services.idempotency import Repeatable
    from crm_api.services.importing.importer import Importer
    from crm_api.services.jobs import Jobs, Taken
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
MOST_LINES: Final = 1_048_576
"""Of a file, empty ones included: as many as a sheet has."""
_TOO_MANY: Final = "has more than {} rows: cut the file into several"
MOST_PROBLEMS: Final = 1000
TELL_EVERY: Final = 1000
MANY_ROWS: Final = 1000
"""Of an import: after so many the database looks anew how large its tables are."""

_log = structlog.get_logger("crm_api.jobs")


class Imports:
    """Takes files, and imports them at once or in the background."""

    when_failed = "Nothing was imported"

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

        It waits for the worker all the same when the database takes nothing more: who sent such a file again would
        have it imported twice.

        Args:
            tenant: who sends it.
            kind: what its rows are.
            company_id: whose they will be; may be left out by a company's own operator.
            options: `dry_run`, `on_existing`, `background`, and what the importer takes.
            content: of the file.
            wish: the same wish again is answered with the job that it made before.

        Raises:
            ConflictError: too many jobs of the company wait.
            InvalidFieldsError: no such table at all, or too many rows or lines; what is wrong with them is told by the
                job, as is that there are too many when they lie among millions of empty cells.
        """
        table = csv_table.read(content, IMPORTERS[kind].columns)
        if table.lines > MOST_LINES:
            raise InvalidFieldsError.one("body", None, f"has more than {MOST_LINES} lines: leave the empty ones out")
        if table.has_more_rows_than(MOST_ROWS):
            raise InvalidFieldsError.one("body", None, _TOO_MANY.format(MOST_ROWS))
        company = company_for(tenant, company_id)
        kept = {**options, "principal_id": tenant.principal_id}
        at_once = len(content) <= AT_ONCE_BYTES and not options.get("background")

        def submitted() -> Document:
            key = self._jobs.submit(tenant, company, f"import {kind}", kept, content, rows=table.lines, at_once=at_once)
            return {"id": key}

        made = self._idempotency.once(tenant, wish, submitted)
        kept_job = self._jobs.got(tenant, made["id"])
        if not at_once:
            return kept_job
        try:
            taken = self._jobs.take(made["id"])  # None: it was done when it was asked for before
            if taken is not None:
                run_job(self._jobs, taken, self)
            return self._jobs.got(tenant, made["id"])
        except DatabaseErrors as error:
            self._context.database.forget_connection()
            _log.warning("left to the worker", job_id=made["id"], reason=reason_of(error))
            return kept_job

    def do(self, taken: Taken, stopped: threading.Event) -> None:
        """Look at every row, then write all or nothing."""
        importer_class = IMPORTERS[taken.kind.removeprefix("import ")]
        table = csv_table.read(taken.content, importer_class.columns)
        importer = importer_class(self._context, taken.company_id, taken.options)
        problems, wrong, rows = self._looked_at(taken, importer, table, stopped)
        dry_run = bool(taken.options.get("dry_run"))
        result: dict[str, Any] = {
            "encoding": table.encoding,
            "separator": table.separator,
            "dry_run": dry_run,
            "rows": rows,
            "skipped": importer.skipped,
            "made": {},
            "problems_found": wrong,
            "problems": [asdict(problem) for problem in problems],
        }
        try:
            if not problems and not dry_run:
                importer.prepare()
                importer.stage("audit_log", COLUMNS, self._trail.lines(_who(taken), importer.entries()))
            with self._context.database.transaction():
                if not problems and not dry_run:
                    importer.look_again()
                    result["made"] = importer.write()
                    self._tell_the_audit_log(taken, result["made"])
                state = "failed" if problems and not dry_run else "done"
                self._jobs.end(taken, state, result, rows)
        finally:
            importer.forget()
        if sum(result["made"].values()) >= MANY_ROWS:
            self._context.database.analyze()

    def _looked_at(
        self, taken: Taken, importer: Importer, table: CsvTable, stopped: threading.Event
    ) -> tuple[list[RowProblem], int, int]:
        """Return what is wrong with the rows (the first of it, and how much in all), and how many rows there are."""
        problems: list[RowProblem] = []
        wrong = rows = 0
        for row in table.rows():
            rows += 1
            if rows > MOST_ROWS:  # so much emptiness is in the file that who took it could not tell
                number = row.number if isinstance(row, CsvRow) else row.row
                problems.append(RowProblem(number, "", "", _TOO_MANY.format(MOST_ROWS)))
                wrong += 1
                break
            found = importer.take(row) if isinstance(row, CsvRow) else [row]
            wrong += len(found)
            problems += found[: MOST_PROBLEMS - len(problems)]
            if rows % TELL_EVERY == 0:
                if stopped.is_set():
                    raise StopAskedError
                self._jobs.tell(taken, rows)
        self._jobs.tell(taken, rows)
        return problems, wrong, rows

    def _tell_the_audit_log(self, taken: Taken, made: dict[str, int]) -> None:
        entry = Entry("job", str(taken.job_id), taken.kind, None, {"made": made}, taken.company_id)
        self._trail.write(_who(taken), [entry])


def _who(taken: Taken) -> Tenant:
    """Return whose doing a job is."""
    return Tenant(None, taken.made_by, taken.options.get("principal_id"))
