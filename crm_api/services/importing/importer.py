"""What every import does: take rows one by one, tell what is wrong with each, then write all that was taken."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from crm_api.services.audit import Entry
from crm_api.services.changes import Changes
from crm_api.tables.staged_rows import StagedRows

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from crm_api.domain.csv_table import Column, CsvRow, RowProblem
    from crm_api.services.audit import State
    from crm_api.services.context import Context

MOST_IN_RANGES: Final = 50_000
"""Rows that the ranges of one file may make, as a few hundred bytes could name a million.

They are written in one transaction, for about a second on SQLite, where every other writer waits for it, for five
seconds at most.
"""
MOST_ROWS: Final = 100_000
"""Rows of one file, for the same reason: residents take the longest, two to three seconds."""
YES = frozenset({"", "yes", "y", "true", "1", "да", "+"})
NO = frozenset({"no", "n", "false", "0", "нет", "-"})
# Not FOR UPDATE: that would keep away whoever writes a row that refers to the company, such as the record of a call.
_LOCK = "SELECT id FROM companies WHERE id = ? FOR NO KEY UPDATE"
Choice = TypeVar("Choice", bound=str)
_WHOLE: Final = re.compile(r"-?\d{1,9}", re.ASCII)


class WrongCellError(Exception):
    """A cell that is wrong; the importer turns it into a problem of its row."""

    def __init__(self, column: str, remedy: str) -> None:
        super().__init__(column, remedy)
        self.column = column
        self.remedy = remedy


class Importer:
    """Base of the importers. Nothing is written before every row has been looked at.

    Whatever can be done before the transaction that writes is done there: on SQLite everybody else who writes waits for
    its end.
    """

    columns: ClassVar[tuple[Column, ...]]

    def __init__(self, context: Context, company_id: int, options: dict[str, Any]) -> None:
        """Read what is there already.

        Args:
            context: of the services.
            company_id: whose rows they will be.
            options: of the request; `on_existing` is `refuse` or `skip`.
        """
        self.context = context
        self.database = context.database
        self.changes = Changes(context)
        self.company_id = company_id
        self.options = options
        self.now_ms = context.now_ms()
        self.skipped = 0
        self._in_ranges = 0
        self._staged: list[StagedRows] = []

    def take(self, row: CsvRow) -> list[RowProblem]:
        """Look at a row and remember what it makes; return what is wrong with it."""
        try:
            self.read(row)
        except WrongCellError as error:
            return [row.problem(error.column, error.remedy)]
        return []

    def read(self, row: CsvRow) -> None:
        """Remember what a row makes, or raise `WrongCellError`."""
        raise NotImplementedError

    def prepare(self) -> None:
        """Have the rows lie ready (`stage`), with their ids where others refer to them, before the transaction."""
        raise NotImplementedError

    def entries(self) -> Iterator[Entry]:
        """Yield what the audit log is told when all lies ready: one entry for each thing, as if it were made alone."""
        raise NotImplementedError

    def created(self, noun: str, state: State) -> Entry:
        """Return the entry of a new thing; its state is the document that the API shows."""
        return Entry(noun, str(state["id"]), "create", None, state, self.company_id)

    def stage(self, table: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
        """Have rows of a table lie ready; they are written in the order in which they were staged."""
        self._staged.append(StagedRows(self.database, table, columns, rows))

    def look_again(self) -> None:
        """See what came since the first look; other imports of the company wait until the caller's transaction ends.

        Raises:
            ConflictError: somebody has made meanwhile what this file makes, and the database would take it twice.
        """
        if self.database.dialect == "postgresql":  # SQLite has one writer at a time, which the transaction is
            self.database.rows(_LOCK, (self.company_id,))

    def write(self) -> dict[str, int]:
        """Write everything, inside the caller's transaction; return how many of what were made."""
        for rows in self._staged:
            rows.write()
        self.announce()
        return self.made()

    def announce(self) -> None:
        """Tell the world what the rows change, inside the caller's transaction."""

    def made(self) -> dict[str, int]:
        """Return how many of what the file makes."""
        raise NotImplementedError

    def forget(self) -> None:
        """Let go of what lies ready, after the transaction, however it ended."""
        for rows in self._staged:
            rows.drop()

    def count_in_ranges(self, listed: int, column: str, what: str) -> None:
        """Refuse a cell that lists so many numbers that the ranges of the file are too many by now."""
        if listed > 1:
            self._in_ranges += listed
            if self._in_ranges > MOST_IN_RANGES:
                remedy = f"the ranges of one file name at most {MOST_IN_RANGES} {what}: cut the file into several"
                raise WrongCellError(column, remedy)

    def there_already(self, column: str, what: str) -> bool:
        """Say that a row is to be left out because it is there already, or refuse it."""
        if self.options.get("on_existing") == "skip":
            self.skipped += 1
            return True
        raise WrongCellError(column, f"{what} is there already: leave the row out, or say on_existing=skip")


def whole_number(text: str, column: str, least: int, most: int) -> int:
    """Return the number in a cell."""
    if not (_WHOLE.fullmatch(text) and least <= int(text) <= most):
        raise WrongCellError(column, f"give a whole number from {least} to {most}")
    return int(text)


def fraction(text: str, column: str, limit: int) -> float | None:
    """Return the number in a cell (a comma is a point), None for an empty one."""
    if not text:
        return None
    try:
        value = float(text.replace(",", "."))
    except ValueError:
        value = float("nan")
    if not -limit <= value <= limit:
        raise WrongCellError(column, f"give a number from -{limit} to {limit}, such as 55.7558")
    return value


def yes_or_no(text: str, column: str) -> bool:
    """Return what a cell says; an empty one says yes."""
    word = text.casefold()
    if word not in YES | NO:
        raise WrongCellError(column, "say yes or no")
    return word in YES


def chosen(row: CsvRow, column: str, choices: Sequence[Choice]) -> Choice | None:
    """Return which of the words a row names; None: the cell is empty, or there is no such column."""
    named = row.cells.get(column, "").casefold()
    found = next((choice for choice in choices if choice == named), None)
    if named and found is None:
        raise WrongCellError(column, f"give {', '.join(choices[:-1])} or {choices[-1]}")
    return found


def limited(text: str, column: str, most: int) -> str:
    """Return a text that is not too long."""
    if len(text) > most:
        raise WrongCellError(column, f"is longer than {most} characters: shorten it")
    return text
