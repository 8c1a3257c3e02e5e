"""How much a file may have: rows, lines, phones, numbers named by ranges."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain import csv_table
from crm_api.services import imports
from crm_api.services.importing import apartments, importer, residents
from tests.unit.crm.test_imports import counted, problems, send

if TYPE_CHECKING:
    import pytest

    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town


def test_ranges_name_so_many_apartments_of_a_file_and_no_more(town: Town, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importer, "MOST_IN_RANGES", 30)
    text = (
        "address;entrance;apartment\nLenina 1;1;20-39\nLenina 1;1;40\nLenina 1;1;20-29\n" + "Lenina 1;1;20-9999\n" * 9
    )
    looked_at: list[int] = []
    free = apartments.ApartmentImport._free

    def counted_free(self: apartments.ApartmentImport, house_id: int, numbers: list[int]) -> list[int]:
        looked_at.append(len(numbers))
        return free(self, house_id, numbers)

    monkeypatch.setattr(apartments.ApartmentImport, "_free", counted_free)
    result = send(town, "apartments", text, "&dry_run=true")["result"]
    assert (result["problems_found"], looked_at) == (10, [20, 1, 10])
    assert "stands in row 2" in result["problems"][0]["remedy"]
    assert {problem["remedy"] for problem in result["problems"][1:]} == {
        "the ranges of one file name at most 30 apartments: cut the file into several"
    }


def test_a_small_file_of_ranges_does_not_keep_all_other_writers_waiting(town: Town, services: Services) -> None:
    """SQLite has one writer at a time, and nobody waits for longer than five seconds: codes at doors, for one."""
    houses = "".join(f"Mira {n};1\n" for n in range(1, 7))
    assert send(town, "houses", f"address;entrances\n{houses}")["state"] == "done"
    before = counted(services)
    rows = "".join(f"Mira {n};1;1-9999\n" for n in range(1, 7))
    many_apartments = send(town, "apartments", f"address;entrance;apartment\n{rows}")
    rows = "".join(f"Long street {n};1-99\n" for n in range(1, 507))
    many_entrances = send(town, "houses", f"address;entrances\n{rows}")
    for job, row, column, value, what in (
        (many_apartments, 7, "apartment", "1-9999", "apartments"),
        (many_entrances, 507, "entrances", "1-99", "entrances"),
    ):
        remedy = f"the ranges of one file name at most 50000 {what}: cut the file into several"
        assert job["result"]["problems"] == [{"row": row, "column": column, "value": value, "remedy": remedy}]
    assert counted(services) == before


def test_a_file_has_so_many_rows_and_no_more(town: Town, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of a file that has more is kept, not even a job; empty lines, and lines within a cell, are no rows."""
    assert importer.MOST_ROWS == 100_000
    monkeypatch.setattr(imports, "MOST_ROWS", 3)
    before = counted(services), services.jobs.database.row("SELECT count(*) FROM jobs")
    for encoding, end in (("utf-8", "\n"), ("cp1251", "\r\n"), ("utf-16", "\r")):
        refused = send(town, "houses", end.join(["address", "M 1", "M 2", "M 3", "M 4"]).encode(encoding), expect=422)
        assert refused["type"] == "urn:entryphone:problem:invalid-fields"
        assert refused["errors"] == [
            {"field": "body", "value": None, "remedy": "has more than 3 rows: cut the file into several"}
        ]
    assert (counted(services), services.jobs.database.row("SELECT count(*) FROM jobs")) == before
    three = 'address\n\n"Mira\n1"\n;\n"Mira\n\n2"\n\nMira 3\n\n'
    assert send(town, "houses", three, "&dry_run=true")["result"]["rows"] == 3


def test_lines_are_counted_as_they_are_read(town: Town, services: Services) -> None:
    """In UTF-16 half of a letter may look like the end of a line."""
    made = send(town, "houses", "address\n\u040a 1\n\u040a 2\n".encode("utf-16"), "&dry_run=true&background=true", 202)
    kept = services.jobs.database.row("SELECT rows_total FROM jobs WHERE id = ?", (made["id"],))
    assert (made["rows_total"], kept) == (3, (3,))


def test_a_file_has_as_many_lines_as_a_sheet_and_no_more(town: Town, services: Services) -> None:
    assert imports.MOST_LINES == 1024 * 1024
    refused = send(town, "houses", "address\n" + ";\n" * (1024 * 1024 + 1), expect=422)
    remedy = "has more than 1048576 lines: leave the empty ones out"
    assert refused["errors"] == [{"field": "body", "value": None, "remedy": remedy}]
    assert services.jobs.database.row("SELECT count(*) FROM jobs") == (0,)


def test_too_many_rows_behind_much_emptiness_are_told_by_the_job(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(imports, "MOST_ROWS", 3)
    monkeypatch.setattr(csv_table, "_CELLS_LOOKED_AT", 100)
    before = counted(services)
    job = send(town, "houses", "address\n" + "\n" * 100 + "M 1\nM 2\nM 3\nM 4\nM 5\n")
    remedy = "has more than 3 rows: cut the file into several"
    assert job["result"]["problems"] == [{"row": 105, "column": "", "value": "", "remedy": remedy}]
    assert (job["state"], counted(services)) == ("failed", before)


def test_a_file_has_so_many_phones_and_no_more(town: Town, services: Services, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(residents, "MOST_PHONES_OF_A_FILE", 3)
    before = counted(services)
    rows = "".join(f"Anna {n};Lenina 1;12;+7912345678{n}, +7913345678{n}\n" for n in range(2))
    job = send(town, "residents", f"name;address;apartment;phones\n{rows}")
    assert (job["state"], problems(job)) == ("failed", [(3, "phones")])
    assert job["result"]["problems"][0]["remedy"].endswith("at most 3 phones: cut the file into several")
    assert counted(services) == before
