"""What an import changes is in the audit log as if it had been changed one by one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.crm.test_imports import send

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town

PATHS = {
    "house": "houses",
    "entrance": "entrances",
    "apartment": "apartments",
    "resident": "residents",
    "key": "keys",
}
RESIDENTS = (
    "name;address;apartment;phones;role;until;note\n"
    "Anna;Lenina 1;12;+79123456789,+79123456780;;;blue door\n"
    "Anna;Lenina 1;13;+79123456789;tenant;;\n"
    "Ivan;Sadovaya 7;12;;guest;31.12.2099;\n"
)


def entries(town: Town, noun: str) -> list[Any]:
    found: list[Any] = town.platform("GET", f"/v1/audit?noun={noun}&sort=id&limit=200")["items"]
    return found


@pytest.mark.parametrize(
    ("kind", "text", "made"),
    [
        (
            "houses",
            "address;city;latitude;entrances\nNew 1;Riverside;55.5;1-2\nNew 2;;;\n",
            {"house": 2, "entrance": 2},
        ),
        (
            "apartments",
            "address;entrance;apartment;floor;label\nLenina 1;1;20-21;3;\nLenina 1;2;30;;30A\nSadovaya 7;1;9;;\n",
            {"apartment": 4, "entrance": 1},
        ),
        ("residents", RESIDENTS, {"resident": 2}),
        (
            "keys",
            "number;address;apartment;scope;note;enabled\n0000000101;Lenina 1;12;;blue;no\n0000000102;;;company;;\n",
            {"key": 2},
        ),
    ],
)
def test_each_thing_that_an_import_makes_has_an_entry(town: Town, kind: str, text: str, made: dict[str, int]) -> None:
    before = {noun: len(entries(town, noun)) for noun in PATHS}
    job = send(town, kind, text, "&make_entrances=true" if kind == "apartments" else "")
    assert job["state"] == "done", job
    (told,) = entries(town, "job")
    fresh = {noun: entries(town, noun)[before[noun] :] for noun in PATHS}
    assert {noun: len(found) for noun, found in fresh.items() if found} == made
    for noun, found in fresh.items():
        for entry in found:
            assert (entry["action"], entry["before"]) == ("create", None)
            assert entry["after"] == town.platform("GET", f"/v1/{PATHS[noun]}/{entry['key']}")
            for name in ("who", "principal_id", "company_id"):
                assert entry[name] == told[name]
    assert (told["key"], told["after"], told["who"]) == (str(job["id"]), {"made": job["result"]["made"]}, "test")


def test_a_resident_whom_an_import_changes_has_an_entry_of_what_differs(town: Town) -> None:
    homes = [{"apartment_id": town.apartment, "role": "tenant", "ring_order": 2}]
    body = {"company_id": town.company, "name": "Anna", "phones": ["+79123456789"], "apartments": homes}
    anna = town.platform("POST", "/v1/residents", body)
    text = "name;address;apartment;phones;note\nAnna;Lenina 1;13;+79123456789,+79123456780;blue door\n"
    assert send(town, "residents", text)["state"] == "done"
    changed = town.platform("GET", f"/v1/residents/{anna['id']}")
    told = entries(town, "resident")[-1]
    assert (told["action"], told["key"], told["who"]) == ("change", str(anna["id"]), "test")
    differing = {"phones", "apartments", "note", "version"}
    assert told["before"] == {name: anna[name] for name in differing}
    assert told["after"] == {name: changed[name] for name in differing}
    text = "name;address;apartment;phones\nAnna;Sadovaya 7;12;+79123456789\n"
    assert send(town, "residents", text)["state"] == "done"
    told = entries(town, "resident")[-1]
    assert told["before"] == {"version": 2, "apartments": changed["apartments"]}
    assert told["after"].keys() == told["before"].keys()


@pytest.mark.parametrize("query", ["&dry_run=true", ""])
def test_what_is_not_imported_has_no_entry(town: Town, services: Services, query: str) -> None:
    count = "SELECT count(*) FROM audit_log"
    before = services.jobs.database.rows(count)
    text = RESIDENTS if query else f"{RESIDENTS};;;;;;x\n"
    assert send(town, "residents", text, query)["result"]["made"] == {}
    assert services.jobs.database.rows(count) == before
