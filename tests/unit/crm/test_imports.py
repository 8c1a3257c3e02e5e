# ruff: noqa: RUF001 - operators write Russian
from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services import imports
from crm_api.services.changes import AGAIN_MS
from crm_api.services.delivery import Delivery
from crm_api.services.imports import Imports

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
    from tests.unit.crm.conftest import Town
    from tests.unit.crm.fakes import FakeCache

TABLES = ("houses", "entrances", "apartments", "residents", "resident_phones", "residencies", "rfid_keys", "outbox")


def send(town: Town, kind: str, text: str | bytes, query: str = "", expect: int = 200) -> Any:
    raw = text.encode() if isinstance(text, str) else text
    answer = town.client.simulate_post(
        f"/v1/imports/{kind}",
        query_string=f"company_id={town.company}{query}",
        body=raw,
        headers={**town.platform._headers, "Content-Type": "text/csv"},
    )
    assert answer.status_code == expect, answer.text
    return answer.json


def counted(services: Services) -> dict[str, int]:
    database = services.jobs.database
    return {table: database.rows(f"SELECT count(*) FROM {table}")[0][0] for table in TABLES}  # noqa: S608 - constants


def problems(job: Any) -> list[tuple[int, str]]:
    return [(found["row"], found["column"]) for found in job["result"]["problems"]]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1251"])
@pytest.mark.parametrize("separator", [";", ",", "\t"])
def test_houses_in_every_usual_encoding_and_separator(town: Town, encoding: str, separator: str) -> None:
    lines = [["Адрес", "Подъезды", "Город"], ["Ленина 2", "1-4", "riverside"], ["Ленина 3", "", ""]]
    job = send(town, "houses", "\r\n".join(separator.join(row) for row in lines).encode(encoding))
    assert (job["state"], job["rows_total"], job["rows_done"]) == ("done", 2, 2)
    assert job["result"]["made"] == {"houses": 2, "entrances": 4}
    house = town.platform("GET", "/v1/houses?address=Ленина 2".replace(" ", "%20"))["items"][0]
    assert house["city_id"] is not None
    again = send(town, "houses", "address\nленина  2\n")
    assert problems(again) == [(2, "address")]
    assert send(town, "houses", "address\nленина  2\nЛенина 9\n", "&on_existing=skip")["result"] == {
        "encoding": "utf-8",
        "separator": ";",
        "dry_run": False,
        "rows": 2,
        "skipped": 1,
        "made": {"houses": 1, "entrances": 0},
        "problems_found": 0,
        "problems": [],
    }


def test_every_wrong_row_is_told_and_nothing_is_half_imported(town: Town, services: Services) -> None:
    before = counted(services)
    text = (
        "address;latitude;longitude;fias_id;city;entrances\n"
        "Good 1;55,75;37.6;;Riverside;1\n"
        ";;;;;\n"
        ";1;1;;;\n"
        "Lenina 1;;;;;\n"
        "Bad 1;north;;;;\n"
        "Bad 2;;181;;;\n"
        "Bad 3;;;none;;\n"
        "Bad 4;;;;Atlantis;\n"
        "Bad 5;;;;;0-5\n"
        "good  1;;;;;\n"
        f"{'x' * 201};;;;;\n"
        "Bad 6;;;;\n"
    )
    job = send(town, "houses", text)
    assert job["state"] == "failed"
    assert problems(job) == [
        (4, "address"),
        (5, "address"),
        (6, "latitude"),
        (7, "longitude"),
        (8, "fias_id"),
        (9, "city"),
        (10, "entrances"),
        (11, "address"),
        (12, "address"),
        (13, ""),
    ]
    assert "row 2" in job["result"]["problems"][7]["remedy"]
    assert all(found["remedy"] for found in job["result"]["problems"])
    assert counted(services) == before


def test_a_file_that_breaks_off_is_not_imported_by_half(town: Town, services: Services) -> None:
    before = counted(services)
    answer = town.client.simulate_post(
        "/v1/imports/houses",
        query_string=f"company_id={town.company}",
        headers={**town.platform._headers, "Content-Type": "text/csv", "Content-Length": "500"},
        body=b"address\nPolar street 1\n",
    )
    assert (answer.status_code, answer.json["type"]) == (408, "urn:entryphone:problem:broken-off")
    assert counted(services) == before


def test_a_dry_run_looks_and_writes_nothing(town: Town, services: Services) -> None:
    before = counted(services)
    job = send(town, "houses", "address\nNew 1\nNew 2\n", "&dry_run=true")
    assert (job["state"], job["result"]["rows"], job["result"]["made"]) == ("done", 2, {})
    bad = send(town, "houses", "address\nLenina 1\n", "&dry_run=true")
    assert (bad["state"], problems(bad)) == ("done", [(2, "address")])
    assert counted(services) == before


def test_apartments_one_by_one_and_in_ranges(town: Town) -> None:
    text = "дом;подъезд;квартира;этаж;надпись\nLenina 1;1;1-4;1;\nLenina 1;1;5;2;5A\nSadovaya 7;2;20-29;;\n"
    assert problems(send(town, "apartments", text)) == [(4, "entrance")]
    job = send(town, "apartments", text, "&make_entrances=true")
    assert job["result"]["made"] == {"apartments": 15, "entrances": 1}
    found = town.platform("GET", f"/v1/apartments?house_id={town.house}&number=5")["items"][0]
    assert (found["label"], found["floor"], found["dial"]) == ("5A", 2, {"p1": "5", "p2": "215"})
    assert town.plan("p2", "2225")["outcome"] == "ring"


def test_of_many_wrong_rows_the_first_are_kept_and_all_are_counted(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept: list[int] = []
    looked_at = Imports._looked_at

    def counted_looked_at(self: Imports, *arguments: Any) -> Any:
        found = looked_at(self, *arguments)
        kept.append(len(found[0]))
        return found

    monkeypatch.setattr(Imports, "_looked_at", counted_looked_at)
    monkeypatch.setattr(imports, "MOST_PROBLEMS", 3)
    job = send(town, "houses", "address;latitude\nGood 1;1\n" + "Bad;north\n" * 4 + "short\n")
    assert (job["state"], job["result"]["rows"], job["result"]["problems_found"]) == ("failed", 6, 5)
    assert problems(job) == [(row, "latitude") for row in (3, 4, 5)]
    assert kept == [3]
    assert counted(services)["houses"] == 2


@pytest.mark.parametrize("wrong", ["--1", "-", "1-", "1-1", "²", "1e3", "1000000000"])
def test_a_cell_that_is_no_whole_number_is_named(town: Town, wrong: str) -> None:
    text = f"address;entrance;apartment;floor\nLenina 1;{wrong};20;1\nLenina 1;1;21;{wrong}\nLenina 1;1;22;-1\n"
    job = send(town, "apartments", text)
    assert problems(job) == [(2, "entrance"), (3, "floor")]
    assert job["result"]["problems"][1] == {
        "row": 3, "column": "floor", "value": wrong, "remedy": "give a whole number from -9 to 200",
    }  # fmt: skip


def test_a_guest_may_stay_until_the_last_day_but_one(town: Town) -> None:
    text = "name;address;apartment;role;until\nA;Lenina 1;12;guest;30.12.9999\n"
    assert send(town, "residents", text)["result"]["made"] == {"residents": 1, "residencies": 1}


def test_the_last_day_of_a_guest_ends_by_the_clock_of_his_house(town: Town, services: Services) -> None:
    far = town.platform("POST", "/v1/cities", {"name": "Harbour", "time_zone": "Asia/Vladivostok"})["id"]
    town.platform("PATCH", "/v1/cities/1", {"time_zone": "Europe/Kaliningrad"})
    town.platform("PATCH", f"/v1/houses/{town.house}", {"city_id": far})
    text = (
        "name;address;apartment;role;until\n"
        "A;Lenina 1;12;guest;31.12.2030\n"
        "B;Sadovaya 7;12;guest;31.12.2030\n"  # a house without a city stands in that of its company
    )
    assert send(town, "residents", text)["result"]["made"] == {"residents": 2, "residencies": 2}
    ends = services.jobs.database.rows("SELECT ends_at_ms FROM residencies ORDER BY id")
    new_year_ms = 1_924_992_000_000  # 2031-01-01, UTC
    assert ends == [(new_year_ms - 10 * 3_600_000,), (new_year_ms - 2 * 3_600_000,)]
    homes = services.jobs.database.rows("SELECT ends_at_ms, apartment_id FROM residencies ORDER BY id")
    outbox = "SELECT due_at_ms, scope, payload FROM outbox WHERE due_at_ms > 0 ORDER BY due_at_ms"
    assert services.jobs.database.rows(outbox) == [
        (end + later_ms, "apartments", f"[{apartment}]") for end, apartment in homes for later_ms in AGAIN_MS
    ]


def test_apartments_that_overlap_are_named_as_ranges(town: Town, services: Services) -> None:
    before = counted(services)
    text = (
        "address;entrance;apartment;label\n"
        "Lenina 1;1;10-20;\n"
        "Lenina 1;1;20-30;\n"
        "Lenina 1;1;40;1\n"
        "Lenina 1;1;41;40\n"
        "Lenina 1;1;50-51;A\n"
        "Lenina 1;x;60;\n"
        "Nowhere;1;1;\n"
        "Lenina 1;1;1-10000;\n"
    )
    job = send(town, "apartments", text)
    assert problems(job) == [
        (2, "apartment"),
        (5, "label"),
        (6, "label"),
        (7, "entrance"),
        (8, "address"),
        (9, "apartment"),
    ]
    assert "apartment 12-13 is there already" in job["result"]["problems"][0]["remedy"]
    assert counted(services) == before
    twice = send(town, "apartments", "address;entrance;apartment\nLenina 1;1;20-30\nLenina 1;1;25-26,90\n")
    assert "25-26 stands in row 2" in twice["result"]["problems"][0]["remedy"]
    skipped = send(town, "apartments", "address;entrance;apartment\nLenina 1;1;10-20\n", "&on_existing=skip")
    assert skipped["result"]["made"] == {"apartments": 9, "entrances": 0}


def test_residents_with_phones_roles_and_several_apartments(town: Town) -> None:
    text = (
        "ФИО;Адрес;Квартира;Телефон;Роль;До;Примечание\n"
        "Анна Петрова;Lenina 1;12;8 (912) 345-67-89, +79123456780;собственник;;звонить вечером\n"
        "анна петрова;Sadovaya 7;12;+79123456789;;;\n"
        "Иван Гость;Lenina 1;13;;гость;31.12.2099;\n"
    )
    job = send(town, "residents", text.encode("cp1251"))
    assert job["result"]["made"] == {"residents": 2, "residencies": 3}
    anna, guest = town.platform("GET", "/v1/residents")["items"]
    assert anna["phones"] == ["+79123456789", "+79123456780"]
    assert [home["role"] for home in anna["apartments"]] == ["owner", "owner"]
    assert guest["apartments"][0]["role"] == "guest"
    again = send(town, "residents", "name;address;apartment;phones\nАнна Петрова;Lenina 1;12;89123456789\n")
    assert problems(again) == [(2, "name")]
    more = send(town, "residents", "name;address;apartment;phones\nАнна Петрова;Lenina 1;13;89123456789\n")
    assert more["result"]["made"] == {"residents": 0, "residencies": 1}


@pytest.mark.parametrize(
    ("row", "column"),
    [
        (";Lenina 1;12;;;", "name"),
        ("A;Lenina 9;12;;;", "address"),
        ("A;Lenina 1;99;;;", "apartment"),
        ("A;Lenina 1;12;none;;", "phones"),
        ("A;Lenina 1;12;+7912345678900;;", "phones"),
        ("A;Lenina 1;12;;king;", "role"),
        ("A;Lenina 1;12;;guest;", "until"),
        ("A;Lenina 1;12;;owner;31.12.2099", "until"),
        ("A;Lenina 1;12;;guest;tomorrow", "until"),
        ("A;Lenina 1;12;;guest;01.01.2001", "until"),
        ("A;Lenina 1;12;;guest;31.12.9999", "until"),
        ("A;Lenina 1;12;;guest;9999-12-31", "until"),
        (f"{'x' * 201};Lenina 1;12;;;", "name"),
    ],
)
def test_residents_that_cannot_be(town: Town, services: Services, row: str, column: str) -> None:
    before = counted(services)
    good = "Good;Lenina 1;12;+79123456789;;"
    job = send(town, "residents", f"name;address;apartment;phones;role;until\n{good}\n{row}\n")
    assert problems(job) == [(3, column)]
    assert counted(services) == before


def test_the_same_person_twice_in_one_apartment(town: Town) -> None:
    rows = ["A;Lenina 1;12;", "A;Lenina 1;13;", "A;Lenina 1;12;", *["B;Lenina 1;12;89123456789"] * 2]
    text = "\n".join(["name;address;apartment;phones", *rows])
    assert problems(send(town, "residents", text)) == [(4, "name"), (6, "name")]


def test_of_names_that_differ_in_case_or_spacing_the_one_that_is_written_so_is_meant(town: Town) -> None:
    def made(path: str, **more: Any) -> int:
        return int(town.platform("POST", f"/v1/{path}", more)["id"])

    small = made("houses", company_id=town.company, address="lenina 1")
    entrance = made("entrances", house_id=small, number=1)
    made("apartments", entrance_id=entrance, number=12)
    labelled = [made("apartments", entrance_id=entrance, number=n, label=label) for n, label in ((5, "5A"), (6, "5a"))]
    cities = [made("cities", name=name) for name in ("Lakeside", "LAKESIDE")]
    text = "number;address;apartment\n000101;Lenina 1;\n000102; lenina  1 ;\n000103;lenina 1;5a\n000104;lenina 1;5A\n"
    assert send(town, "keys", text, "&notation=hex")["result"]["made"] == {"keys": 4}
    kept = town.platform("GET", "/v1/keys")["items"]
    assert [key["house_id"] or key["apartment_id"] for key in kept] == [town.house, small, *reversed(labelled)]
    text = "number;address;apartment\n000201;LENINA 1;\n000202;SADOVAYA  7;\n000203;Lenina 1;12\n"
    job = send(town, "keys", text, "&notation=hex")
    assert problems(job) == [(2, "address")]
    assert "several houses" in job["result"]["problems"][0]["remedy"]
    made("houses", company_id=town.company, address="Lenina  1")  # a cell has no second space to tell it by
    assert problems(send(town, "keys", text, "&notation=hex")) == [(2, "address"), (4, "address")]
    homes = "address;city\nNew 1;LAKESIDE\nNew 2;Lakeside\nNew 3;riverside\n"
    assert send(town, "houses", homes)["result"]["made"]["houses"] == 3
    found = town.platform("GET", "/v1/houses?sort=-id&limit=3")["items"]
    assert [house["city_id"] for house in reversed(found)] == [cities[1], cities[0], 1]
    assert problems(send(town, "houses", "address;city\nNew 4;lakeside\n")) == [(2, "city")]


@pytest.mark.parametrize(
    ("raw", "field"),
    [
        (b"", "header"),
        (b"colour;size\nred;1\n", "header"),
        (b"name\nA\n", "header"),
        (b"address;address\nA;B\n", "header"),
        (b"\x00\x98\x98", "body"),
        (b'{"address": 1}', "header"),
    ],
)
def test_what_is_no_such_file_is_refused_at_once(town: Town, services: Services, raw: bytes, field: str) -> None:
    problem = send(town, "houses", raw, expect=422)
    assert problem["errors"][0]["field"] == field
    assert services.jobs.database.rows("SELECT * FROM jobs") == []


def test_options_that_this_import_does_not_have(town: Town) -> None:
    send(town, "houses", "address\nA\n", "&notation=hex", expect=422)
    send(town, "houses", "address\nA\n", "&on_existing=overwrite", expect=422)
    send(town, "houses", b"x" * (32 * 1024 * 1024 + 1), expect=413)


def test_sql_and_script_in_every_field_are_text(town: Town, services: Services) -> None:
    nasty = "'; DROP TABLE houses; -- <script>alert(1)</script>"
    send(town, "houses", f'address\n"{nasty}"\n')
    assert town.platform("GET", "/v1/houses")["items"][-1]["address"] == nasty
    keys = f'number;address;note\n0000000101;"{nasty}";"{nasty}"\n'
    assert send(town, "keys", keys)["state"] == "done"
    people = f'name;address;apartment;note\n"{nasty}";Lenina 1;12;"{nasty}"\n'
    assert send(town, "residents", people)["state"] == "done"
    assert problems(send(town, "residents", f'name;address;apartment\nA;Lenina 1;"{nasty}"\n')) == [(2, "apartment")]
    assert counted(services)["houses"] == 3


def test_an_import_is_in_the_audit_log(town: Town, services: Services) -> None:
    send(town, "houses", "address\nNew 1\n")
    rows = services.jobs.database.rows("SELECT who, action, company_id, state_after FROM audit_log WHERE noun = 'job'")
    assert rows == [("test", "import houses", town.company, '{"made":{"houses":1,"entrances":0}}')]


def test_plans_with_a_telephone_are_made_anew_when_its_owner_is_imported(
    town: Town, context: Context, cache: FakeCache
) -> None:
    phone = "+79123456789"
    town.platform(
        "POST", "/v1/accounts", {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": phone}
    )
    delivery = Delivery(context, cache)
    delivery.deliver()
    cache.plans = {("p1", "12"): "rings no telephone", ("p1", "13"): "of the neighbour"}
    send(town, "residents", f"name,address,apartment,phones\nAnna,Lenina 1,12,{phone}\nBoris,Lenina 1,13,\n")
    delivery.deliver()
    assert list(cache.plans) == [("p1", "13")]
