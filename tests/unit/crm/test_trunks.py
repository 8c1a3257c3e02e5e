from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.call_record import billed
from crm_api.domain.inputs.trunks import TWILIO_NETWORKS
from crm_api.domain.passwords import ha1
from crm_api.domain.phone_limits import month_of
from crm_api.services.call_recording import CallRecording
from crm_api.services.changes import AGAIN_MS
from crm_api.services.delivery import Delivery
from tests.unit.crm.fakes import FakeCache
from tests.unit.crm.test_call_records import T, entry
from tests.unit.crm.test_emergency import centre, number

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town


def made(town: Town, name: str, **more: Any) -> Any:
    return town.platform("POST", "/v1/trunks", {"name": name, "address": f"{name}.example", **more})


def trunks_of(town: Town) -> list[tuple[str, str | None]]:
    return [(trunk["trunk"], trunk["caller_number"]) for trunk in town.plan("p1", "12")["trunks"]]


@pytest.fixture
def phone(town: Town) -> Town:
    """The apartment has a phone."""
    body = {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": "+79161234567"}
    town.platform("POST", "/v1/accounts", body)
    home = {"apartment_id": town.apartment, "role": "owner"}
    resident = {"company_id": town.company, "name": "Anna", "phones": ["+79161234567"], "apartments": [home]}
    town.platform("POST", "/v1/residents", resident)
    return town


def test_a_household_without_phone_needs_no_trunk(town: Town) -> None:
    made(town, "carrier-a", routes=[{}])
    assert trunks_of(town) == []


def test_own_trunks_come_first_then_those_of_the_city_then_by_position(phone: Town) -> None:
    city = phone.platform("GET", "/v1/cities")["items"][0]["id"]
    other = phone.platform("POST", "/v1/cities", {"name": "Elsewhere"})["id"]
    made(phone, "everywhere", routes=[{"position": 2, "caller_number": "+79000000001"}])
    made(phone, "sooner", routes=[{"position": 1}])
    made(phone, "city", routes=[{"city_id": city, "position": 9, "caller_number": "+74951110001"}, {"city_id": other}])
    made(phone, "own", routes=[{"company_id": phone.company, "position": 9}, {"position": 1}])
    made(phone, "elsewhere", routes=[{"city_id": other}])
    made(phone, "off", routes=[{"position": 1}], enabled=False)
    assert trunks_of(phone) == [
        ("own", None),
        ("city", "+74951110001"),
        ("sooner", None),
        ("everywhere", "+79000000001"),
    ]


def test_a_password_is_kept_as_ha1_and_never_shown(phone: Town, database: CrmDatabase) -> None:
    trunk = made(phone, "carrier-a", username="we", password="secret", registers=True)
    assert trunk["has_password"]
    assert "secret" not in str(trunk)
    row = database.row("SELECT username, realm, ha1, registers FROM kamailio_trunks")
    assert row == ("we", "carrier-a.example", ha1("we", "carrier-a.example", "secret"), 1)
    assert database.rows("SELECT account FROM kamailio_changes WHERE account = 'trunk:carrier-a'")
    phone.platform("PATCH", f"/v1/trunks/{trunk['id']}", {"username": "other"}, expect=422)
    changed = {"username": "other", "password": "new", "realm": "asterisk"}
    phone.platform("PATCH", f"/v1/trunks/{trunk['id']}", changed)
    assert database.row("SELECT ha1 FROM kamailio_trunks") == (ha1("other", "asterisk", "new"),)


def test_a_trunk_of_the_voice_api_is_nothing_for_the_proxy(phone: Town, database: CrmDatabase) -> None:
    body = {
        "name": "twilio", "kind": "twilio_voice", "username": "AC0", "password": "token",
        "routes": [{"caller_number": "+74950000001"}],
    }  # fmt: skip
    trunk = phone.platform("POST", "/v1/trunks", body)
    assert database.rows("SELECT name FROM kamailio_trunks") == []
    assert phone.plan("p1", "12")["trunks"][0]["kind"] == "twilio_voice"
    assert trunk["networks"] == list(TWILIO_NETWORKS)
    path = f"/v1/trunks/{trunk['id']}"
    assert phone.platform("PATCH", path, {"networks": ["10.0.0.0/8", "2001:db8::/32"]})["networks"][0] == "10.0.0.0/8"
    assert database.rows("SELECT * FROM kamailio_voice_trunks") == [("twilio", "10.0.0.0/8,2001:db8::/32")]
    phone.platform("PATCH", path, {"networks": ["10.0.0.1/8"]}, expect=422)
    phone.platform("PATCH", path, {"networks": []}, expect=422)
    phone.platform("PATCH", path, {"routes": [{}]}, expect=422)
    phone.platform("PATCH", path, {"enabled": False})
    assert database.rows("SELECT * FROM kamailio_voice_trunks") == []
    sip = made(phone, "carrier-a")
    phone.platform("PATCH", f"/v1/trunks/{sip['id']}", {"networks": ["10.0.0.0/8"]}, expect=422)


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a-b", "address": None},
        {"name": "a-b", "address": "x", "kind": "twilio_voice"},
        {"name": "a-b", "kind": "twilio_voice"},
        {"name": "a-b", "kind": "twilio_voice", "username": "AC0", "password": "t", "routes": [{}]},
        {"name": "a-b", "address": "x", "networks": ["10.0.0.0/8"]},
        {"name": "a-b", "address": "x", "password": "p"},
        {"name": "a-b", "address": "x", "routes": [{"city_id": 999}]},
        {"name": "A B", "address": "x"},
    ],
)
def test_what_cannot_work_is_refused(town: Town, body: dict[str, Any]) -> None:
    town.platform("POST", "/v1/trunks", body, expect=422)


def test_every_step_that_has_begun_is_paid() -> None:
    assert billed(0, 60, 14_000) == (60, 14_000)
    assert billed(1, 60, 14_000) == (60, 14_000)
    assert billed(60_001, 60, 14_000) == (120, 28_000)
    assert billed(1, 1, 100) == (1, 2)


def phones(town: Town) -> list[str]:
    plan = town.plan("p1", "12")
    return [t["account"] for stage in plan["stages"] for t in stage["targets"] if t["kind"] == "phone"]


def leg(call: str, phone_ms: int, at_ms: int) -> dict[str, Any]:
    return {
        "event": "phone", "call_id": call, "at_ms": at_ms, "panel": "p1", "dialled": "12", "stage": 1, "branch": 0,
        "account": "f12", "trunk": "carrier-a", "phone_ms": phone_ms, "confirmed": None,
    }  # fmt: skip


def test_only_phones_of_residents_in_allowed_countries_are_dialled(phone: Town) -> None:
    assert phones(phone) == ["f12"]
    stranger = {"account": "f13", "kind": "phone", "apartment_id": phone.apartment, "phone": "+79160000000"}
    phone.platform("POST", "/v1/accounts", stranger)
    assert phones(phone) == ["f12"]
    phone.platform("PATCH", f"/v1/companies/{phone.company}", {"phone_countries": "KZ,BY"})
    assert phones(phone) == []
    phone.platform("PATCH", f"/v1/companies/{phone.company}", {"phone_countries": "KZ,RU"})
    assert phones(phone) == ["f12"]


@pytest.mark.parametrize("field", ["phone_minutes", "apartment_phone_minutes"])
def test_minutes_that_are_used_up_come_back_next_month(
    phone: Town, context: Context, clock: Clock, database: CrmDatabase, field: str
) -> None:
    made(phone, "carrier-a", price_per_minute_micros=10_000)
    phone.platform("PATCH", f"/v1/companies/{phone.company}", {field: 3})
    recording = CallRecording(context)
    recording.record([entry(1, [leg("c1", 61_000, T)])])  # two minutes are charged
    assert phones(phone) == ["f12"]
    database.rows("DELETE FROM outbox")
    recording.record([entry(2, [leg("c2", 1_000, T + 1000)])])
    assert phones(phone) == []
    next_month_ms = month_of(clock.now)[1]
    due = [row[0] for row in database.rows("SELECT due_at_ms FROM outbox ORDER BY due_at_ms")]
    assert due[0] < 0, "now is now also where the clock is behind"
    assert due[1:] == [next_month_ms + later_ms for later_ms in AGAIN_MS]  # plans in the cache are dropped again then
    recording.record([entry(3, [leg("c3", 1_000, T + 2000)])])
    later = "SELECT count(*) FROM outbox WHERE due_at_ms > 0"
    assert database.row(later) == (len(AGAIN_MS),), "said by each phone, kept once"
    clock.now = next_month_ms
    assert phones(phone) == ["f12"]


@pytest.mark.parametrize("field", ["phone_minutes", "apartment_phone_minutes"])
def test_a_limit_that_is_lowered_below_what_was_used_ends_with_the_month(
    phone: Town, context: Context, clock: Clock, field: str
) -> None:
    delivery = Delivery(context, cache := FakeCache())
    made(phone, "carrier-a")
    CallRecording(context).record([entry(1, [leg("c1", 600_000, T)])])
    phone.platform("PATCH", f"/v1/companies/{phone.company}", {field: 3})
    next_month_ms = month_of(clock.now)[1]
    clock.now = next_month_ms - 60_000
    delivery.deliver()
    cache.tombstones.clear()
    cache.put_if_absent(("p1", "12"), plan := phone.plan("p1", "12"))
    assert [target["kind"] for stage in plan["stages"] for target in stage["targets"]] == ["handset", "app"]
    clock.now = next_month_ms
    delivery.deliver()
    assert cache.plans == {}
    assert phones(phone) == ["f12"]


def test_a_plan_of_last_month_by_a_host_whose_clock_is_behind_does_not_stay(
    phone: Town, context: Context, clock: Clock
) -> None:
    delivery = Delivery(context, cache := FakeCache())
    made(phone, "carrier-a")
    phone.platform("PATCH", f"/v1/companies/{phone.company}", {"apartment_phone_minutes": 3})
    CallRecording(context).record([entry(1, [leg("c1", 600_000, T)])])
    next_month_ms = month_of(clock.now)[1]
    clock.now = next_month_ms
    delivery.deliver()
    cache.tombstones.clear()
    clock.now = next_month_ms - 10_000
    cache.put_if_absent(("p1", "12"), phone.plan("p1", "12"))
    clock.now = next_month_ms + AGAIN_MS[1]
    delivery.deliver()
    assert cache.plans == {}


def test_the_statement_of_a_month_shares_the_cost_by_calls(phone: Town, context: Context) -> None:
    made(phone, "carrier-a", price_per_minute_micros=10_000)
    recording = CallRecording(context)
    recording.record([entry(1, [leg("c1", 61_000, T), leg("c2", 5_000, T)])])
    recording.record([entry(1, [leg("c1", 61_000, T)])])  # delivered twice, paid once
    statement = phone.platform("GET", f"/v1/companies/{phone.company}/phone-statement?month=2026-09")
    cost = {"currency": "USD", "calls": 2, "billed_s": 180, "cost_micros": 30_000}
    assert statement["trunks"] == [{"trunk": "carrier-a", **cost}]
    assert statement["apartments"] == [{"apartment_id": phone.apartment, **cost}]
    empty = phone.platform("GET", f"/v1/companies/{phone.company}/phone-statement?month=2026-08")
    assert empty["trunks"] == []
    phone.platform("GET", f"/v1/companies/{phone.company}/phone-statement?month=august", expect=422)


def test_a_desk_that_is_a_telephone_is_dialled_when_the_residents_minutes_are_used_up(phone: Town) -> None:
    phone.platform("PATCH", f"/v1/companies/{phone.company}", {"apartment_phone_minutes": 0})
    phone.platform("POST", "/v1/accounts", {"account": "lobby", "kind": "concierge", "company_id": phone.company})
    desk = {"account": "lobby", "name": "Duty phone", "phone": "+79160000099"}
    phone.platform("POST", "/v1/concierge-desks", desk)
    stages = [{"ring_timeout_s": 20, "targets": [{"kind": "phone"}, {"kind": "concierge"}]}]
    phone.platform("POST", "/v1/ring-plans", {"apartment_id": phone.apartment, "stages": stages})
    assert phones(phone) == ["lobby"]


def test_a_trunk_that_emergency_calls_go_over_is_not_removed(town: Town, database: CrmDatabase) -> None:
    line, spare = made(town, "city-line")["id"], made(town, "second-line")["id"]
    centre_id = centre(town, database)["id"]
    number_id = number(town, database, "+74951110001")["id"]
    problem = town.platform("DELETE", f"/v1/trunks/{line}", expect=409)
    assert "Riverside" in problem["detail"]
    town.platform("PATCH", f"/v1/emergency-centres/{centre_id}", {"trunks": []})
    town.platform("DELETE", f"/v1/trunks/{spare}")
    town.platform("DELETE", f"/v1/trunks/{line}", expect=409)
    town.platform("DELETE", f"/v1/city-numbers/{number_id}")
    town.platform("DELETE", f"/v1/trunks/{line}")
