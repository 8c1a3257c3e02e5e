from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.inputs.base import MAX_MS
from tests.unit.crm.conftest import Api
from tests.unit.crm.query_plans import reads_of

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

SPAN = "from_ms=0&to_ms=9000000000000"
MINUTE_MS, DAY_MS = 60_000, 86_400_000
NOON_MS = int(datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()) * 1000


@pytest.fixture
def entered(town: Town) -> dict[str, int]:
    """Entries by two keys at the entrance and the gate, an unknown key, and one by a call; returns the keys' ids."""
    town.platform("PATCH", "/v1/cities/1", {"time_zone": "Asia/Yekaterinburg"})
    keys = {
        "home": town.platform("POST", "/v1/keys", {"number": "0000000101", "apartment_id": town.apartment})["id"],
        "house": town.platform("POST", "/v1/keys", {"number": "0000000102", "house_id": town.second_house})["id"],
    }
    use(town, "p1", "0000000101")
    use(town, "p2", "0000000102")
    use(town, "p1", "0000000199", opened=False)
    wish = {"call_id": "c1", "panel": "p1", "dialled": "13", "account": "h13"}
    town.service("POST", "/v1/door-openings", wish)
    return keys


def use(town: Town, panel: str, number: str, *, opened: bool = True, **more: Any) -> Any:
    body = {"panel": panel, "number": number, "notation": "decimal", "opened": opened, **more}
    return town.service("POST", "/v1/key-uses", body)


def report(town: Town, query: str = "") -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = town.platform("GET", f"/v1/reports/entries?{SPAN}{query}")["items"]
    return items


def test_entries_by_key_apartment_house_and_panel(town: Town, entered: dict[str, int]) -> None:
    everything = report(town)
    assert [(e["panel"], e["key"], e["result"]) for e in everything] == [
        ("Lenina 1, entrance 1", "00000065", "opened"),
        ("Gate", "00000066", "opened"),
        ("Lenina 1, entrance 1", None, "refused"),
        ("Lenina 1, entrance 1", None, "granted"),
    ]
    assert [e["apartment"] for e in everything] == ["12", None, None, "13"]
    assert everything[0]["address"] == "Lenina 1"
    assert everything[0]["at"].endswith("+05:00")
    assert everything[2]["reason"] == "nobody knows key 000000C7"
    assert [e["id"] for e in report(town, f"&key_id={entered['house']}")] == [everything[1]["id"]]
    assert [e["id"] for e in report(town, f"&apartment_id={town.apartment}")] == [everything[0]["id"]]
    assert len(report(town, f"&house_id={town.house}")) == 3
    assert len(report(town, "&panel=p2")) == 1
    assert report(town, f"&key_id={entered['house']}&panel=p1") == []


def test_entries_of_a_span(town: Town, entered: dict[str, int]) -> None:
    moments = [e["at_ms"] for e in report(town)]
    inside = town.platform("GET", f"/v1/reports/entries?from_ms={moments[1]}&to_ms={moments[3]}")["items"]
    assert [e["at_ms"] for e in inside] == moments[1:3]
    records = town.platform("GET", f"/v1/access-records?from_ms={moments[1]}&to_ms={moments[3]}")["items"]
    assert [r["at_ms"] for r in records] == [moments[2], moments[1]]
    by_key = town.platform("GET", f"/v1/access-records?key_id={entered['home']}")["items"]
    assert [r["at_ms"] for r in by_key] == moments[:1]
    assert town.platform("GET", f"/v1/access-records?house_id={town.house}&sort=at_ms")["items"][0] == by_key[0]
    for wrong in ("", "from_ms=5&to_ms=5", "from_ms=-1&to_ms=5", "from_ms=0&to_ms=5&house_id=x", f"{SPAN}&colour=1"):
        town.platform("GET", f"/v1/reports/entries?{wrong}", expect=422)


def test_the_csv_says_the_same_and_nothing_in_it_is_a_formula(town: Town, entered: dict[str, int]) -> None:
    assert entered
    town.platform("PATCH", "/v1/panels/1", {"name": "=cmd|' /C calc'!A0"})
    answer = town.client.simulate_get(
        "/v1/reports/entries.csv", query_string=f"{SPAN}&separator=semicolon", headers=town.platform._headers
    )
    assert answer.headers["content-disposition"] == 'attachment; filename="entries.csv"'
    rows = list(csv.DictReader(io.StringIO(answer.text), delimiter=";"))
    told = report(town)
    assert [row["at_ms"] for row in rows] == [str(e["at_ms"]) for e in told]
    assert rows[0]["panel"] == "'=cmd|' /C calc'!A0"
    assert set(rows[0]) == set(told[0])


def test_another_company_reads_none_of_it(town: Town, services: Services, entered: dict[str, int]) -> None:
    town.platform("POST", "/v1/companies", {"name": "Others"})
    stranger = Api(town.client, services.tokens.create("stranger", "operator", "Others"))
    assert stranger("GET", f"/v1/reports/entries?{SPAN}")["items"] == []
    assert stranger("GET", f"/v1/reports/entries?{SPAN}&key_id={entered['home']}")["items"] == []
    body = {"panel": "p1", "number": "00C688AC", "opened": True}
    stranger("POST", "/v1/key-uses", body, 404)


def test_a_key_that_two_companies_know_is_each_ones_own(town: Town, entered: dict[str, int]) -> None:
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    town.platform("POST", "/v1/keys", {"number": "0000000101", "company_id": other})
    assert use(town, "p1", "0000000101")["key_id"] == entered["home"]


def test_the_use_of_a_key_is_recorded_when_it_happened(town: Town, clock: Clock) -> None:
    happened_ms = clock.now - 60_000
    record = use(town, "p1", "0000000101", at_ms=happened_ms)
    assert record["at_ms"] == happened_ms
    assert record["key_id"] is None
    assert town.platform("GET", "/v1/panels/1")["last_seen_at_ms"] is not None
    use_of_nothing = {"panel": "nowhere", "number": "00C688AC", "opened": True}
    town.service("POST", "/v1/key-uses", use_of_nothing, 404)
    town.service("POST", "/v1/key-uses", {**use_of_nothing, "number": "?"}, 422)


@pytest.mark.parametrize(
    ("told_ms", "believed", "reason"),
    [
        (NOON_MS + 4 * MINUTE_MS, True, None),
        (NOON_MS - 89 * DAY_MS, True, None),
        (NOON_MS + 6 * MINUTE_MS, False, "by the panel's clock at 2026-11-20T12:06:00Z"),
        (NOON_MS - 91 * DAY_MS, False, "by the panel's clock at 2026-08-21T12:00:00Z"),
        (0, False, "by the panel's clock at 1970-01-01T00:00:00Z"),
        (MAX_MS, False, "by the panel's clock at 9999-12-31T23:59:59Z"),
    ],
)
def test_a_panel_whose_clock_is_wrong_is_recorded_when_it_tells(
    town: Town, clock: Clock, told_ms: int, believed: bool, reason: str | None
) -> None:
    town.platform("POST", "/v1/keys", {"number": "0000000101", "apartment_id": town.apartment})
    clock.now = NOON_MS
    known = use(town, "p1", "0000000101", at_ms=told_ms)
    assert known["reason"] == reason
    assert known["at_ms"] == (told_ms if believed else pytest.approx(NOON_MS, abs=MINUTE_MS))
    unknown = use(town, "p1", "0000000199", at_ms=told_ms)["reason"]
    assert unknown == "; ".join(filter(None, ["nobody knows key 000000C7", reason]))


def test_a_moment_that_no_calendar_has_breaks_no_report(town: Town, database: CrmDatabase) -> None:
    town.platform("PATCH", "/v1/cities/1", {"time_zone": "Europe/Moscow"})
    rows = [(town.company, at_ms, "p1", "opened") for at_ms in (MAX_MS - 1, MAX_MS * 30)]
    database.many("INSERT INTO access_records (company_id, at_ms, panel, result) VALUES (?, ?, ?, ?)", rows)
    (last,) = town.platform("GET", f"/v1/reports/entries?from_ms={MAX_MS - 1}&to_ms={MAX_MS}")["items"]
    assert last["at"] == "9999-12-31T23:59:59+00:00"
    town.platform("GET", f"/v1/reports/entries?from_ms=0&to_ms={MAX_MS + 1}", expect=422)


def test_an_entry_is_told_by_the_clock_of_its_house(town: Town, entered: dict[str, int], database: CrmDatabase) -> None:
    there = town.platform("POST", "/v1/cities", {"name": "Far east", "time_zone": "Asia/Vladivostok"})["id"]
    town.platform("PATCH", f"/v1/houses/{town.house}", {"city_id": there})
    (at_home, at_the_gate, *_) = report(town)
    assert (at_home["at"][-6:], at_the_gate["at"][-6:]) == ("+10:00", "+05:00")
    assert entered
    database.rows("UPDATE access_records SET house_id = NULL WHERE id = ?", (at_home["id"],))
    assert report(town)[0]["at"].endswith("+05:00"), "of no house: the company's"


def test_a_great_report_comes_in_pieces_and_whole(town: Town, services: Services) -> None:
    database = services.entry_reports._context.database
    rows = [(town.company, 1000 + number // 3, "p1", "opened") for number in range(2500)]
    with database.transaction():
        database.many("INSERT INTO access_records (company_id, at_ms, panel, result) VALUES (?, ?, ?, ?)", rows)
    items = report(town)
    assert len(items) == 2500
    assert len({e["id"] for e in items}) == 2500
    assert report(town, "&panel=nobody") == []


def test_calls_of_a_span_and_a_house(town: Town, services: Services) -> None:
    database = services.entry_reports._context.database
    with database.transaction():
        database.many(
            "INSERT INTO call_records (call_id, company_id, house_id, started_at_ms, result) VALUES (?, ?, ?, ?, ?)",
            [(f"c{n}", town.company, town.house if n % 2 else None, n, "answered") for n in range(10)],
        )
    found = town.platform("GET", "/v1/calls?from_ms=3&to_ms=7&sort=started_at_ms")["items"]
    assert [call["call_id"] for call in found] == ["c3", "c4", "c5", "c6"]
    assert len(town.platform("GET", f"/v1/calls?house_id={town.house}&result=answered")["items"]) == 5
    assert town.platform("GET", "/v1/calls?answered_by=nobody")["items"] == []


@pytest.mark.parametrize("when", ["before", "after"])
def test_a_name_of_an_account_that_is_now_anothers_names_nobody(town: Town, services: Services, when: str) -> None:
    """An account that was removed leaves its name free: to another company, or to a later resident of this one."""
    database = services.entry_reports._context.database

    def entries_named() -> list[str | None]:
        return [entry["resident"] for entry in report(town)]

    def owner(company: int, apartment: int, name: str) -> None:
        home = {"apartment_id": apartment, "role": "owner"}
        body = {"company_id": company, "name": name, "apartments": [home]}
        resident = town.platform("POST", "/v1/residents", body)["id"]
        account = {"account": "a99", "kind": "app", "apartment_id": apartment, "resident_id": resident}
        town.platform("POST", "/v1/accounts", account)

    owner(town.company, town.apartment, "Olga")
    town.service("POST", "/v1/door-openings", {"call_id": "c1", "panel": "p1", "dialled": "12", "account": "a99"})
    assert entries_named() == ["Olga"]
    town.platform("DELETE", "/v1/accounts/a99")
    assert entries_named() == [None]
    if when == "after":
        owner(town.company, town.neighbour, "Oleg")
        assert entries_named() == [None]
        return
    # As if it had been there before: only the company tells whose it is.
    other = town.platform("POST", "/v1/companies", {"name": "Others", "city_id": 1})["id"]
    house = town.platform("POST", "/v1/houses", {"company_id": other, "address": "Mira 3"})["id"]
    entrance = town.platform("POST", "/v1/entrances", {"house_id": house, "number": 1})["id"]
    owner(other, town.platform("POST", "/v1/apartments", {"entrance_id": entrance, "number": 5})["id"], "Stranger")
    with database.transaction():
        database.rows("UPDATE accounts SET created_at_ms = 1 WHERE account = 'a99'")
    assert entries_named() == [None]


def test_the_account_of_an_entry_is_looked_up_by_its_name(
    town: Town, services: Services, entered: dict[str, int]
) -> None:
    assert entered
    (found,) = {
        line for line in reads_of(services.entry_reports._context.database, lambda: report(town)) if " a " in line
    }
    assert found.startswith("SEARCH a USING INDEX")
    assert "account=?" in found
