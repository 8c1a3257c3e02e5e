from __future__ import annotations

import csv
import io
import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.inputs.base import MAX_MS
from crm_api.services.call_recording import CallRecording
from tests.unit.crm.conftest import Api
from tests.unit.crm.query_plans import reads_of

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.services.context import Context
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
        ("Lenina 1, entrance 1", "000000C7", "refused"),
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


def houses_told(town: Town) -> list[str | None]:
    """The address of each entry, and that the house's report and list of records have those of the house alone."""
    everything = report(town)
    for house in town.platform("GET", "/v1/houses")["items"]:
        there = [e["id"] for e in everything if e["address"] == house["address"]]
        assert [e["id"] for e in report(town, f"&house_id={house['id']}")] == there
        listed = town.platform("GET", f"/v1/access-records?house_id={house['id']}&sort=id")["items"]
        assert [record["id"] for record in listed] == there
    return [e["address"] for e in everything]


def typed(town: Town, panel: str, code: str) -> None:
    town.service("POST", "/v1/code-entries", {"call_id": f"c-{panel}-{code}", "panel": panel, "code": code})


def test_a_house_has_the_entries_by_codes_of_its_entrances_and_gates(town: Town) -> None:
    gates = [
        town.platform("POST", "/v1/gates", {"name": name, "houses": houses})["id"]
        for name, houses in (("Yard", [town.second_house]), ("Quarter", [town.house, town.second_house]))
    ]
    for code, place in (
        ("40719", {"entrance_id": town.entrance}),
        ("40720", {"gate_id": gates[0]}),
        ("40721", {"gate_id": gates[1]}),
    ):
        town.platform("POST", "/v1/access-codes", {"code": code, **place})
    typed(town, "p1", "40719")
    typed(town, "p1", "11111")  # nobody's: the panel serves one house
    typed(town, "p2", "22222")  # nobody's: the panel serves two
    for gate in gates:
        town.platform("PATCH", "/v1/panels/2", {"gate_id": gate})
        typed(town, "p2", "40720")
        typed(town, "p2", "40721")
    told = [(e["address"], e["result"]) for e in report(town)]
    assert told[0] == ("Lenina 1", "granted")
    assert told[1] == ("Lenina 1", "refused")
    assert told[2] == (None, "refused")
    assert [address for address, result in told[3:] if result == "opened"] == ["Sadovaya 7", None]
    assert len(houses_told(town)) == 7


def test_a_house_has_the_openings_by_operators_and_by_who_is_of_no_apartment(town: Town) -> None:
    town.platform("POST", "/v1/doors/1/open", expect=409)
    town.platform("POST", "/v1/doors/2/open")
    doors = [{"output": 1, "entrance_id": town.entrance}]
    relay = {"company_id": town.company, "name": "R1", "driver": "beward", "address": "127.0.1.3", "doors": doors}
    door = town.platform("POST", "/v1/relays", relay)["doors"][0]["id"]
    town.platform("POST", f"/v1/doors/{door}/open")
    wish = {"call_id": "c1", "panel": "p1", "dialled": "99", "account": "h12"}
    town.service("POST", "/v1/door-openings", wish)
    assert houses_told(town) == ["Lenina 1", None, "Lenina 1", "Lenina 1"]
    town.platform("PATCH", "/v1/panels/2", {"places": [{"house_id": town.second_house}]})
    town.platform("POST", "/v1/doors/2/open")
    assert houses_told(town)[-1] == "Sadovaya 7"


def test_a_door_event_without_a_record_is_of_the_panels_house(town: Town, context: Context) -> None:
    event = {"event": "door", "call_id": "c2", "at_ms": context.now_ms(), "account": "h12", "panel": "p1",
             "dialled": "99", "door_id": 1, "key": "#", "method": "dtmf", "result": "sent", "reason": ""}  # fmt: skip
    CallRecording(context).record([("1-1", json.dumps([event]).encode())])
    assert houses_told(town) == ["Lenina 1"]


def test_another_company_reads_none_of_it(town: Town, services: Services, entered: dict[str, int]) -> None:
    town.platform("POST", "/v1/companies", {"name": "Others"})
    stranger = Api(town.client, services.tokens.create("stranger", "operator", "Others"))
    assert stranger("GET", f"/v1/reports/entries?{SPAN}")["items"] == []
    assert stranger("GET", f"/v1/reports/entries?{SPAN}&key_id={entered['home']}")["items"] == []
    body = {"panel": "p1", "number": "00C688AC", "opened": True}
    stranger("POST", "/v1/key-uses", body, 404)


def test_an_entry_keeps_the_number_of_a_key_that_was_removed(town: Town, entered: dict[str, int]) -> None:
    """Also one that went with its apartment, and one that nobody ever knew."""
    (second,) = town.platform("GET", f"/v1/apartments?house_id={town.second_house}")["items"]
    going = town.platform("POST", "/v1/keys", {"number": "0000000103", "apartment_id": second["id"]})["id"]
    assert use(town, "p2", "0000000103")["key_number"] == "000067"
    before = [e["key"] for e in report(town)]
    assert before == ["00000065", "00000066", "000000C7", None, "00000067"]
    for key in entered.values():
        town.platform("DELETE", f"/v1/keys/{key}")
    town.platform("DELETE", f"/v1/apartments/{second['id']}")
    town.platform("GET", f"/v1/keys/{going}", expect=404)
    assert [e["key"] for e in report(town)] == before
    records = town.platform("GET", "/v1/access-records?sort=id")["items"]
    assert [(r["key_id"], r["key_number"]) for r in records] == [
        (None, number) for number in ("000065", "000066", "0000C7", None, "000067")
    ]


@pytest.mark.parametrize("number", ["0000000101", "00000065", "000065", "00:00:00:65", "0,101"])
def test_entries_are_found_by_the_number_of_a_key_in_any_notation(
    town: Town, entered: dict[str, int], number: str
) -> None:
    (first, *_) = report(town)

    def found() -> list[list[int]]:
        told = report(town, f"&key_number={number}"), town.platform("GET", f"/v1/access-records?key_number={number}")
        return [[entry["id"] for entry in entries] for entries in (told[0], told[1]["items"])]

    assert found() == [[first["id"]]] * 2
    town.platform("DELETE", f"/v1/keys/{entered['home']}")
    assert found() == [[first["id"]]] * 2
    for path in (f"/v1/reports/entries?{SPAN}&key_number=key", "/v1/access-records?key_number=key"):
        problem = town.platform("GET", path, expect=422)
        assert [error["field"] for error in problem["errors"]] == ["key_number"]


def test_entries_by_the_number_of_a_key_are_read_from_its_indexes(
    town: Town, database: CrmDatabase, entered: dict[str, int]
) -> None:
    """Also by the key's id, as records of earlier releases have no number; both in the report and in the list."""
    assert entered
    for path in (f"/v1/reports/entries?{SPAN}&key_number=000065", "/v1/access-records?key_number=000065"):
        reads = reads_of(database, lambda path=path: town.platform("GET", path))  # type: ignore[misc]
        assert {index for index in ("(key_number=?)", "(key_id=?)") if any(index in read for read in reads)} == {
            "(key_number=?)", "(key_id=?)"
        }, reads  # fmt: skip


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
