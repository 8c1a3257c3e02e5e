from __future__ import annotations

from typing import TYPE_CHECKING, Any

import peewee
import pytest

from crm_api.adapters.panel_drivers import PanelRefusedError, PanelSilentError

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town
    from tests.unit.crm.fakes import FakePanelDriver

CODE, WRONG = "40719", "11111"


@pytest.fixture
def code(town: Town) -> int:
    town.platform("PATCH", f"/v1/companies/{town.company}", {"code_tries": 3, "code_lock_s": 60})
    body = {"entrance_id": town.entrance, "code": CODE, "apartment_id": town.apartment}
    return int(town.platform("POST", "/v1/access-codes", body)["id"])


def typed(town: Town, code: str, panel: str = "p1") -> Any:
    return town.service("POST", "/v1/code-entries", {"call_id": "c@1", "panel": panel, "code": code})


def test_a_right_code_is_granted_and_recorded(town: Town, code: int) -> None:
    told = typed(town, CODE)
    assert (told["result"], told["door"]["dtmf"], told["locked_until_ms"]) == ("granted", "7", None)
    record = town.platform("GET", f"/v1/access-records?access_code_id={code}")["items"][0]
    assert record["id"] == told["access_record_id"]
    assert (record["apartment_id"], record["result"]) == (town.apartment, "granted")


def test_a_door_with_http_is_opened_at_once(town: Town, driver: FakePanelDriver) -> None:
    gate = town.platform("POST", "/v1/gates", {"name": "Yard", "houses": [town.house]})["id"]
    town.platform("PATCH", "/v1/panels/2", {"gate_id": gate})
    town.platform("POST", "/v1/access-codes", {"gate_id": gate, "code": CODE})
    assert typed(town, CODE, "p2")["result"] == "opened"
    assert len(driver.opened) == 1


def test_too_many_wrong_codes_lock_the_panel_and_its_entrance_and_no_other(
    town: Town, clock: Clock, code: int, services: Services
) -> None:
    del code
    assert [typed(town, WRONG)["locked_until_ms"] for _ in range(2)] == [None, None]
    until_ms = typed(town, WRONG)["locked_until_ms"]
    assert until_ms is not None
    locked = typed(town, CODE)
    assert (locked["result"], locked["locked_until_ms"]) == ("refused", until_ms)
    # Another panel of the same entrance takes none either; the gate of the house does.
    account = town.platform("POST", "/v1/accounts", {"kind": "panel", "account": "p3", "company_id": town.company})
    places = [{"entrance_id": town.entrance}]
    town.platform("POST", "/v1/panels", {"account": account["account"], "name": "Back door", "places": places})
    assert typed(town, WRONG, "p3")["locked_until_ms"] == until_ms
    assert typed(town, WRONG, "p2")["locked_until_ms"] is None
    clock.now = until_ms
    assert typed(town, CODE)["result"] == "granted"
    assert services.code_locks.database.rows("SELECT id FROM code_locks WHERE panel_id = 1") == []


def test_tries_while_it_is_locked_do_not_lengthen_the_lock(town: Town, clock: Clock, code: int) -> None:
    del code
    until_ms = [typed(town, WRONG)["locked_until_ms"] for _ in range(3)][-1]
    clock.now += 30_000
    assert {typed(town, WRONG)["locked_until_ms"] for _ in range(5)} == {until_ms}


def test_a_lock_does_not_last_for_the_hour_by_which_the_clock_is_put_back(town: Town, clock: Clock, code: int) -> None:
    assert code
    clock.now += 7_200_000
    for _ in range(3):
        typed(town, WRONG)
    clock.now -= 3_600_000
    assert typed(town, CODE)["result"] == "refused", "nobody is let in because the clock was set"
    clock.now += 59_000
    assert typed(town, CODE)["result"] == "refused"
    clock.now += 1_000
    assert typed(town, CODE)["result"] == "granted"


def test_a_right_code_and_a_long_pause_begin_a_new_row(town: Town, clock: Clock, code: int) -> None:
    del code
    for _ in range(2):
        assert [typed(town, WRONG)["locked_until_ms"] for _ in range(2)] == [None, None]
        assert typed(town, CODE)["result"] == "granted"
    assert [typed(town, WRONG)["locked_until_ms"] for _ in range(2)] == [None, None]
    clock.now += 61_000
    assert typed(town, WRONG)["locked_until_ms"] is None


def test_the_office_sees_a_lock_and_takes_it_off(town: Town, code: int) -> None:
    del code
    for _ in range(3):
        typed(town, WRONG)
    locks = town.platform("GET", "/v1/code-locks")["items"]
    assert sorted(lock["locked_until_ms"] is not None for lock in locks) == [True, True]
    for lock in locks:
        town.platform("DELETE", f"/v1/code-locks/{lock['id']}")
    assert typed(town, CODE)["result"] == "granted"


def test_a_panel_that_nobody_knows_opens_nothing(town: Town) -> None:
    assert typed(town, CODE, "nobody")["result"] == "refused"


def test_no_code_is_kept_in_clear(town: Town, code: int, services: Services) -> None:
    del code
    typed(town, CODE)
    typed(town, WRONG)
    database = services.code_locks.database
    for table in ("access_records", "code_locks", "audit_log", "access_codes"):
        for row in database.rows(f"SELECT * FROM {table}"):  # noqa: S608 - constants
            assert not any(CODE in str(value) or WRONG in str(value) for value in row), (table, row)


@pytest.fixture
def single_use(town: Town) -> int:
    """A code that opens once, at the entrance, whose door is now opened over HTTP."""
    change = {"driver": "generic", "address": "127.0.1.1", "doors": [{"method": "http", "output": 1}]}
    town.platform("PATCH", "/v1/panels/1", change)
    body = {"entrance_id": town.entrance, "code": CODE, "single_use": True}
    return int(town.platform("POST", "/v1/access-codes", body)["id"])


def shown(town: Town, code: int) -> tuple[Any, Any]:
    document = town.platform("GET", f"/v1/access-codes/{code}")
    return document["ended_at_ms"], document["end_reason"]


def test_a_code_is_not_used_up_while_the_door_stays_shut(town: Town, driver: FakePanelDriver, single_use: int) -> None:
    version = town.platform("GET", f"/v1/access-codes/{single_use}")["version"]
    driver.refusal = "the panel answered 503"
    assert [typed(town, CODE)["result"] for _ in range(2)] == ["failed", "failed"]
    assert shown(town, single_use) == (None, None)
    assert town.platform("GET", f"/v1/access-codes/{single_use}")["version"] == version + 4
    driver.refusal = None
    assert typed(town, CODE)["result"] == "opened"
    assert shown(town, single_use)[1] == "used"
    again = typed(town, CODE)
    assert (again["result"], again["reason"], len(driver.opened)) == ("refused", "nobody knows this code", 1)


def test_a_code_typed_where_no_door_is_or_no_address_stays(town: Town, single_use: int) -> None:
    town.platform("PATCH", "/v1/panels/1", {"address": None})
    assert typed(town, CODE)["result"] == "failed"
    town.platform("PATCH", "/v1/panels/1", {"doors": []})
    told = typed(town, CODE)
    assert (told["result"], told["reason"]) == ("refused", "this panel opens no door")
    assert shown(town, single_use) == (None, None)


def test_a_code_stays_used_where_the_door_may_have_opened(
    town: Town, driver: FakePanelDriver, single_use: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def silent(access: Any, output: int, *_: Any) -> None:
        raise PanelSilentError(f"the panel at {access.address} did not answer {output}")

    monkeypatch.setattr(driver, "open_door", silent)
    told = typed(town, CODE)
    assert told["result"] == "failed"
    assert "may have opened" in told["reason"]
    assert shown(town, single_use)[1] == "used"


def test_a_second_entry_while_the_door_is_asked_gets_nothing_and_takes_nothing(
    town: Town, driver: FakePanelDriver, single_use: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever comes of the first entry, the second one opens nothing, and gives back nothing."""
    opened, told = driver.open_door, []

    def meanwhile(*arguments: Any) -> None:
        told.append(typed(town, CODE)["result"])
        opened(*arguments)

    monkeypatch.setattr(driver, "open_door", meanwhile)
    driver.refusal = "the panel answered 503"
    assert (typed(town, CODE)["result"], told) == ("failed", ["refused"])
    assert shown(town, single_use) == (None, None)
    driver.refusal = None
    assert (typed(town, CODE)["result"], told, len(driver.opened)) == ("opened", ["refused"] * 2, 1)
    assert shown(town, single_use)[1] == "used"


def test_digits_that_another_code_has_meanwhile_are_not_given_back(
    town: Town, driver: FakePanelDriver, single_use: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def meanwhile(access: Any, output: int, *_: Any) -> None:
        town.platform("POST", "/v1/access-codes", {"entrance_id": town.entrance, "code": CODE})
        raise PanelRefusedError(f"{access.address} refused {output}")

    monkeypatch.setattr(driver, "open_door", meanwhile)
    assert typed(town, CODE)["result"] == "failed"
    assert shown(town, single_use)[1] == "used"


def test_a_code_that_opens_more_than_once_is_left_alone(town: Town, driver: FakePanelDriver, code: int) -> None:
    change = {"driver": "generic", "address": "127.0.1.1", "doors": [{"method": "http", "output": 1}]}
    town.platform("PATCH", "/v1/panels/1", change)
    version = town.platform("GET", f"/v1/access-codes/{code}")["version"]
    driver.refusal = "the panel answered 503"
    assert typed(town, CODE)["result"] == "failed"
    assert town.platform("GET", f"/v1/access-codes/{code}")["version"] == version


@pytest.fixture
def gate_code(town: Town) -> None:
    """A code for a single use at a gate whose door opens by HTTP."""
    gate = town.platform("POST", "/v1/gates", {"name": "Yard", "houses": [town.house]})["id"]
    town.platform("PATCH", "/v1/panels/2", {"gate_id": gate})
    town.platform("POST", "/v1/access-codes", {"gate_id": gate, "code": CODE, "single_use": True})


def full(*_: Any) -> None:
    raise peewee.OperationalError("database or disk is full")


@pytest.mark.usefixtures("gate_code")
def test_a_code_whose_use_cannot_be_written_opens_nothing(
    town: Town, driver: FakePanelDriver, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(database.peewee, "commit", full)
        body = {"call_id": "c@1", "panel": "p2", "code": CODE}
        town.service("POST", "/v1/code-entries", body, expect=503)
    assert driver.opened == []
    assert typed(town, CODE, "p2")["result"] == "opened", "it was not used"


@pytest.mark.usefixtures("gate_code")
def test_a_code_that_has_opened_is_told_so_when_nothing_can_be_written(
    town: Town, driver: FakePanelDriver, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_door: Callable[..., None] = driver.open_door

    def opened(*arguments: Any) -> None:
        open_door(*arguments)
        monkeypatch.setattr(database.peewee, "begin", full)

    monkeypatch.setattr(driver, "open_door", opened)
    told = typed(town, CODE, "p2")
    assert (told["result"], told["access_record_id"]) == ("opened", None)
    monkeypatch.undo()
    assert typed(town, CODE, "p2")["result"] == "refused", "it was used up"
