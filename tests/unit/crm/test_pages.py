from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any

import pytest

from crm_api.openapi import document_text
from tests.unit.crm.conftest import Api
from tests.unit.crm.furnished import admin_of, furnish, furnish_platform
from tests.unit.crm.tenancy_table import Own

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town


@pytest.fixture
def houses(town: Town) -> list[str]:
    """Two of the town and eleven more; addresses sort unlike ids, and two companies share some."""
    town.platform("POST", "/v1/companies", {"name": "Others"})
    for number in range(11):
        company = town.company if number % 2 else town.company + 1
        town.platform("POST", "/v1/houses", {"company_id": company, "address": f"Street {(number * 7) % 11:02}"})
    return [house["address"] for house in town.platform("GET", "/v1/houses?limit=200")["items"]]


def walk(api: Api, path: str) -> list[Any]:
    """Return all items, page by page."""
    items: list[Any] = []
    cursor = ""
    while True:
        page = api("GET", path + cursor)
        items += page["items"]
        if page["next"] is None:
            return items
        cursor = f"&cursor={page['next']}"


@pytest.mark.parametrize("limit", [1, 3, 12, 13, 14])
@pytest.mark.parametrize("sort", ["id", "-id", "address", "-address"])
def test_pages_show_everything_once_in_order(town: Town, houses: list[str], limit: int, sort: str) -> None:
    items = walk(town.platform, f"/v1/houses?limit={limit}&sort={sort}")
    assert len(items) == len(houses) == 13
    column = sort.removeprefix("-")
    keys = [(item[column], item["id"]) for item in items]
    assert keys == sorted(keys, reverse=sort.startswith("-"))


def test_rows_of_equal_value_come_by_id(town: Town) -> None:
    entrance = town.platform("POST", "/v1/entrances", {"house_id": town.second_house, "number": 5})["id"]
    for _ in range(3):
        house = town.platform("POST", "/v1/houses", {"company_id": town.company, "address": f"Lane {_}"})["id"]
        town.platform("POST", "/v1/entrances", {"house_id": house, "number": 5})
    found = walk(town.platform, "/v1/entrances?limit=1&sort=-number")
    assert [e["number"] for e in found] == [5, 5, 5, 5, 1, 1]
    assert [e["id"] for e in found[:4]] == sorted((e["id"] for e in found[:4]), reverse=True)
    assert found[3]["id"] == entrance


def test_a_page_goes_on_where_it_was_while_rows_come_and_go(town: Town, houses: list[str]) -> None:
    first = town.platform("GET", "/v1/houses?limit=5&sort=address")
    assert len(houses) == 13
    town.platform("POST", "/v1/houses", {"company_id": town.company, "address": "Aaa"})
    town.platform("DELETE", f"/v1/houses/{next(i['id'] for i in first['items'] if i['address'] == 'Street 00')}")
    second = town.platform("GET", f"/v1/houses?limit=5&sort=address&cursor={first['next']}")
    addresses = [item["address"] for item in first["items"] + second["items"]]
    assert addresses == sorted(addresses)
    assert len(set(addresses)) == 10


@pytest.mark.parametrize(
    "other",
    [
        "/v1/houses?limit=2&sort=-id&cursor={}",
        "/v1/houses?limit=2&sort=address&cursor={}",
        "/v1/houses?limit=2&company_id=1&cursor={}",
        "/v1/houses?limit=2&address=Lenina%201&cursor={}",
        "/v1/entrances?limit=2&cursor={}",
        "/v1/houses?limit=2&cursor={}x",
        "/v1/houses?limit=2&cursor=%D1%8F",
        "/v1/houses?limit=2&cursor=AAAA",
    ],
)
def test_a_cursor_of_another_query_is_refused(town: Town, houses: list[str], other: str) -> None:
    assert len(houses) == 13
    cursor = town.platform("GET", "/v1/houses?limit=2")["next"]
    problem = town.platform("GET", other.format(cursor), expect=422)
    assert problem["type"] == "urn:entryphone:problem:wrong-cursor"
    assert problem["errors"][0]["field"] == "cursor"


def test_the_length_of_a_page_may_change_on_the_way(town: Town, houses: list[str]) -> None:
    cursor = town.platform("GET", "/v1/houses?limit=2")["next"]
    assert len(town.platform("GET", f"/v1/houses?limit=200&cursor={cursor}")["items"]) == len(houses) - 2


def test_a_cursor_that_was_tampered_with_is_refused(town: Town, houses: list[str]) -> None:
    assert len(houses) == 13
    cursor = town.platform("GET", "/v1/houses?limit=2")["next"]
    raw = base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4))
    for position in (
        b"[2,99]",
        b'["x",2]',
        b"[2]",
        b"{}",
        b"null",
        b"[" * 9000,
        b'[{"a":1},2]',
        b"[true,2]",
        b"[2.0,2]",
    ):
        forged = base64.urlsafe_b64encode(raw[:9] + position).decode().rstrip("=")
        problem = town.platform("GET", f"/v1/houses?limit=2&cursor={forged[:1000]}", expect=422)
        assert problem["type"] == "urn:entryphone:problem:wrong-cursor"


def test_a_cursor_of_another_company_is_refused(town: Town, houses: list[str], services: Services) -> None:
    assert len(houses) == 13
    ours = Api(town.client, services.tokens.create("ours", "operator", "Homes"))
    theirs = Api(town.client, services.tokens.create("theirs", "operator", "Others"))
    cursor = ours("GET", "/v1/houses?limit=2")["next"]
    ours("GET", f"/v1/houses?limit=2&cursor={cursor}")
    theirs("GET", f"/v1/houses?limit=2&cursor={cursor}", expect=422)
    town.platform("GET", f"/v1/houses?limit=2&cursor={cursor}", expect=422)


SORTED = [
    (path, sort)
    for path, methods in json.loads(document_text())["paths"].items()
    if "get" in methods and "{" not in path
    for parameter in methods["get"]["parameters"]
    if parameter["name"] == "sort"
    for sort in parameter["schema"].get("enum", ("id", "-id"))
]


def test_every_list_is_in_the_order_that_it_offers(town: Town, services: Services, database: CrmDatabase) -> None:
    """Two of each noun at least, whose names are in another order than their ids."""
    for name in ("zeta", "alpha"):
        company = town.platform("POST", "/v1/companies", {"name": name})["id"]
        own = Own(name, company, admin_of(town.client, database, services, name))
        furnish(town.client, own, database)
        furnish_platform(town.platform, own)
    long = 0
    for path, sort in SORTED:
        items = walk(town.platform, f"{path}?limit=2&sort={sort}")
        keys = [(item[sort.removeprefix("-")], item["id"]) for item in items]
        long += len(keys) > 1
        assert keys == sorted(keys, reverse=sort.startswith("-")), (path, sort)
        assert len({identity for _, identity in keys}) == len(keys), (path, sort)
    assert long > len(SORTED) * 3 / 4, "too few lists had anything to put in order"
