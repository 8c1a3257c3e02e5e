"""What only the database can tell to be wrong with a request, gathered: all of it is told at once."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from crm_api.domain.problems import FieldProblem, InvalidFieldsError, NotFoundError, ProblemError
from crm_api.services.context import Row, find

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from crm_api.services.context import Tenant

Result = TypeVar("Result")


class WrongFields:
    """The wrong fields of one request, in the order in which they were found."""

    def __init__(self) -> None:
        self._found: list[FieldProblem] = []
        self._missing = 0

    def add(self, field: str, value: object, remedy: str) -> None:
        """Note a wrong field."""
        self._found.append(FieldProblem(field, value, remedy))

    def add_all(self, problems: Iterable[FieldProblem]) -> None:
        """Note wrong fields that somebody else has found."""
        self._found += problems

    def named(self, tenant: Tenant, model: type[Row], noun: str, field: str, key: int | None) -> Row | None:
        """Return the row that a field names; None when it names none, which is noted where there is no such row."""
        return None if key is None else self.tried(field, key, lambda: find(tenant, model, noun, key))

    def tried(self, field: str, value: object, work: Callable[[], Result]) -> Result | None:
        """Return what comes of some work on a field; None when that shows the field, or others, to be wrong."""
        try:
            return work()
        except InvalidFieldsError as error:
            self.add_all(error.fields)
        except NotFoundError as error:
            self._missing += 1
            self.add(field, value, f"{error.detail}: name another, or make it first")
        return None

    def settled(self, value: Result | None) -> Result:
        """Return a value that is None only where that was noted, or refuse the request as `refuse` does."""
        self.refuse()
        if value is None:
            raise ValueError("nothing was noted as wrong, and yet there is no value")
        return value

    def refuse(self) -> None:
        """Refuse the request if anything was found.

        Raises:
            NotFoundError: all that is wrong is that what fields name is not there; it names them all.
            InvalidFieldsError: it names all of that.
        """
        if self._found:
            names = ", ".join(found.field for found in self._found)
            told = (
                f"{names}: {self._found[0].remedy}" if len(self._found) == 1 else f"{len(self._found)} wrong: {names}"
            )
            problem: type[ProblemError] = NotFoundError if self._missing == len(self._found) else InvalidFieldsError
            raise problem(told, tuple(self._found))
