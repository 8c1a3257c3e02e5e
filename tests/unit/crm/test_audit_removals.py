"""What goes with something that is removed is told by an entry of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.crm.furnished import entries, furnished_company, newest
from tests.unit.crm.tenancy_table import MAKES
from tests.unit.crm.test_audit import CHANGING

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town
    from tests.unit.crm.tenancy_table import Own


@pytest.fixture
def own(town: Town, database: CrmDatabase, services: Services) -> Own:
    return furnished_company(town, database, services)


def test_accounts_that_go_with_something_else_are_told(town: Town) -> None:
    api = town.platform
    home = {"apartment_id": town.apartment, "role": "owner"}
    ann = api("POST", "/v1/residents", {"company_id": town.company, "name": "Ann", "apartments": [home]})["id"]
    api("POST", "/v1/accounts", {"account": "ann", "kind": "app", "apartment_id": town.apartment, "resident_id": ann})
    panel = api("GET", "/v1/panels?account=p1")["items"][0]["id"]
    api("DELETE", f"/v1/residents/{ann}")
    api("DELETE", f"/v1/apartments/{town.apartment}")
    api("DELETE", f"/v1/panels/{panel}")
    for account, kind in (("ann", "app"), ("a12", "app"), ("h12", "handset"), ("p1", "panel")):
        told = newest(town, f"noun=account&key={account}")[0]
        assert (told["action"], told["after"], told["who"]) == ("remove", None, "test"), account
        assert (told["before"]["kind"], told["company_id"]) == (kind, town.company)


def test_all_that_goes_with_something_else_is_told(own: Own, town: Town, database: CrmDatabase) -> None:
    """Whatever has a noun and is there no more after a removal has an entry; each is asked for by its address."""
    for path, make in MAKES.items():
        for body in make(own):
            town.client.simulate_post(path, json=body, headers=own.admin._headers)
    plan = {"apartment_id": own["apartments"], "stages": [{"ring_timeout_s": 20, "targets": [{"kind": "all"}]}]}
    own.admin("POST", "/v1/ring-plans", plan)
    assert database.row("SELECT 1 FROM webhook_deliveries WHERE webhook_id = ?", (own["webhooks"],)), "not told"
    desk = own.concierge()
    own.admin("POST", "/v1/concierge-desks", {"account": desk, "name": "Desk"})
    house = own.house()
    own.admin("POST", "/v1/keys", {"number": "00AA0001", "house_id": house})
    addresses = {path for method, path in CHANGING if method == "DELETE"}
    collections = sorted(path.rpartition("/")[0] for path in addresses)

    def there() -> set[tuple[str, str]]:
        return {
            (collection, str(item["account" if collection == "/v1/accounts" else "id"]))
            for collection in collections
            for item in town.platform("GET", f"{collection}?limit=200")["items"]
        }

    ending_by_themselves = {"/v1/code-locks", "/v1/call-sounds", "/v1/jobs", "/v1/sessions"}
    gone: set[str] = set()
    own.admin("DELETE", f"/v1/panels/{own['panels']}")
    for removed in (
        f"/v1/accounts/{own['accounts']}",
        f"/v1/accounts/{desk}",
        f"/v1/houses/{house}",
        f"/v1/residents/{own['residents']}",
        f"/v1/apartments/{own['apartments']}",
        f"/v1/service-accounts/{own['service-accounts']}",
        f"/v1/webhooks/{own['webhooks']}",
    ):
        before, known = there(), len(entries(database))
        own.admin("DELETE", removed)
        told = [(e["noun"], e["key"]) for e in entries(database)[known:]]
        assert len(told) == len(set(told))
        assert {e["action"] for e in entries(database)[known:]} == {"remove"}
        lost = {thing for thing in before - there() if thing[0] not in ending_by_themselves}
        assert len(told) == len(lost), (removed, told, lost)
        assert sorted(key for _, key in told) == sorted(key for _, key in lost), removed
        assert {e["company_id"] for e in entries(database)[known:]} == {own.company}
        assert None not in {e["state_before"] for e in entries(database)[known:]}
        gone |= {noun for noun, _ in told}
    assert gone == {
        "account", "push token", "resident", "key", "apartment", "ring plan", "block", "access code",
        "service account", "token", "concierge desk", "house", "webhook",
    }  # fmt: skip


def test_however_much_goes_with_something_is_asked_for_in_batches(
    town: Town, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A statement takes 32,766 parameters on SQLite, and 65,535 on PostgreSQL."""
    house = town.platform("POST", "/v1/houses", {"company_id": town.company, "address": "Mira 1"})["id"]
    key = "INSERT INTO rfid_keys (company_id, number, scope, house_id, enabled, note, created_at_ms)"
    with database.transaction():
        rows = [(town.company, f"{number:06X}", house, True) for number in range(1, 1202)]
        database.many(f"{key} VALUES (?, ?, 'house', ?, ?, '', 1)", rows)
    most, execute = 0, database.peewee.execute_sql

    def noted(sql: str, parameters: Any = (), *more: Any) -> Any:
        nonlocal most
        most = max(most, len(parameters or ()))
        return execute(sql, parameters, *more)

    monkeypatch.setattr(database.peewee, "execute_sql", noted)
    town.platform("DELETE", f"/v1/houses/{house}")
    monkeypatch.undo()
    assert 100 < most < 600
    told = [entry for entry in entries(database) if (entry["noun"], entry["action"]) == ("key", "remove")]
    assert len({entry["key"] for entry in told}) == len(told) == 1201
