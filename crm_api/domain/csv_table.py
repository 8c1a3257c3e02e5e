"""CSV as operators send it: any of the usual encodings and separators, known columns, rows told by their number.

Spreadsheets in Russia write cp1251 with semicolons, others UTF-8 with or without a byte order mark, with commas or
tabs. White space inside a cell, line ends and no-break spaces included, is one space.
"""

from __future__ import annotations

import codecs
import csv
import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from crm_api.domain.problems import InvalidFieldsError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

SEPARATORS: Final = (";", ",", "\t")
SEPARATOR_NAMES: Final = {"semicolon": ";", "comma": ",", "tab": "\t"}
LONGEST_CELL: Final = 1000
SHOWN: Final = 200
HEADER_ROW: Final = 1
_BOMS: Final = ((codecs.BOM_UTF8, "utf-8-sig"), (codecs.BOM_UTF16_LE, "utf-16"), (codecs.BOM_UTF16_BE, "utf-16"))


@dataclass(frozen=True)
class Column:
    """A column that a table may have: its name, other names that spreadsheets give it, and whether it must be there."""

    name: str
    aliases: tuple[str, ...] = ()
    required: bool = False


@dataclass(frozen=True)
class RowProblem:
    """What is wrong in one row: its number (the header is row 1), the column, the value, and what would be right."""

    row: int
    column: str
    value: str
    remedy: str


@dataclass(frozen=True)
class CsvRow:
    """One row: its number, and the text of every column (empty where there is none)."""

    number: int
    cells: dict[str, str]

    def problem(self, column: str, remedy: str) -> RowProblem:
        """Return what is wrong with one cell."""
        return RowProblem(self.number, column, self.cells.get(column, "")[:SHOWN], remedy)


@dataclass(frozen=True)
class CsvTable:
    """A decoded file with known columns; its rows are read one by one."""

    encoding: str
    separator: str
    columns: tuple[str, ...]
    _text: str

    def rows(self) -> Iterator[CsvRow | RowProblem]:
        """Yield every row that is not empty, or what is wrong with it; a row that cannot be read at all is the last."""
        reader = _reader(self._text, self.separator)
        next(reader)
        number = HEADER_ROW
        while True:
            number += 1
            try:
                cells = next(reader, None)
            except csv.Error as error:
                remedy = f"cannot be read ({error}): check its quotation marks; what follows was not read"
                yield RowProblem(number, "", "", remedy)
                return
            if cells is None:
                return
            if any(cell.strip() for cell in cells):
                yield self._row(number, cells)

    def _row(self, number: int, cells: list[str]) -> CsvRow | RowProblem:
        if len(cells) != len(self.columns) and any(cell.strip() for cell in cells[len(self.columns) :]):
            remedy = f"has {len(cells)} cells, the header {len(self.columns)}: put text with the separator in quotes"
            return RowProblem(number, "", self.separator.join(cells)[:SHOWN], remedy)
        if len(cells) < len(self.columns):
            remedy = f"has {len(cells)} cells, the header {len(self.columns)}: leave cells empty, do not leave them out"
            return RowProblem(number, "", self.separator.join(cells)[:SHOWN], remedy)
        row = {name: _spaced(cell) for name, cell in zip(self.columns, cells, strict=False) if name}
        for name, cell in row.items():
            if len(cell) > LONGEST_CELL or not cell.isprintable():
                remedy = (
                    f"is longer than {LONGEST_CELL} characters or has control characters in it: shorten or clean it"
                )
                return RowProblem(number, name, cell[:SHOWN], remedy)
        return CsvRow(number, row)


def read(raw: bytes, columns: Sequence[Column]) -> CsvTable:
    """Decode a file and find its columns.

    Raises:
        InvalidFieldsError: no text in a known encoding, or its columns are not those asked for; each is named.
    """
    text, encoding = _decoded(raw)
    if text.lower().startswith("sep="):  # how Excel is told the separator
        text = text.partition("\n")[2]
    known = {alias: column.name for column in columns for alias in (column.name, *column.aliases)}
    separator, header = max(_headers(text), key=lambda found: sum(_plain(cell) in known for cell in found[1]))
    names = [_plain(cell) for cell in header]
    unknown = [name for name in names if name and name not in known]
    told = ", ".join(column.name for column in columns)
    if not any(name in known for name in names) or unknown:
        shown = ", ".join(unknown)[:SHOWN] if unknown else text[:SHOWN]
        raise InvalidFieldsError.one("header", shown, f"the first row names the columns; there are {told}")
    found = [known.get(name, "") for name in names]
    twice = sorted({name for name in found if name and found.count(name) > 1})
    if twice:
        raise InvalidFieldsError.one("header", ", ".join(twice), "comes twice: leave one of them out")
    missing = [column.name for column in columns if column.required and column.name not in found]
    if missing:
        raise InvalidFieldsError.one("header", ", ".join(missing), f"is missing: add it; there are {told}")
    return CsvTable(encoding, separator, tuple(found), text)


def _decoded(raw: bytes) -> tuple[str, str]:
    for encoding in [name for bom, name in _BOMS if raw.startswith(bom)] or ["utf-8", "cp1251"]:
        try:
            return raw.decode(encoding), "utf-8" if encoding == "utf-8-sig" else encoding
        except UnicodeDecodeError:
            continue
    raise InvalidFieldsError.one("body", None, "is text in no known encoding: save it as CSV in UTF-8")


def _headers(text: str) -> Iterator[tuple[str, list[str]]]:
    for separator in SEPARATORS:
        try:
            yield separator, next(_reader(text, separator), [])
        except csv.Error:
            yield separator, []


def _reader(text: str, separator: str) -> Iterator[list[str]]:
    # newline="" leaves line ends inside quotes as they are (https://docs.python.org/3/library/csv.html#id4).
    return csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)


def _spaced(text: str) -> str:
    return " ".join(text.split())


def _plain(name: str) -> str:
    return _spaced(name).casefold()


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def harmless(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula: a dangerous first character gets an apostrophe before it.

    Source: OWASP, CSV Injection. A number stays a number.
    """
    if value is None:
        return ""
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.startswith(_FORMULA) else text


def line(cells: Sequence[object], separator: str = ",") -> str:
    """Return one line of a CSV file (RFC 4180), every cell harmless."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator, lineterminator="\r\n").writerow([harmless(cell) for cell in cells])
    return buffer.getvalue()
