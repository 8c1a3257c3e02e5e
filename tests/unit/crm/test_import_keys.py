"""Keys from CSV, in whatever notation, and from the CRM's own export."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.unit.crm.test_imports import counted, problems, send

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town


def test_keys_in_any_notation_and_what_is_exported_is_imported(town: Town) -> None:
    text = (
        "number;address;entrance;apartment;scope;note;enabled\n"
        '"198,34988";Lenina 1;;12;;blue;\n'
        "0000000102;Lenina 1;1;;;;no\n"
        "0000000103;Sadovaya 7;;;;;\n"
        "0000000104;;;;company;;да\n"
    )
    job = send(town, "keys", text)
    assert job["result"]["made"] == {"keys": 4}
    kept = town.platform("GET", "/v1/keys")["items"]
    assert [(key["scope"], key["enabled"]) for key in kept] == [
        ("apartment", True),
        ("entrance", False),
        ("house", True),
        ("company", True),
    ]
    exported = town.client.simulate_get("/v1/keys/export", headers=town.platform._headers).content
    for key in kept:
        town.platform("DELETE", f"/v1/keys/{key['id']}")
    assert send(town, "keys", exported)["result"]["made"] == {"keys": 4}
    again = town.platform("GET", "/v1/keys")["items"]
    assert [(key["number"], key["scope"]) for key in again] == [(key["number"], key["scope"]) for key in kept]


@pytest.mark.parametrize("notation", ["hex", "decimal"])
@pytest.mark.parametrize("byte_order", ["high_first", "low_first"])
@pytest.mark.parametrize("separator", ["comma", "semicolon"])
def test_an_export_in_any_notation_is_imported_as_the_same_keys(
    town: Town, notation: str, byte_order: str, separator: str
) -> None:
    """Ten digits may be a decimal number or five bytes; the file says which."""
    numbers = ["0123456789", "12345678", "C688AC", "0102030400", "04A2245AC64980", "0102030405060708", "11" * 10]
    notes = ["+7 912 345", "'=1", "-", "it's", "", "blue", "@"]
    lines = [f"{number.rjust(6, '0')},company,{note}" for number, note in zip(numbers, notes, strict=True)]
    quoted = "\n".join(["number,scope,note", *lines]).replace(",'=1", ",''=1")
    assert send(town, "keys", quoted, "&notation=hex")["result"]["made"] == {"keys": 7}
    kept = town.platform("GET", "/v1/keys")["items"]
    assert [key["note"] for key in kept] == notes
    query = f"notation={notation}&byte_order={byte_order}&separator={separator}"
    exported = town.client.simulate_get("/v1/keys/export", query_string=query, headers=town.platform._headers).content
    assert problems(send(town, "keys", exported)) == [(row, "number") for row in range(2, 9)], "all are there"
    for key in kept:
        town.platform("DELETE", f"/v1/keys/{key['id']}")
    assert send(town, "keys", exported)["result"]["made"] == {"keys": 7}
    again = town.platform("GET", "/v1/keys")["items"]
    assert [(key["number"], key["note"]) for key in again] == [(key["number"], key["note"]) for key in kept]


def test_a_row_that_says_how_its_number_is_written_is_believed(town: Town) -> None:
    text = (
        "number;scope;notation;byte_order\n"
        "0123456789;company;HEX;\n"
        "0000000102;company;;\n"
        "2894644736;company;decimal;low_first\n"
        "0000000103;company;octal;\n"
        "0000000104;company;;middle_first\n"
    )
    assert problems(send(town, "keys", text)) == [(5, "notation"), (6, "byte_order")]
    assert send(town, "keys", "\n".join(text.splitlines()[:4]))["result"]["made"] == {"keys": 3}
    assert [key["number"] for key in town.platform("GET", "/v1/keys")["items"]] == ["0123456789", "000066", "C688AC"]


@pytest.mark.parametrize(
    ("row", "column"),
    [
        ("12345678;Lenina 1;;12;", "number"),
        ("00C688AC;Lenina 1;;12;", "number"),
        ("0000000109;;;;", "scope"),
        ("0000000109;Lenina 1;;;king", "scope"),
        ("0000000109;Lenina 1;;;apartment", "apartment"),
        ("0000000109;;;;house", "address"),
        ("0000000109;Lenina 1;2;12;", "entrance"),
        ("0000000109;Lenina 1;;;resident", "resident_id"),
    ],
)
def test_keys_that_cannot_be(town: Town, services: Services, row: str, column: str) -> None:
    send(town, "keys", "number;scope\n00C688AC;company\n")
    before = counted(services)
    job = send(town, "keys", f"number;address;entrance;apartment;scope\n0000000108;Lenina 1;;;\n{row}\n")
    assert problems(job) == [(3, column)]
    assert counted(services) == before
