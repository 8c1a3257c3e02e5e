from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.domain.inputs.keys import KeyExport
from crm_api.services.context import Tenant

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town


def key(town: Town, number: str, expect: int | None = None, **owner: Any) -> Any:
    return town.platform("POST", "/v1/keys", {"number": number, **(owner or {"apartment_id": town.apartment})}, expect)


def test_a_key_is_one_however_it_is_written(town: Town) -> None:
    made = key(town, "198,34988")
    assert (made["number"], made["decimal"], made["wiegand"]) == ("C688AC", "0013011116", "198,34988")
    assert made["scope"] == "apartment"
    for same in ("0013011116", "00C688AC", "00-C6-88-AC"):
        problem = key(town, same, 409)
        assert problem["errors"][0]["field"] == "number"
        assert town.platform("GET", f"/v1/keys?number={same}")["items"] == [made]


def test_a_key_has_exactly_one_owner(town: Town) -> None:
    key(town, "0000000101", entrance_id=town.entrance)
    key(town, "0000000102", house_id=town.house)
    assert key(town, "0000000103", company_id=town.company)["scope"] == "company"
    town.platform("POST", "/v1/keys", {"number": "0000000104"}, 422)
    key(town, "0000000105", 422, house_id=town.house, apartment_id=town.apartment)
    key(town, "0000000106", 404, resident_id=999)


def test_a_key_goes_to_another_owner_whole(town: Town) -> None:
    made = key(town, "0000000101", house_id=town.house)
    path = f"/v1/keys/{made['id']}"
    bound = town.platform("PATCH", path, {"apartment_id": town.apartment})
    assert (bound["scope"], bound["apartment_id"], bound["house_id"]) == ("apartment", town.apartment, None)
    town.platform("PATCH", path, {"apartment_id": town.apartment, "house_id": town.house}, 422)
    assert town.platform("PATCH", path, {"enabled": False, "note": "lost"})["scope"] == "apartment"


def test_a_key_becomes_one_of_the_whole_company_and_one_of_a_house_again(town: Town) -> None:
    made = key(town, "0000000101", apartment_id=town.apartment)
    path = f"/v1/keys/{made['id']}"
    bound = town.platform("PATCH", path, {"company_id": town.company})
    assert (bound["scope"], bound["apartment_id"], bound["company_id"]) == ("company", None, town.company)
    town.platform("PATCH", path, {"company_id": town.company, "house_id": town.house}, 422)
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    town.platform("PATCH", path, {"company_id": other}, 404)
    assert town.platform("PATCH", path, {"house_id": town.house})["scope"] == "house"


def test_no_owner_of_another_company(town: Town) -> None:
    made = key(town, "0000000101", house_id=town.house)
    other = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    strange = town.platform("POST", "/v1/houses", {"company_id": other, "address": "x"})["id"]
    town.platform("PATCH", f"/v1/keys/{made['id']}", {"house_id": strange}, 404)
    assert key(town, "0000000101", house_id=strange)["company_id"] == other


@pytest.mark.parametrize("number", ["12345678", "ключ", "0000000000", "' OR 1=1 --", "=1+1"])
def test_what_is_no_number_names_the_remedy(town: Town, number: str) -> None:
    problem = key(town, number, 422)
    assert problem["errors"][0]["field"] == "number"
    assert problem["errors"][0]["value"] == number
    query = f"/v1/keys?number={number.replace('=', '%3D').replace(' ', '%20')}"
    if number == "12345678":  # decimal or hexadecimal
        assert town.platform("GET", query)["items"] == []
    else:
        town.platform("GET", query, expect=422)


def test_a_key_is_found_by_its_number_as_it_is_shown(town: Town) -> None:
    """Digits alone may be decimal or hexadecimal; the operator need not know."""
    made = town.platform("POST", "/v1/keys", {"number": "12345678", "notation": "hex", "apartment_id": town.apartment})
    assert made["number"] == "12345678"
    other = town.platform(
        "POST", "/v1/keys", {"number": "12345678", "notation": "decimal", "apartment_id": town.apartment}
    )
    assert town.platform("GET", "/v1/keys?number=12345678")["items"] == [made, other]
    for shown in (made["number"], made["decimal"]):
        assert made in town.platform("GET", f"/v1/keys?number={shown}")["items"]


def exported(town: Town, query: str) -> list[list[str]]:
    answer = town.client.simulate_get(f"/v1/keys/export{query}", headers=town.platform._headers)
    assert answer.status_code == 200
    assert answer.headers["content-type"] == "text/csv; charset=utf-8"
    return [line.split(",") for line in answer.text.splitlines()]


def test_keys_are_exported_in_a_makers_notation(town: Town) -> None:
    key(town, "C688AC")
    town.platform("PATCH", "/v1/keys/1", {"note": "=HYPERLINK(1)"})
    header, row = exported(town, "")
    assert header[0] == "number"
    assert row == [
        "00C688AC", "apartment", "Lenina 1", "1", "12", "", "", "yes", "'=HYPERLINK(1)", "hex", "high_first",
    ]  # fmt: skip
    assert exported(town, "?notation=decimal&byte_order=low_first")[1][0] == "2894644736"
    assert exported(town, "?house_id=2")[1:] == []


def test_a_panel_gets_the_keys_that_open_there(town: Town) -> None:
    key(town, "0000000101", apartment_id=town.apartment)
    key(town, "0000000102", apartment_id=town.neighbour)
    key(town, "0000000103", house_id=town.second_house)
    key(town, "0000000104", entrance_id=town.entrance)
    key(town, "0000000105", company_id=town.company)
    off = key(town, "0000000106", apartment_id=town.apartment)
    town.platform("PATCH", f"/v1/keys/{off['id']}", {"enabled": False})
    numbers = [row[0] for row in exported(town, "?panel_id=1&notation=decimal")[1:]]
    assert numbers == ["0000000101", "0000000102", "0000000104", "0000000105"]
    gate = [row[0] for row in exported(town, "?panel_id=2&notation=decimal")[1:]]
    assert gate == ["0000000101", "0000000102", "0000000103", "0000000104", "0000000105"]
    kind = {"company_id": town.company, "name": "debt", "stops_keys": True}
    kind_id = town.platform("POST", "/v1/block-kinds", kind)["id"]
    town.platform("POST", "/v1/blocks", {"apartment_id": town.neighbour, "kind_id": kind_id, "reason": "owes"})
    numbers = [row[0] for row in exported(town, "?panel_id=1&notation=decimal")[1:]]
    assert numbers == ["0000000101", "0000000104", "0000000105"]


def test_a_great_export_comes_in_pieces(town: Town, services: Services) -> None:
    rows = [(town.company, f"{number:06X}", "company", True, "", 1) for number in range(1, 2501)]
    database = services.keys.database
    with database.transaction():
        database.many(
            "INSERT INTO rfid_keys (company_id, number, scope, enabled, note, created_at_ms) VALUES (?, ?, ?, ?, ?, ?)",
            rows,
        )
    pieces = list(services.keys.exported(Tenant.of(town.company), KeyExport()))
    assert len(pieces) == 4
    assert sum(piece.count("\r\n") for piece in pieces) == 2501
    assert list(services.keys.exported(Tenant.of(town.company + 1), KeyExport()))[1:] == []
