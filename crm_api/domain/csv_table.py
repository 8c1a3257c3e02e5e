"""CSV as operators send it: any of the usual encodings and separators, known columns, rows told by their number.

Spreadsheets in Russia write cp1251 with semicolons, others UTF-8 with or without a byte order mark, with commas or
tabs. White space inside a cell, line ends and no-break spaces included, is one space. The apostrophe that keeps a cell
of ours from being a formula (`harmless`) is no part of it.
"""

from __future__ import annotations

import codecs
import contextlib
import csv
import io
from collections import Counter
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
LONGEST_HEADER: Final = 64 * 1024
"""Characters; a spreadsheet has 16,384 columns at most, nearly all of them without a name."""
_CELLS_LOOKED_AT: Final = 3_000_000
"""In a short look: a tenth of a microsecond of CPU each, a third of a second."""
_CELLS_OF_A_LINE: Final = 8
"""What a line costs beside its cells, in cells."""
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

    @property
    def lines(self) -> int:
        """How many lines there are below the header, empty ones and those within a cell included; about."""
        return max(self._text.count("\n"), self._text.count("\r"))

    def has_more_rows_than(self, most: int) -> bool:
        """Say whether a short look finds more rows than that below the header, without telling what is in them.

        Rows that are empty do not count, nor does what follows a row that cannot be read. Of a file that is mostly
        emptiness (lines or cells by the million) only the beginning is looked at: who reads its rows counts on.
        """
        if self.lines < most:  # as every row but the last has its end
            return False
        rows = csv.reader(self._first_lines(), delimiter=self.separator, strict=True)
        found = -1  # the header is none
        with contextlib.suppress(csv.Error):
            for cells in rows:
                found += bool("".join(cells).strip())
                if found > most:
                    return True
        return False

    def _first_lines(self) -> Iterator[str]:
        """Yield lines until as many cells were seen as a short look is worth."""
        left = _CELLS_LOOKED_AT
        for one in _lines(self._text):
            left -= _CELLS_OF_A_LINE + one.count(self.separator)
            if left < 0:
                return
            yield one

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
        row = {name: spaced(_unprotected(cell)) for name, cell in zip(self.columns, cells, strict=False) if name}
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
    if text[:4].lower() == "sep=":  # how Excel is told the separator
        text = text.partition("\n")[2]
    known = {alias: column.name for column in columns for alias in (column.name, *column.aliases)}
    separator, header = max(_headers(text), key=lambda found: sum(plain(cell) in known for cell in found[1]))
    names = [plain(cell) for cell in header]
    unknown = [name for name in names if name and name not in known]
    told = ", ".join(column.name for column in columns)
    if not any(name in known for name in names) or unknown:
        shown = ", ".join(unknown)[:SHOWN] if unknown else text[:SHOWN]
        raise InvalidFieldsError.one("header", shown, f"the first row names the columns; there are {told}")
    found = [known.get(name, "") for name in names]
    twice = sorted(name for name, times in Counter(found).items() if name and times > 1)
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
    """Yield the first row by each separator; it has no cells when it does not end within `LONGEST_HEADER`."""
    beginning = text[:LONGEST_HEADER]
    for separator in SEPARATORS:
        lines = _lines(beginning)
        try:
            header = next(csv.reader(lines, delimiter=separator, strict=True), [])
        except csv.Error:
            header = []
        ended = lines.tell() < len(beginning) or len(beginning) == len(text)
        yield separator, header if ended else []


def _reader(text: str, separator: str) -> Iterator[list[str]]:
    return csv.reader(_lines(text), delimiter=separator, strict=True)


def _lines(text: str) -> io.StringIO:
    # newline="" leaves line ends inside quotes as they are (https://docs.python.org/3/library/csv.html#id4).
    return io.StringIO(text, newline="")


def spaced(text: str) -> str:
    """Return a text with one space wherever it has white space, and none around it."""
    return " ".join(text.split())


def plain(name: str) -> str:
    """Return a name or an address as two spellings of it are compared: without case and double spaces."""
    return spaced(name).casefold()


_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def harmless(value: object) -> str:
    """Return a cell that no spreadsheet takes for a formula: a dangerous first character gets an apostrophe before it.

    Source: OWASP, CSV Injection. A number stays a number. So does the text, for who reads it here: where apostrophes of
    its own stand before such a character, it gets another one.
    """
    if value is None:
        return ""
    text = str(value)
    return f"'{text}" if isinstance(value, str) and text.lstrip("'").startswith(_FORMULA) else text


def _unprotected(text: str) -> str:
    """Return the text that `harmless` was given."""
    return text[1:] if text.startswith("'") and text.lstrip("'").startswith(_FORMULA) else text


def line(cells: Sequence[object], separator: str = ",") -> str:
    """Return one line of a CSV file (RFC 4180), every cell harmless."""
    buffer = io.StringIO()
    csv.writer(buffer, delimiter=separator, lineterminator="\r\n").writerow([harmless(cell) for cell in cells])
    return buffer.getvalue()
