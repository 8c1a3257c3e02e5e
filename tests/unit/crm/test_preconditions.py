from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town

NOUNS = {
    "cities": {"name": "Changed"},
    "companies": {"name": "Changed"},
    "houses": {"address": "Changed"},
    "entrances": {"number": 7},
    "apartments": {"number": 77},
    "accounts": {"enabled": False},
    "panels": {"name": "Changed"},
}


def read(town: Town, path: str) -> Any:
    return town.client.simulate_get(path, headers=town.platform._headers)


def address(town: Town, noun: str) -> str:
    row = town.platform("GET", f"/v1/{noun}")["items"][0]
    return f"/v1/{noun}/{row['account' if noun == 'accounts' else 'id']}"


@pytest.mark.parametrize(("noun", "change"), NOUNS.items())
def test_a_stale_change_is_refused_and_changes_nothing(town: Town, noun: str, change: dict[str, Any]) -> None:
    path = address(town, noun)
    etag = read(town, path).headers["ETag"]
    changed = town.platform("PATCH", path, change, if_match=etag)
    now = read(town, path)
    assert now.json == changed
    assert now.headers["ETag"] != etag
    problem = town.platform("PATCH", path, change, 412, if_match=etag)
    assert problem["type"] == "urn:entryphone:problem:stale"
    headers = {**town.platform._headers, "If-Match": etag}
    assert town.client.simulate_delete(path, headers=headers).status_code == 412
    assert read(town, path).json == now.json
    town.platform("PATCH", path, change, if_match=f'"other", {now.headers["ETag"]}')


def test_a_citys_number_that_its_centre_changes_is_a_change_of_the_city(town: Town) -> None:
    path = address(town, "cities")
    etag = read(town, path).headers["ETag"]

    def is_another(number: str | None) -> str:
        now = read(town, path)
        assert now.json["dispatch_number"] == number
        assert now.headers["ETag"] != etag
        town.platform("PATCH", path, {"name": "Stale"}, 412, if_match=etag)
        return str(now.headers["ETag"])

    city = int(path.rpartition("/")[2])
    centre = town.platform("POST", "/v1/emergency-centres", {"city_id": city, "name": "112", "number": "101"})["id"]
    etag = is_another("101")
    town.platform("PATCH", f"/v1/emergency-centres/{centre}", {"name": "Duty", "number": "101"})
    assert read(town, path).headers["ETag"] == etag, "the city shows nothing of that"
    town.platform("PATCH", f"/v1/emergency-centres/{centre}", {"number": "102"})
    etag = is_another("102")
    changed = town.platform("PATCH", path, {"dispatch_number": "103", "name": "Lakeside"}, if_match=etag)
    assert (changed["dispatch_number"], changed["name"]) == ("103", "Lakeside")
    etag = is_another("103")
    town.platform("DELETE", f"/v1/emergency-centres/{centre}")
    is_another(None)


def test_a_change_of_parts_is_a_change_of_the_whole(town: Town) -> None:
    path = address(town, "panels")
    etag = read(town, path).headers["ETag"]
    town.platform("PATCH", path, {"doors": [{"method": "dtmf", "dtmf": "3"}]}, if_match=etag)
    town.platform("PATCH", path, {"doors": [{"method": "dtmf", "dtmf": "4"}]}, 412, if_match=etag)


def test_a_change_says_what_it_changes(town: Town) -> None:
    problem = town.platform("PATCH", address(town, "houses"), {"address": "x"}, 428, if_match=None)
    assert problem["type"] == "urn:entryphone:problem:precondition-required"
    assert "If-Match" in problem["detail"]


@pytest.mark.parametrize("header", ["1-1", 'W/"1-1"', '"', "", '"1-1" "1-2"'])
def test_what_is_no_etag_is_told(town: Town, header: str) -> None:
    headers = {**town.platform._headers, "If-Match": header}
    answer = town.client.simulate_patch(address(town, "houses"), json={"address": "x"}, headers=headers)
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "If-Match"


def test_an_account_made_anew_under_its_old_name_is_another(town: Town) -> None:
    etag = read(town, "/v1/accounts/h12").headers["ETag"]
    town.platform("DELETE", "/v1/accounts/h12")
    town.platform("POST", "/v1/accounts", {"account": "h12", "kind": "handset", "apartment_id": town.apartment})
    town.platform("PATCH", "/v1/accounts/h12", {"enabled": False}, 412, if_match=etag)


def test_of_two_operators_at_once_one_is_told(town: Town, database: CrmDatabase) -> None:
    path = address(town, "houses")
    headers = {**town.platform._headers, "If-Match": read(town, path).headers["ETag"]}
    statuses: list[int] = []
    ready = threading.Barrier(4)

    def change(text: str) -> None:
        ready.wait()
        statuses.append(town.client.simulate_patch(path, json={"address": text}, headers=headers).status_code)
        database.forget_connection()

    threads = [threading.Thread(target=change, args=(f"Operator {n}",)) for n in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200, 412, 412, 412]
