from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import FakePanelDriver, Town


def press(town: Town, panel: str, dialled: str, account: str) -> Any:
    body = {"call_id": "call-1", "panel": panel, "dialled": dialled, "account": account, "key": "#"}
    return town.service("POST", "/v1/door-openings", body)


def records(town: Town) -> list[tuple[str, str]]:
    rows = town.platform("GET", "/v1/access-records")["items"]
    return [(row["account"], row["result"]) for row in rows]


def test_a_dtmf_door_is_granted_and_recorded(town: Town) -> None:
    answer = press(town, "p1", "12", "h12")
    assert answer["result"] == "granted"
    assert answer["door"] == {"door_id": 1, "method": "dtmf", "dtmf": "7"}
    assert records(town) == [("h12", "granted")]


def test_an_http_door_is_opened_with_decrypted_credentials(
    town: Town, driver: FakePanelDriver, database: CrmDatabase
) -> None:
    assert press(town, "p2", "2112", "a12")["result"] == "opened"
    access, output = driver.opened[0]
    assert (access.address, access.user, access.password, output) == ("127.0.1.2", "admin", "secret", 2)
    stored = database.row("SELECT credentials FROM panels WHERE name = 'Gate'")
    assert stored is not None
    assert "secret" not in stored[0]


def test_an_opening_that_the_panel_refused_is_not_reported_as_opened(town: Town, driver: FakePanelDriver) -> None:
    driver.refusal = "the panel answered 500"
    answer = press(town, "p2", "2112", "a12")
    assert (answer["result"], answer["reason"]) == ("failed", "the panel answered 500")
    assert records(town) == [("a12", "failed")]


def test_who_may_not_open_is_refused_and_recorded(town: Town, driver: FakePanelDriver) -> None:
    town.platform("PATCH", "/v1/accounts/a12", {"enabled": False})
    stages = [{"ring_timeout_s": 10, "targets": [{"kind": "all"}, {"account": "h13"}]}]
    town.platform("POST", "/v1/ring-plans", {"apartment_id": town.apartment, "stages": stages})
    for panel, dialled, account in (
        ("p2", "2112", "a12"),  # disabled
        ("p2", "2112", "h13"),  # the neighbour may talk only
        ("p2", "2112", "nobody"),
        ("p2", "99", "h12"),
        ("p2", "112", "dispatch"),
        ("nope", "12", "h12"),
    ):
        answer = press(town, panel, dialled, account)
        assert answer["result"] == "refused", (panel, dialled, account)
        assert "dtmf" not in (answer["door"] or {})
    assert driver.opened == []
    assert {result for _, result in records(town)} == {"refused"}
    assert len(records(town)) == 6


def test_an_operator_opens_an_http_door_only(town: Town, driver: FakePanelDriver) -> None:
    panels = {p["account"]: p for p in town.platform("GET", "/v1/panels")["items"]}
    gate = panels["p2"]["doors"][0]["id"]
    assert town.platform("POST", f"/v1/doors/{gate}/open")["result"] == "opened"
    driver.refusal = "no"
    town.platform("POST", f"/v1/doors/{gate}/open", expect=502)
    town.platform("POST", f"/v1/doors/{panels['p1']['doors'][0]['id']}/open", expect=409)
    assert [row["opened_by"] for row in town.platform("GET", "/v1/access-records")["items"]] == ["test"] * 3


def test_replaced_doors_keep_their_id(town: Town) -> None:
    panel = next(p for p in town.platform("GET", "/v1/panels")["items"] if p["account"] == "p1")
    doors = [{"method": "dtmf", "dtmf": "9"}, {"method": "http", "output": 2}]
    changed = town.platform("PATCH", f"/v1/panels/{panel['id']}", {"doors": doors})
    assert changed["doors"][0]["id"] == panel["doors"][0]["id"]
    assert town.plan("p1", "12")["door"]["dtmf"] == "9"
