from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

from tests.unit.crm.conftest import REALM
from tests.unit.crm.furnished import everything_kept

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town


def stored_ha1(database: CrmDatabase, account: str) -> str:
    row = database.row("SELECT ha1 FROM kamailio_accounts WHERE account = ?", (account,))
    assert row is not None
    return str(row[0])


def expected_ha1(account: str, password: str) -> str:
    return hashlib.md5(f"{account}:{REALM}:{password}".encode()).hexdigest()  # noqa: S324 - RFC 2617


def changes(database: CrmDatabase) -> list[tuple[int, str]]:
    return [(row[0], row[1]) for row in database.rows("SELECT id, account FROM kamailio_changes ORDER BY id")]


def test_the_password_is_shown_once_and_only_its_ha1_is_kept(town: Town, database: CrmDatabase) -> None:
    assert len(town.passwords["h12"]) == 24
    assert stored_ha1(database, "h12") == expected_ha1("h12", town.passwords["h12"])
    assert len(set(town.passwords.values())) == len(town.passwords)
    fresh = town.platform("POST", "/v1/accounts/h12/rotate-password")["password"]
    kept = str(everything_kept(database))
    assert expected_ha1("h12", fresh) in kept
    assert not [password for password in (fresh, *town.passwords.values()) if password in kept]
    assert set(town.platform("GET", "/v1/accounts/h12")) == {
        "id", "company_id", "apartment_id", "resident_id", "account", "kind", "enabled", "created_at_ms", "phone",
        "quiet_from", "quiet_until", "version",
    }  # fmt: skip


def test_a_rotated_password_replaces_the_old_one_and_tells_kamailio(town: Town, database: CrmDatabase) -> None:
    before = changes(database)
    fresh = town.platform("POST", "/v1/accounts/h12/rotate-password")["password"]
    assert fresh != town.passwords["h12"]
    assert stored_ha1(database, "h12") == expected_ha1("h12", fresh)
    assert [account for _, account in changes(database)[len(before) :]] == ["contacts:h12", "h12"]


def test_the_view_tells_kind_and_enabled(town: Town, database: CrmDatabase) -> None:
    town.platform("PATCH", "/v1/accounts/a12", {"enabled": False})
    rows = dict((r[0], r[1:]) for r in database.rows("SELECT account, kind, enabled FROM kamailio_accounts"))  # noqa: C402
    assert rows["a12"] == ("app", 0)
    assert rows["p1"] == ("panel", 1)
    assert changes(database)[-1][1] == "a12"


def test_a_removed_account_is_gone_for_kamailio_and_for_plans(town: Town, database: CrmDatabase) -> None:
    town.platform("DELETE", "/v1/accounts/h12")
    assert database.row("SELECT 1 FROM kamailio_accounts WHERE account = ?", ("h12",)) is None
    assert [account for _, account in changes(database)[-2:]] == ["contacts:h12", "h12"]
    assert [t["account"] for t in town.plan("p1", "12")["stages"][0]["targets"]] == ["a12"]


def test_an_apartment_takes_its_accounts_with_it(town: Town, database: CrmDatabase) -> None:
    town.platform("DELETE", f"/v1/apartments/{town.apartment}")
    told = {account for _, account in changes(database)[-4:]}
    assert told == {"contacts:h12", "h12", "contacts:a12", "a12"}
    assert town.plan("p1", "12")["outcome"] == "unknown_number"


def test_two_panels_cannot_share_an_account_nor_a_panels_account_vanish(town: Town) -> None:
    again = {"account": "p1", "name": "x", "places": [{"entrance_id": town.entrance}]}
    assert town.platform("POST", "/v1/panels", again, 409)["errors"][0]["field"] == "account_id"
    town.platform("DELETE", "/v1/accounts/p1", expect=409)


def test_a_household_account_needs_its_apartment_and_others_must_have_none(town: Town) -> None:
    town.platform("POST", "/v1/accounts", {"kind": "app"}, 422)
    body = {"kind": "panel", "apartment_id": town.apartment, "company_id": town.company}
    town.platform("POST", "/v1/accounts", body, 422)
