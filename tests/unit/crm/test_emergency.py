"""Centres, numbers, rules, the directory, calls back and the daily check, over the API."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.number_pool import PoolState, daily_peaks, days_until, forecast
from crm_api.services.city_numbers import MOST_NUMBERS
from crm_api.services.emergency_checks import EmergencyChecks
from crm_api.services.number_leases import Leasing
from crm_api.tables import emergency_facts
from crm_api.tables.emergency import EmergencyCall, EmergencyFinding
from crm_api.tables.models import City

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

DAY_MS = 86_400_000


def city_of(database: CrmDatabase) -> int:
    assert database
    return int(City.get(City.name == "Riverside").id)


def with_trunks(town: Town, *names: str) -> None:
    for name in names:
        town.platform("POST", "/v1/trunks", {"name": name, "address": "127.0.3.1"})


def centre(town: Town, database: CrmDatabase, **more: Any) -> Any:
    body = {
        "city_id": city_of(database), "name": "Riverside 112", "number": "112", "public_number": "+7 495 112-01-12",
        "trunks": [{"trunk": "city-line"}, {"trunk": "second-line", "caller_in": "from", "sends_location": False}],
        **more,
    }  # fmt: skip
    return town.platform("POST", "/v1/emergency-centres", body)


def number(town: Town, database: CrmDatabase, value: str, **more: Any) -> Any:
    body = {"city_id": city_of(database), "number": value, "trunk": "city-line", **more}
    return town.platform("POST", "/v1/city-numbers", body)


def test_a_centre_is_made_with_its_trunks_in_order_and_its_secret_is_not_shown(
    town: Town, database: CrmDatabase
) -> None:
    made = centre(town, database, webhook_url="https://112.example/hook", webhook_secret="a secret of sixteen")
    assert made["public_number"] == "+74951120112"
    assert [t["trunk"] for t in made["trunks"]] == ["city-line", "second-line"]
    assert "secret" not in str(made)
    path = f"/v1/emergency-centres/{made['id']}"
    changed = town.platform("PATCH", path, {"trunks": [{"trunk": "second-line"}], "keep_s": 60})
    assert ([t["trunk"] for t in changed["trunks"]], changed["keep_s"]) == (["second-line"], 60)
    town.platform("PATCH", path, {"trunks": [{"trunk": "aa"}, {"trunk": "aa"}]}, 422)
    town.platform("POST", "/v1/emergency-centres", {"city_id": made["city_id"], "name": "Second"}, 409)
    town.platform("POST", "/v1/emergency-centres", {"city_id": 999, "name": "Nowhere"}, 422)
    town.platform("DELETE", path)
    assert database.rows("SELECT trunk FROM emergency_trunks") == []


def test_a_number_has_one_city_and_is_kept_in_e164(town: Town, database: CrmDatabase) -> None:
    made = number(town, database, "8 (495) 111-00-01")
    assert (made["number"], made["status"], made["fias_id"]) == ("+74951110001", "free", None)
    other = town.platform("POST", "/v1/cities", {"name": "Hillside"})["id"]
    body = {"city_id": other, "number": "+74951110001", "trunk": "city-line"}
    refused = town.platform("POST", "/v1/city-numbers", body, 409)
    assert "Riverside" in refused["detail"]
    for wrong in ("12", "not a number", "+0000000000", ""):
        town.platform("POST", "/v1/city-numbers", {**body, "number": wrong}, 422)
    town.platform("POST", "/v1/city-numbers", {**body, "number": "+74951119998", "city_id": 12345}, 422)
    number(town, database, "+74951119999", shared=True)
    town.platform(
        "POST", "/v1/city-numbers", {**body, "city_id": made["city_id"], "number": "+74951119997", "shared": True}, 409
    )


def test_a_city_takes_a_fias_id_that_is_one(town: Town, database: CrmDatabase) -> None:
    path = f"/v1/cities/{city_of(database)}"
    town.platform("PATCH", path, {"fias_id": "no-such-thing"}, 422)
    town.platform("PATCH", path, {"fias_id": "0C5B2444-70A0-4932-980C-B4DC0D3F02B5"})
    assert number(town, database, "+74951110001")["fias_id"] == "0c5b2444-70a0-4932-980c-b4dc0d3f02b5"


def upload(town: Town, city: int, text: str, query: str = "") -> Any:
    headers = {**town.platform._headers, "Content-Type": "text/csv"}
    answer = town.client.simulate_post(f"/v1/cities/{city}/numbers", query_string=query, headers=headers, body=text)
    assert answer.status_code == 200, answer.text
    return answer.json


def test_a_file_of_numbers_is_loaded_whole_or_not_at_all(town: Town, database: CrmDatabase) -> None:
    city = city_of(database)
    good = "number;trunk;shared\n+74951110001;city-line;\n8 495 111-00-02;city-line;no\n+74951119999;city-line;yes\n"
    assert upload(town, city, good, "dry_run=true") == {"made": 3, "unchanged": 0, "dry_run": True, "problems": []}
    assert town.platform("GET", "/v1/city-numbers")["items"] == []
    assert upload(town, city, good)["made"] == 3
    assert upload(town, city, good) == {"made": 0, "unchanged": 3, "dry_run": False, "problems": []}
    other = town.platform("POST", "/v1/cities", {"name": "Hillside"})["id"]
    bad = "number;trunk;shared\n+74951110003;city-line;\n12;city-line;\n+74951110001;city-line;\n+74951110004;;\n"
    told = upload(town, other, bad + "+74951110003;city-line;\n+74951110005;city-line;perhaps\n")
    assert (told["made"], [(p["row"], p["column"]) for p in told["problems"]]) == (
        0, [(3, "number"), (4, "number"), (5, "trunk"), (6, "number"), (7, "shared")],
    )  # fmt: skip
    assert len(town.platform("GET", "/v1/city-numbers")["items"]) == 3
    audited = town.platform("GET", "/v1/audit?noun=city number")["items"]
    assert len(audited) == 3


def test_a_long_file_of_numbers_is_loaded_in_few_statements(
    town: Town, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    city, statements, execute = city_of(database), 0, database.peewee.execute_sql

    def count(sql: str, *more: Any) -> Any:
        nonlocal statements
        statements += 1
        return execute(sql, *more)

    lines = "".join(f"+7495{n:07};city-line\n" for n in range(MOST_NUMBERS))
    monkeypatch.setattr(database.peewee, "execute_sql", count)
    assert upload(town, city, "number;trunk\n" + lines)["made"] == MOST_NUMBERS
    assert statements < MOST_NUMBERS / 100
    monkeypatch.undo()
    other = town.platform("POST", "/v1/cities", {"name": "Hillside"})["id"]
    few = "".join(lines.splitlines(keepends=True)[:50])
    told = upload(town, other, "number;trunk\n" + few.replace("\n", "\n+74990000000;city-line\n", 2))
    assert [p["row"] for p in told["problems"]][:4] == [2, 4, 5, 6], "each with its row, in their order"
    assert told["problems"][2]["remedy"] == "comes twice in this file"
    more = f"number;trunk\n{lines}+74990000000;city-line\n"
    headers = {**town.platform._headers, "Content-Type": "text/csv"}
    answer = town.client.simulate_post(f"/v1/cities/{city}/numbers", headers=headers, body=more)
    assert (answer.status_code, answer.json["errors"][0]["remedy"]) == (
        422, f"has more than {MOST_NUMBERS} rows: cut it into several",
    )  # fmt: skip


def test_a_call_leases_is_called_back_and_ends(town: Town, database: CrmDatabase, context: Context) -> None:
    centre(town, database, keep_s=600)
    number(town, database, "+74951110001")
    number(town, database, "+74951119999", shared=True)
    wish = {"panel": "p1", "call_id": "c1"}
    got = town.service("POST", "/v1/emergency-leases", wish)
    assert (got["number"], got["trunk"], got["source"]) == ("+74951110001", "city-line", "leased")
    again = town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c2"})
    assert (again["number"], again["source"]) == ("+74951110001", "renewed")
    assert town.service("POST", "/v1/emergency-leases", {"panel": "p2", "call_id": "c3"})["source"] == "shared"
    nobody = town.service("POST", "/v1/emergency-leases", {"panel": "nobody", "call_id": "c4"})
    assert (nobody["number"], nobody["source"]) == (None, None)
    (shown,) = town.platform("GET", "/v1/city-numbers?number=%2B74951110001")["items"]
    assert (shown["status"], shown["panel"]) == ("in_call", "p1")
    Leasing(context).ended("c2", context.now_ms())
    (shown,) = town.platform("GET", "/v1/city-numbers?number=%2B74951110001")["items"]
    assert (shown["status"], shown["panel"]) == ("kept", "p1")

    back = town.service("POST", "/v1/emergency-call-backs", {"number": "+74951110001", "call_id": "b1"})
    assert (back["panel"], back["source"]) == ("p1", "lease")
    # A carrier may leave the plus out.
    assert town.service("POST", "/v1/emergency-call-backs", {"number": "74951110001", "call_id": "b2"})["panel"] == "p1"

    (lease,) = town.platform("GET", "/v1/number-leases?panel=p1")["items"]
    assert (lease["calls"], lease["ended_at_ms"], lease["company_id"]) == (2, None, town.company)
    released = town.platform("POST", f"/v1/number-leases/{lease['id']}/release", {"reason": "panel was stolen"})
    assert (released["end_reason"], released["reason"]) == ("released", "panel was stolen")
    town.platform("POST", f"/v1/number-leases/{lease['id']}/release", {"reason": "once more"}, 409)
    assert town.platform("GET", "/v1/audit?noun=lease")["items"][0]["action"] == "release"
    back = town.service("POST", "/v1/emergency-call-backs", {"number": "+74951110001", "call_id": "b3"})
    assert (back["panel"], back["source"], back["company_id"]) == (None, "desk", town.company)


def test_a_number_that_nobody_holds_goes_to_the_desk_on_duty(town: Town, database: CrmDatabase) -> None:
    number(town, database, "+74951110001")
    town.platform("POST", "/v1/accounts", {"account": "desk1", "kind": "concierge", "company_id": town.company})
    town.platform("POST", "/v1/concierge-desks", {"account": "desk1", "name": "Duty desk"})
    back = town.service("POST", "/v1/emergency-call-backs", {"number": "+74951110001", "call_id": "b1"})
    assert (back["panel"], back["desks"]) == (None, ["desk1"])
    unknown = town.service("POST", "/v1/emergency-call-backs", {"number": "+74959999999", "call_id": "b2"})
    assert (unknown["panel"], unknown["desks"], unknown["source"]) == (None, [], "desk")


def test_what_kamailio_reads_of_cities_and_panels(town: Town, database: CrmDatabase) -> None:
    centre(town, database)
    number(town, database, "+74951119999", shared=True)
    town.platform("POST", "/v1/apartments", {"entrance_id": town.entrance, "number": 101})
    rules = {"numbers": ["101", "102"], "sos_number": "911"}
    town.platform("PUT", f"/v1/companies/{town.company}/emergency-rules", rules)
    town.platform("PATCH", f"/v1/houses/{town.house}", {"latitude": 55.7558261, "longitude": -37.6173})
    city = city_of(database)
    assert database.rows("SELECT * FROM kamailio_emergency_cities") == [
        (city, "Riverside", "RU", "+74951119999", "city-line", "112", "+74951120112", "", 0)
    ]
    assert database.rows("SELECT * FROM kamailio_emergency_trunks ORDER BY position") == [
        (city, 0, "city-line", "both", 1),
        (city, 1, "second-line", "from", 0),
    ]
    columns = "account, city_id, address, entrance, latitude, longitude, numbers, sos_number"
    panels = database.rows(f"SELECT {columns} FROM kamailio_emergency_panels ORDER BY account")  # noqa: S608 - constants
    place = ("55755826", "-37617300", '["101", "102"]', "911")
    assert panels == [("p1", city, "Lenina 1", 1, *place), ("p2", city, "Lenina 1", 0, *place)]
    assert database.rows("SELECT * FROM kamailio_emergency_apartments") == [("p1", 101)]


def test_an_app_may_be_refused_and_calls_from_its_own_house(town: Town, database: CrmDatabase) -> None:
    centre(town, database, test_number="+74951120113", records_calls=True)
    number(town, database, "+74951119999", shared=True)
    wish = {"panel": "a12", "call_id": "c1"}
    told = town.service("POST", "/v1/emergency-leases", wish)
    assert (told["refused"], told["city_id"], told["number"], told["source"]) == (
        False, city_of(database), "+74951119999", "shared",
    )  # fmt: skip
    assert (told["test_number"], told["records_calls"]) == ("+74951120113", True)
    town.platform("PUT", f"/v1/companies/{town.company}/emergency-rules", {"from_apps": "refused"})
    assert town.service("POST", "/v1/emergency-leases", wish)["refused"]
    assert not town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c2"})["refused"]


def test_a_company_says_which_numbers_are_emergency_numbers(town: Town) -> None:
    path = f"/v1/companies/{town.company}/emergency-rules"
    assert town.platform("GET", path)["numbers"] == ["101", "102", "103", "104"]
    town.platform("PUT", path, {"sos_number": "12"}, 422)  # an apartment
    assert town.platform("PUT", path, {"sos_number": "911", "numbers": []})["sos_number"] == "911"
    told = town.platform("PUT", path, {"webhook_url": "https://x.example", "webhook_secret": "a secret of sixteen"})
    assert (told["numbers"], told["sos_number"]) == (["101", "102", "103", "104"], None)
    assert "secret" not in str(told)
    town.platform("PUT", "/v1/companies/4711/emergency-rules", {}, 404)
    town.platform("PUT", path, {"numbers": ["101"]})
    outcomes = {dialled: town.plan("p1", dialled)["outcome"] for dialled in ("112", "101", "104")}
    assert outcomes == {"112": "emergency", "101": "emergency", "104": "unknown_number"}


def test_the_daily_check_finds_what_is_missing_and_forgets_what_was_mended(
    town: Town, database: CrmDatabase, context: Context
) -> None:
    def found() -> set[tuple[str, str]]:
        checked = town.platform("POST", "/v1/emergency-checks")
        assert checked["findings"] == EmergencyChecks(context).check()
        return {(f["panel"], f["problem"]) for f in town.platform("GET", "/v1/emergency-findings")["items"]}

    assert found() == {(p, problem) for p in ("p1", "p2") for problem in ("no_centre", "no_number")}
    centre(town, database)
    assert found() == {(p, problem) for p in ("p1", "p2") for problem in ("no_trunk", "no_number")}
    first = town.platform("GET", "/v1/emergency-findings?problem=no_number")["items"][0]["found_at_ms"]
    with_trunks(town, "second-line")
    assert found() == {("p1", "no_number"), ("p2", "no_number")}
    assert town.platform("GET", "/v1/emergency-findings?problem=no_number")["items"][0]["found_at_ms"] == first
    number(town, database, "+74951110001")
    assert found() == set()
    database.rows("UPDATE companies SET city_id = NULL")
    database.rows("UPDATE houses SET city_id = NULL")
    assert found() == {("p1", "no_city"), ("p2", "no_city")}


def test_a_panel_that_is_removed_while_it_is_checked_has_no_finding(
    town: Town, database: CrmDatabase, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    panels = emergency_facts.panels

    def then_removed(database: CrmDatabase) -> list[emergency_facts.PanelState]:
        found = list(panels(database))
        (panel,) = town.platform("GET", "/v1/panels?account=p2")["items"]
        town.platform("DELETE", f"/v1/panels/{panel['id']}")
        return found

    monkeypatch.setattr(emergency_facts, "panels", then_removed)
    EmergencyChecks(context).check()
    assert {f["panel"] for f in town.platform("GET", "/v1/emergency-findings")["items"]} == {"p1"}
    assert database.row("SELECT count(*) FROM emergency_findings") == (2,)


def test_what_another_process_has_found_at_the_same_moment_is_kept_once(
    town: Town, database: CrmDatabase, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert town.company
    checks = EmergencyChecks(context)
    checks.check()
    before = database.rows("SELECT id, found_at_ms FROM emergency_findings ORDER BY id")
    monkeypatch.setattr(EmergencyFinding, "select", lambda *_: [])  # the other has not committed yet
    checks.check()
    assert database.rows("SELECT id, found_at_ms FROM emergency_findings ORDER BY id") == before


def test_a_trunk_that_failed_the_last_call_sent_to_it_is_no_working_one(
    town: Town, database: CrmDatabase, context: Context, clock: Clock
) -> None:
    centre(town, database)
    number(town, database, "+74951110001")
    with_trunks(town, "city-line", "second-line")
    checks = EmergencyChecks(context)

    def call(*steps: tuple[str, str], test: bool = True) -> None:
        clock.now += 60_000
        told = [{"at_ms": clock.now, "step": step, "detail": detail} for step, detail in steps]
        EmergencyCall.create(
            call_id=f"c{clock.now}", direction="out", started_at_ms=clock.now, steps=json.dumps(told), test=test
        )

    assert checks.check() == 0
    call(("dial", "city-line 112"), ("way_failed", "city-line 112 silent"), ("answered", "second-line 112"))
    assert checks.check() == 0, "the other one works"
    call(("trunk_failed", "second-line cannot be reached"), ("no_way", "x"))
    assert checks.check() == 2
    assert {f["problem"] for f in town.platform("GET", "/v1/emergency-findings")["items"]} == {"no_trunk"}
    call(("way_failed", "city-line 112 answered 486"))
    assert checks.check() == 0, "the centre itself has spoken"
    call(("way_failed", "city-line 112 answered 503"))
    assert checks.check() == 2
    call(("rings", "city-line 180"), ("way_failed", "city-line 112 answered 500"))
    assert checks.check() == 2, "the last word counts"
    call(("answered", "city-line 112"))
    call(("way_failed", "city-line 7 answered 404"), ("way_failed", "second-line 7 answered 404"))
    assert checks.check() == 0, "nobody has the test number: that says nothing of 112"
    call(("way_failed", "city-line 112 answered 404"), test=False)
    assert checks.check() == 2, "nobody at 112"
    clock.now += 8 * DAY_MS
    assert checks.check() == 0, "long ago: a test call tells what is true now"


def test_a_call_back_to_the_shared_number_reaches_nobody_because_of_a_test_call(
    town: Town, context: Context, database: CrmDatabase
) -> None:
    number(town, database, "+74951119999", shared=True)
    wish = {"number": "+74951119999", "call_id": "b1"}
    for call_id, panel, test in (("c1", "p1", False), ("c2", "p2", True)):
        now_ms = context.now_ms() + (1000 if test else 0)
        EmergencyCall.create(
            call_id=call_id, direction="out", panel=panel, number="+74951119999", test=test, started_at_ms=now_ms,
            steps="[]",
        )  # fmt: skip
    told = town.service("POST", "/v1/emergency-call-backs", wish)
    assert (told["panel"], told["source"]) == ("p1", "last_caller")


def test_pools_tell_how_full_they_are(town: Town, database: CrmDatabase) -> None:
    for index in range(4):
        number(town, database, f"+749511100{index:02}")
    town.service("POST", "/v1/emergency-leases", {"panel": "p1", "call_id": "c1"})
    (pool,) = town.platform("GET", "/v1/number-pools")["items"]
    assert (pool["numbers"], pool["held"], pool["free"], pool["free_percent"], pool["peak"]) == (4, 1, 3, 75, 1)
    assert not pool["running_out"]
    town.service("POST", "/v1/emergency-leases", {"panel": "p2", "call_id": "c2"})
    database.rows("UPDATE city_numbers SET in_service = ? WHERE panel_id IS NULL", (False,))
    (pool,) = town.platform("GET", "/v1/number-pools")["items"]
    assert (pool["free"], pool["running_out"]) == (0, True)


def test_the_platforms_numbers_and_centres_are_not_for_a_companys_operator(town: Town, services: Any) -> None:
    from tests.unit.crm.conftest import Api  # noqa: PLC0415 - the fixture's own class

    operator = Api(town.client, services.tokens.create("operator", "operator", "Homes"))
    for path in ("/v1/city-numbers", "/v1/emergency-centres", "/v1/number-pools"):
        operator("GET", path, expect=403)
    operator("POST", "/v1/emergency-checks", expect=403)
    assert operator("GET", "/v1/number-leases")["items"] == []


@pytest.mark.parametrize(
    ("peaks", "numbers", "days"),
    [
        ([1, 2, 3, 4], 10, 6.0),
        ([4, 4, 4], 10, None),
        ([5, 4, 3], 10, None),
        ([9, 10, 11], 10, 0.0),
        ([3], 10, None),
        ([0, 0, 0], 10, None),
    ],
)
def test_the_forecast_is_a_line_through_the_daily_peaks(peaks: list[int], numbers: int, days: float | None) -> None:
    assert days_until(peaks, numbers) == days


def test_the_daily_peak_counts_what_was_held_at_once() -> None:
    now = 10 * DAY_MS
    spans = [(now - DAY_MS, now - DAY_MS // 2), (now - DAY_MS // 2 - 1, now), (now - 3 * DAY_MS, now - 2 * DAY_MS - 1)]
    assert daily_peaks(spans, now, 3) == [1, 0, 2]
    told = forecast(PoolState(10, 9, 20, 86_400), spans, now, 3)
    assert (told["free_percent"], told["running_out"]) == (10, True)
