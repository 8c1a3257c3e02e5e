"""Broken database constraints, told as conflicts that name the column."""

from __future__ import annotations

import re

from crm_api.domain.problems import ConflictError, FieldProblem, ReferredError

_SQLITE_UNIQUE = re.compile(r"UNIQUE constraint failed: (?P<columns>[\w., ]+)")
_POSTGRES_UNIQUE = re.compile(r"Key \((?P<columns>[^)]*)\)=\((?P<values>[^)]*)\) already exists")


def conflict_of(error: Exception) -> ConflictError:
    """Return what a person can do about a broken constraint of SQLite or PostgreSQL."""
    text = str(error)
    unique = _SQLITE_UNIQUE.search(text) or _POSTGRES_UNIQUE.search(text)
    if unique is not None:
        columns = [c.strip().rpartition(".")[2] for c in unique.group("columns").split(",")]
        remedy = "is taken: choose another value, or change the one that has it"
        told = columns[-1] if columns[-1] != "company_id" or len(columns) == 1 else columns[0]
        value = unique.groupdict().get("values")
        return ConflictError(f"{' and '.join(columns)}: {remedy}", (FieldProblem(told, value, remedy),))
    if "FOREIGN KEY" in text.upper():
        return ReferredError(
            "Something else refers to this, or it refers to something that is not there: "
            "remove what refers to it first, or name what exists"
        )
    first_line = text.splitlines()[0] if text else "constraint"
    return ConflictError(f"The database refuses this state: {first_line}")
