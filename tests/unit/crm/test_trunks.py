from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.call_record import billed
from crm_api.domain.passwords import ha1

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town


def made(town: Town, name: str, **more: Any) -> Any:
    return town.platform("POST", "/v1/trunks", {"name": name, "address": f"{name}.example", **more})


def trunks_of(town: Town) -> list[tuple[str, str | None]]:
    return [(trunk["trunk"], trunk["caller_number"]) for trunk in town.plan("p1", "12")["trunks"]]


@pytest.fixture
def phone(town: Town) -> Town:
    """The apartment has a phone."""
    body = {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": "+79161234567"}
    town.platform("POST", "/v1/accounts", body)
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
    body = {"name": "twilio", "kind": "twilio_voice", "username": "AC0", "password": "token", "routes": [{}]}
    phone.platform("POST", "/v1/trunks", body)
    assert database.rows("SELECT name FROM kamailio_trunks") == []
    assert phone.plan("p1", "12")["trunks"][0]["kind"] == "twilio_voice"


@pytest.mark.parametrize(
    "body",
    [
        {"name": "a-b", "address": None},
        {"name": "a-b", "address": "x", "kind": "twilio_voice"},
        {"name": "a-b", "kind": "twilio_voice"},
        {"name": "a-b", "address": "x", "password": "p"},
        {"name": "a-b", "address": "x", "routes": [{"city_id": 999}]},
        {"name": "A B", "address": "x"},
    ],
)
def test_what_cannot_work_is_refused(town: Town, body: dict[str, Any]) -> None:
    town.platform("POST", "/v1/trunks", body, expect=422)


def test_every_step_that_has_begun_is_paid() -> None:
    assert billed(0, 60, 14_000) == (0, 0)
    assert billed(1, 60, 14_000) == (60, 14_000)
    assert billed(60_001, 60, 14_000) == (120, 28_000)
    assert billed(1, 1, 100) == (1, 2)
