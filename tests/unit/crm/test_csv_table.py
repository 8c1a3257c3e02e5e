from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from crm_api.domain import csv_table
from crm_api.domain.csv_table import Column, CsvRow, CsvTable, RowProblem, harmless, line, read
from crm_api.domain.problems import InvalidFieldsError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

COLUMNS = (Column("address", ("адрес",), required=True), Column("number", ("квартира",), required=True), Column("note"))


def cells(table: CsvTable) -> list[dict[str, str]]:
    rows = list(table.rows())
    assert all(isinstance(row, CsvRow) for row in rows), rows
    return [row.cells for row in rows if isinstance(row, CsvRow)]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251", "utf-16"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
@pytest.mark.parametrize("line_end", ["\n", "\r\n"])
def test_every_usual_file_is_read(encoding: str, separator: str, line_end: str) -> None:
    lines = [["Адрес", " КВАРТИРА "], ["Ленина 1", "12"], ["", ""], ["Садовая 7", "13"]]
    text = line_end.join(separator.join(row) for row in lines)
    table = read(text.encode(encoding), COLUMNS)
    assert table.separator == separator
    assert cells(table) == [{"address": "Ленина 1", "number": "12"}, {"address": "Садовая 7", "number": "13"}]


def test_an_address_with_a_comma_in_quotes_and_a_line_for_excel() -> None:
    table = read(b'sep=;\r\naddress;number;note\r\n"Lenina 1, ""A""";12;\r\n', COLUMNS)
    assert cells(table) == [{"address": 'Lenina 1, "A"', "number": "12", "note": ""}]


@pytest.mark.parametrize(
    ("raw", "field", "remedy"),
    [
        (b"", "header", "names the columns"),
        (b"\x00\x98\x98", "body", "no known encoding"),
        (b"a;b;c\n1;2;3", "header", "there are address, number, note"),
        (b"address;number;colour\n1;2;3", "header", "there are address"),
        (b"address\nx", "header", "is missing"),
        (b"address;number;number\nx;1;2", "header", "comes twice"),
        ("address;number;Адрес\nx;1;2".encode(), "header", "comes twice"),
        (b'"address;number\nx;1', "header", "names the columns"),
    ],
)
def test_what_is_no_such_table(raw: bytes, field: str, remedy: str) -> None:
    with pytest.raises(InvalidFieldsError, match=remedy) as caught:
        read(raw, COLUMNS)
    assert caught.value.fields[0].field == field


@pytest.mark.parametrize(
    ("broken", "remedy"),
    [
        ("Lenina 1", "leave cells empty"),
        ("Lenina 1;12;a;b", "in quotes"),
        ("Lenina 1;12;a\x01b", "control"),
        (f"{'x' * 1001};1;", "longer"),
    ],
)
def test_a_broken_row_is_told_by_its_number_and_the_others_are_read(broken: str, remedy: str) -> None:
    rows = list(read(f"address;number;note\nA;1;\n{broken}\nB;2;\n".encode(), COLUMNS).rows())
    assert isinstance(rows[1], RowProblem)
    assert rows[1].row == 3
    assert remedy in rows[1].remedy
    assert isinstance(rows[2], CsvRow)
    assert rows[2].number == 4


def test_a_quote_that_never_ends_is_told() -> None:
    rows = list(read(b'address;number\nA;1\nB;"2\nC;3\n', COLUMNS).rows())
    assert isinstance(rows[-1], RowProblem)
    assert rows[-1].row == 3


def test_cells_to_the_right_of_the_header_may_be_empty() -> None:
    assert len(cells(read(b"address;number;;\nA;1;;\nB;2;;;;\n", COLUMNS))) == 2


SIZE = 4 * 1024 * 1024
HEADER = b"address;number;note\n"


@pytest.mark.parametrize(
    "raw",
    [
        HEADER + b";\n" * (SIZE // 2),
        HEADER + b"\n" * SIZE,
        HEADER + (b";" * 30 + b"\n") * (SIZE // 31),
        HEADER + b"\n" * 100_001 + b";" * SIZE,
        HEADER + b"\n" * 100_001 + b'"";' * (SIZE // 3),
    ],
)
def test_a_file_of_emptiness_is_looked_at_briefly(monkeypatch: pytest.MonkeyPatch, raw: bytes) -> None:
    """However great it is: as many lines as without the rest of it are read."""
    monkeypatch.setattr(csv_table, "_CELLS_LOOKED_AT", 1000)
    read_by_csv: list[str] = []
    reader = csv.reader

    def noted(lines: Iterable[str], **options: Any) -> Any:
        def each() -> Iterator[str]:
            for one in lines:
                read_by_csv.append(one)
                yield one

        return reader(each(), **options)

    table = read(raw, COLUMNS)
    monkeypatch.setattr(csv, "reader", noted)
    assert not table.has_more_rows_than(100_000)
    assert sum(len(one) for one in read_by_csv) < 2000 + len(HEADER)


@pytest.mark.parametrize(
    "header", ["address;number" + ";" * 70_000, "address;number;" + "note;" * 20_000, '"' * 70_000]
)
def test_a_header_without_an_end_is_none(header: str) -> None:
    with pytest.raises(InvalidFieldsError, match="first row names the columns"):
        read(f"{header}\nLenina 1;12\n".encode(), COLUMNS)


def test_a_header_may_be_as_wide_as_a_sheet() -> None:
    beginning = "address;number" + ";" * 16_382
    rows = f"A;1{';' * 16_382}\r\n" * 9
    assert len(cells(read(f"{beginning}\r\n{rows}".encode(), COLUMNS))) == 9


@pytest.mark.parametrize("text", ["=1+1", "+7900", "-1", "@SUM(A1)", "\t=1", "\r=1"])
def test_no_cell_is_a_formula(text: str) -> None:
    assert harmless(text) == f"'{text}"


@pytest.mark.parametrize("text", ["+7 912 345", "-1", "'=1", "''+1", "'", "'A", "it's", "=", " '=1"])
def test_what_protects_a_cell_is_no_part_of_it(text: str) -> None:
    (row,) = cells(read((line(["address", "number"]) + line(["A", text])).encode(), COLUMNS))
    assert row["number"] == text.strip()


@given(st.binary(max_size=300))
def test_any_bytes_are_a_table_or_refused(raw: bytes) -> None:
    try:
        table = read(raw, COLUMNS)
    except InvalidFieldsError:
        return
    assert isinstance(list(table.rows()), list)


@given(
    st.lists(
        st.lists(
            st.text(st.characters(codec="utf-8", categories=["L", "N", "P", "Zs"]), max_size=20), min_size=3, max_size=3
        ),
        max_size=5,
    )
)
def test_what_is_written_is_read_back(rows: list[list[str]]) -> None:
    text = line(["address", "number", "note"]) + "".join(line(row) for row in rows)
    wanted = [[" ".join(cell.split()) for cell in row] for row in rows]
    assert [list(row.values()) for row in cells(read(text.encode(), COLUMNS))] == [row for row in wanted if any(row)]
