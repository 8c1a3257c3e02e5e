from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from crm_api.services.context import Tenant

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town


def group(town: Town, kind: str, *members: int) -> Any:
    made = town.platform("POST", "/v1/groups", {"company_id": town.company, "kind": kind, "name": f"All {kind}"})
    assert made["members"] == 0
    return town.platform("POST", f"/v1/groups/{made['id']}/members", {"add": list(members)}) if members else made


def apartments(town: Town, group_id: int, query: str = "") -> list[tuple[int, int]]:
    page = town.platform("GET", f"/v1/groups/{group_id}/apartments{query}")
    return [(a["house_id"], a["number"]) for a in page["items"]]


def panels(town: Town) -> dict[str, int]:
    return {panel["account"]: panel["id"] for panel in town.platform("GET", "/v1/panels")["items"]}


def test_a_group_stands_for_the_apartments_of_its_houses(town: Town) -> None:
    made = group(town, "houses", town.house)
    assert made["members"] == 1
    assert apartments(town, made["id"]) == [(town.house, 12), (town.house, 13)]
    town.platform("POST", f"/v1/groups/{made['id']}/members", {"add": [town.second_house]})
    assert len(apartments(town, made["id"])) == 3


def test_a_group_stands_for_the_apartments_behind_its_panels(town: Town, services: Services) -> None:
    at_entrance = group(town, "panels", panels(town)["p1"])["id"]
    assert apartments(town, at_entrance) == [(town.house, 12), (town.house, 13)]
    town.platform("POST", f"/v1/groups/{at_entrance}/members", {"add": [panels(town)["p2"]]})
    everybody = [(town.house, 12), (town.house, 13), (town.second_house, 12)]
    assert apartments(town, at_entrance) == everybody, "each once, though two panels reach it"
    assert len(services.group_apartments.ids(Tenant(None), at_entrance)) == 3
    first = town.platform("GET", f"/v1/groups/{at_entrance}/apartments?limit=2")
    assert len(first["items"]) == 2
    assert apartments(town, at_entrance, f"?limit=2&cursor={first['next']}") == everybody[2:]


def test_members_go_in_and_out_and_what_is_so_already_stays_so(town: Town) -> None:
    made = group(town, "apartments", town.apartment, town.neighbour, town.apartment)
    path = f"/v1/groups/{made['id']}"
    assert made["members"] == 2
    changed = town.platform("POST", f"{path}/members", {"add": [town.neighbour], "remove": [town.apartment]})
    assert changed["members"] == 1
    assert changed["version"] > made["version"]
    members = town.platform("GET", f"{path}/members")["items"]
    assert [m["apartment_id"] for m in members] == [town.neighbour]
    town.platform("DELETE", f"/v1/apartments/{town.neighbour}")
    assert town.platform("GET", path)["members"] == 0
    town.platform("DELETE", path)
    town.platform("GET", f"{path}/members", expect=404)


@pytest.mark.parametrize(
    ("body", "fields"),
    [
        ({}, {"body"}),
        ({"add": [1], "remove": [1]}, {"body"}),
        ({"add": ["1"]}, {"add.0"}),
        ({"add": [0]}, {"add.0"}),
        ({"add": list(range(1, 10_002))}, {"add"}),
        ({"ids": [1]}, {"ids", "body"}),
    ],
)
def test_what_is_wrong_with_members_is_named(town: Town, body: Any, fields: set[str]) -> None:
    path = f"/v1/groups/{group(town, 'houses')['id']}/members"
    assert {error["field"] for error in town.platform("POST", path, body, 422)["errors"]} == fields


def test_one_wrong_id_refuses_all(town: Town) -> None:
    made = group(town, "houses")
    problem = town.platform("POST", f"/v1/groups/{made['id']}/members", {"add": [town.house, 998, 999]}, 422)
    assert [(e["field"], e["value"]) for e in problem["errors"]] == [("add.1", 998), ("add.2", 999)]
    assert town.platform("GET", f"/v1/groups/{made['id']}") == made


def test_a_name_is_taken_once_in_a_company(town: Town) -> None:
    group(town, "houses")
    again = {"company_id": town.company, "kind": "panels", "name": "All houses"}
    assert town.platform("POST", "/v1/groups", again, 409)["errors"][0]["field"] == "name"
