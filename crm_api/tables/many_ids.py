"""Statements about more ids than one statement takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crm_api.tables.database import CrmDatabase

_AT_ONCE: Final = 500
Value = TypeVar("Value")


def batches(values: Sequence[Value]) -> Iterator[Sequence[Value]]:
    """Yield the values, so many at a time as one statement takes."""
    for first in range(0, len(values), _AT_ONCE):
        yield values[first : first + _AT_ONCE]


def asked_for(database: CrmDatabase, sql: str, values: Sequence[object]) -> Iterator[tuple[Any, ...]]:
    """Yield the rows of a statement for all values; its `{marks}` become placeholders for some of them at a time."""
    for batch in batches(values):
        yield from database.rows(sql.format(marks=", ".join("?" * len(batch))), batch)
