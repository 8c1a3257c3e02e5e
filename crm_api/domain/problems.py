"""What can be wrong with a request, as exceptions that name field, value and remedy (no HTTP here)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping


@dataclass(frozen=True)
class FieldProblem:
    """One wrong field: its path (`stages.0.ring_timeout_s`), the value given, and what would be right."""

    field: str
    value: object
    remedy: str


class ProblemError(Exception):
    """A request that cannot be done. `kind` is the stable name of the problem (RFC 9457 `type`)."""

    kind = "problem"

    def __init__(self, detail: str, fields: tuple[FieldProblem, ...] = ()) -> None:
        super().__init__(detail)
        self.detail = detail
        self.fields = fields


class InvalidFieldsError(ProblemError):
    """Fields of the request are wrong; all of them are named at once."""

    kind = "invalid-fields"

    @classmethod
    def one(cls, field: str, value: object, remedy: str) -> InvalidFieldsError:
        """Make the problem of a single wrong field."""
        return cls(f"{field}: {remedy}", (FieldProblem(field, value, remedy),))

    @classmethod
    def of(cls, fields: Iterable[FieldProblem]) -> InvalidFieldsError:
        """Make the problem of all these fields."""
        wrong = tuple(fields)
        return cls(f"{len(wrong)} wrong: {', '.join(field.field for field in wrong)}", wrong)


class NotFoundError(ProblemError):
    """Nothing of that name, or it belongs to another company (one answer, so that nothing can be guessed)."""

    kind = "not-found"

    @classmethod
    def of(cls, noun: str, key: object) -> NotFoundError:
        """Say which noun with which key is missing."""
        return cls(f"There is no {noun} {key!r} that this token may see")


class ConflictError(ProblemError):
    """The request is well formed, yet contradicts what is kept already."""

    kind = "conflict"

    def name_values(self, given: Mapping[str, object]) -> None:
        """Name the values of the request: SQLite tells columns only, PostgreSQL all values of an index as one text."""
        self.fields = tuple(replace(field, value=given.get(field.field, field.value)) for field in self.fields)


class ReferredError(ConflictError):
    """A row that something else refers to cannot go, and what is not there cannot be referred to."""


class ForbiddenError(ProblemError):
    """The token is good, but not for this."""

    kind = "forbidden"


class UnauthorisedError(ProblemError):
    """No token, or none that is valid."""

    kind = "unauthorised"
