from __future__ import annotations

import json
import sqlite3
from typing import TYPE_CHECKING, Any

import peewee
import pytest
import structlog

from crm_api.services.call_recording import CallRecording

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town
    from tests.unit.crm.fakes import FakePanelDriver


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
    assert access.company_id == town.company
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


@pytest.mark.parametrize(("panel", "result"), [("p1", "granted"), ("p2", "opened")])
def test_who_looks_through_a_panel_and_opens_is_recorded_there(town: Town, panel: str, result: str) -> None:
    press(town, "a12", panel, "a12")
    (found,) = town.platform("GET", f"/v1/access-records?panel={panel}")["items"]
    (at,) = town.platform("GET", f"/v1/panels?account={panel}")["items"]
    assert (found["result"], found["account"], found["panel_id"]) == (result, "a12", at["id"])
    assert (found["apartment_id"], found["house_id"]) == (town.apartment, town.house)


def test_who_looks_where_he_may_not_is_recorded_as_himself(town: Town) -> None:
    """The panel of others has no part in it."""
    elsewhere = town.platform("POST", "/v1/companies", {"name": "Others"})["id"]
    town.platform("POST", "/v1/accounts", {"account": "p9", "kind": "panel", "company_id": elsewhere})
    house = town.platform("POST", "/v1/houses", {"company_id": elsewhere, "address": "Sadovaya 9"})["id"]
    town.platform("POST", "/v1/panels", {"account": "p9", "name": "Theirs", "places": [{"house_id": house}]})
    for panel in ("p9", "nope"):
        press(town, "a12", panel, "a12")
    found = town.platform("GET", f"/v1/access-records?apartment_id={town.apartment}")["items"]
    assert [(record["panel"], record["panel_id"], record["result"]) for record in found] == [
        ("a12", None, "refused")
    ] * 2


def test_replaced_doors_keep_their_id(town: Town) -> None:
    panel = next(p for p in town.platform("GET", "/v1/panels")["items"] if p["account"] == "p1")
    doors = [{"method": "dtmf", "dtmf": "9"}, {"method": "http", "output": 2}]
    changed = town.platform("PATCH", f"/v1/panels/{panel['id']}", {"doors": doors})
    assert changed["doors"][0]["id"] == panel["doors"][0]["id"]
    assert town.plan("p1", "12")["door"]["dtmf"] == "9"


@pytest.fixture
def full_once_open(driver: FakePanelDriver, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch) -> None:
    """The disk becomes full in the moment in which a door opens."""
    open_door = driver.open_door

    def refuse(*_: Any) -> None:
        raise peewee.OperationalError("database or disk is full")

    def opened(*arguments: Any) -> None:
        open_door(*arguments)
        monkeypatch.setattr(database.peewee, "begin", refuse)

    monkeypatch.setattr(driver, "open_door", opened)


@pytest.mark.usefixtures("full_once_open")
def test_a_door_that_opened_is_told_as_opened_when_nothing_can_be_written(
    town: Town, driver: FakePanelDriver, context: Context, monkeypatch: pytest.MonkeyPatch
) -> None:
    with structlog.testing.capture_logs() as logged:
        answer = press(town, "p2", "2112", "a12")
    assert (answer["result"], answer["access_record_id"], len(driver.opened)) == ("opened", None, 1)
    (told,) = [line for line in logged if line["log_level"] == "error"]
    assert (told["event"], told["error"]) == ("door not recorded", "database or disk is full")
    assert (told["result"], told["account"], told["call_id"]) == ("opened", "a12", "call-1")
    monkeypatch.undo()  # there is room again, and FastAGI's event comes
    event = {"event": "door", "call_id": "call-1", "at_ms": context.now_ms(), "account": "a12", "panel": "p2",
             "door_id": 2, "key": "#", "method": "http", "result": "opened", "reason": ""}  # fmt: skip
    CallRecording(context).record([("1-1", json.dumps([event]).encode())])
    assert records(town) == [("a12", "opened")]


@pytest.mark.usefixtures("full_once_open")
def test_an_operator_is_told_that_the_door_opened_when_nothing_can_be_written(town: Town) -> None:
    panels = {p["account"]: p for p in town.platform("GET", "/v1/panels")["items"]}
    told = town.platform("POST", f"/v1/doors/{panels['p2']['doors'][0]['id']}/open")
    assert (told["result"], told["access_record_id"]) == ("opened", None)


def test_an_opening_waits_for_another_writer_once(
    town: Town, driver: FakePanelDriver, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twice the longest wait, for the panel and for the record, is more than FastAGI waits for the answer."""
    if database.dialect == "postgresql":
        pytest.skip("one row is locked there, not the whole database")
    open_door = driver.open_door
    writer = sqlite3.connect(database.peewee.database, isolation_level=None)

    def opened(*arguments: Any) -> None:
        open_door(*arguments)
        writer.execute("BEGIN IMMEDIATE")
        monkeypatch.setattr("crm_api.tables.database.SQLITE_BUSY_MS", 300)
        database.rows("PRAGMA busy_timeout = 300")
        monkeypatch.setattr(database.peewee, "_timeout", 0.3)  # of a connection that is opened anew

    waited_ms: list[int] = []
    begin = database.peewee.begin

    def begun(*arguments: Any) -> None:
        try:
            begin(*arguments)
        except peewee.OperationalError:
            waited_ms.append(database.rows("PRAGMA busy_timeout")[0][0])
            raise

    monkeypatch.setattr(driver, "open_door", opened)
    monkeypatch.setattr(database.peewee, "begin", begun)
    answer = press(town, "p2", "2112", "a12")
    writer.close()
    assert (answer["result"], answer["access_record_id"]) == ("opened", None)
    assert sum(waited_ms) == 300, waited_ms
