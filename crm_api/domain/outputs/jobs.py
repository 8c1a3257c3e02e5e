"""Jobs as they are shown."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field

from crm_api.domain.outputs.base import Moment, Output, RowId


class RowProblemDocument(Output):
    """What is wrong in one row of a file; the header is row 1."""

    row: int
    column: str
    value: str
    remedy: str


class ImportResult(Output):
    """What came of an import. With a problem in any row nothing was written; at most 1000 of them are told."""

    encoding: str
    separator: str
    dry_run: bool
    rows: int
    skipped: int
    made: dict[str, int]
    problems_found: int
    problems: list[RowProblemDocument]


class MemberProblemDocument(Output):
    """Why the work could not be done to one member; nothing of it was done to that member."""

    noun: Literal["apartment", "house", "panel", "entrance"]
    id: RowId
    problem: Annotated[str, Field(description="kind of the problem, as in `type` of problem documents")]
    detail: str


class GroupWorkResult(Output):
    """What came of work on a group, so far or in the end; at most 1000 problems are told."""

    dry_run: bool
    changed: int
    unchanged: Annotated[int, Field(description="members that were so already")]
    failed: int
    problems: list[MemberProblemDocument]


class JobFailure(Output):
    """Why a job came to nothing."""

    error: str


class JobDocument(Output):
    """A piece of work, its progress, and (when it has ended) what came of it."""

    id: RowId
    company_id: RowId
    kind: str
    state: Literal["waiting", "running", "done", "failed"]
    options: dict[str, Any]
    made_by: str
    created_at_ms: Moment
    started_at_ms: Moment | None
    finished_at_ms: Moment | None
    attempts: int
    rows_total: (
        Annotated[
            int, Field(description="members of the group, or lines of the file until the job has ended, then its rows")
        ]
        | None
    )
    rows_done: int
    result: Annotated[
        ImportResult | GroupWorkResult | JobFailure | None,
        Field(description="null until the job has ended; of work on a group, what has come of it so far"),
    ]

    EXAMPLE: ClassVar[dict[str, Any]] = {
        "id": 1,
        "company_id": 1,
        "kind": "import residents",
        "state": "failed",
        "options": {"dry_run": False, "on_existing": "refuse"},
        "made_by": "Anna, operator",
        "created_at_ms": 1790000000000,
        "started_at_ms": 1790000000200,
        "finished_at_ms": 1790000001200,
        "attempts": 1,
        "rows_total": 1200,
        "rows_done": 1200,
        "result": {
            "encoding": "cp1251",
            "separator": ";",
            "dry_run": False,
            "rows": 1200,
            "skipped": 0,
            "made": {},
            "problems_found": 1,
            "problems": [
                {
                    "row": 17,
                    "column": "phones",
                    "value": "8912",
                    "remedy": "give a whole phone number, such as +7 912 345-67-89",
                }
            ],
        },
    }
