"""Whoever writes to several rows of which others write to some takes them in one order: else both may wait for ever."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.crm.lock_waits import done_beside

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town

CITY = "UPDATE cities SET name = name WHERE id = {city}"
CENTRE = """
UPDATE emergency_trunks SET trunk = trunk WHERE city_id = {city};
UPDATE emergency_centres SET name = name WHERE city_id = {city}
"""
TRUNKS = [{"trunk": "line"}]


@pytest.mark.parametrize("if_match", ["*", None], ids=["whatever is there", "what was read"])
@pytest.mark.parametrize("change", [None, {"number": "102"}, {"number": "102", "trunks": TRUNKS}])
def test_a_dispatch_centre_is_changed_while_its_city_is(
    town: Town, database: CrmDatabase, change: dict[str, Any] | None, if_match: str | None
) -> None:
    """The other is who gives the city another `dispatch_number`, or removes the centre."""
    new = {"city_id": 1, "name": "112", "number": "101", "trunks": TRUNKS}
    path = f"/v1/emergency-centres/{town.platform('POST', '/v1/emergency-centres', new)['id']}"
    read = town.client.simulate_get(path, headers=town.platform._headers)
    headers = {**town.platform._headers, "If-Match": if_match or read.headers["ETag"]}

    def done() -> int:
        method = "DELETE" if change is None else "PATCH"
        answer = town.client.simulate_request(method, path, json=change, headers=headers)
        return int(answer.status_code)

    assert done_beside(database, CITY.format(city=1), CENTRE.format(city=1), done) in {200, 204}


def test_of_two_who_give_a_city_its_dispatch_centre_one_is_told(town: Town, database: CrmDatabase) -> None:
    new = {"city_id": 1, "name": "112", "number": "101"}
    centre = """
    INSERT INTO emergency_centres (city_id, name, number, records_calls, keep_s, low_percent)
    VALUES (1, 'Duty', '102', FALSE, 86400, 20)
    """
    done_beside(database, CITY.format(city=1), centre, lambda: town.platform("POST", "/v1/emergency-centres", new, 409))
    assert town.platform("GET", "/v1/cities/1")["dispatch_number"] == "102"
