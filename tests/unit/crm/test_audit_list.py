"""Who reads which entries of the audit log."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from tests.unit.crm.furnished import entries
from tests.unit.crm.test_access import company, person, staff

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Api, Town


def test_the_log_is_listed_by_company_person_thing_and_time(town: Town, database: CrmDatabase) -> None:
    second = company(town, "Second")
    made = staff(town, "chief", role="admin")["id"]
    chief = person(town, "chief")
    chief("PATCH", f"/v1/houses/{town.house}", {"address": "Lenina 3"})
    town.platform("POST", "/v1/houses", {"company_id": second, "address": "Secret street 1"})

    def found(api: Api, query: str) -> list[str]:
        return [f"{e['action']} {e['noun']} {e['key']}" for e in api("GET", f"/v1/audit?{query}")["items"]]

    assert found(town.platform, f"principal_id={made}&noun=house") == [f"change house {town.house}"]
    assert found(town.platform, f"noun=house&key={town.house}") == [
        f"change house {town.house}",
        f"create house {town.house}",
    ]
    assert found(town.platform, f"company_id={second}&noun=house") == ["create house 3"]
    assert "Secret street" not in str(chief("GET", "/v1/audit?limit=200"))
    assert {e["company_id"] for e in chief("GET", "/v1/audit?limit=200")["items"]} == {town.company}
    assert chief("GET", f"/v1/audit?company_id={second}")["items"] == []
    moment = entries(database)[3]["at_ms"]
    early = town.platform("GET", f"/v1/audit?until_ms={moment}&sort=id")["items"]
    late = town.platform("GET", f"/v1/audit?from_ms={moment}&sort=id&limit=200")["items"]
    assert [e["id"] for e in early + late] == [e["id"] for e in entries(database)]
    newest_first = [e["id"] for e in town.platform("GET", "/v1/audit?limit=200")["items"]]
    assert newest_first == sorted(newest_first, reverse=True)


def test_whoever_moves_between_companies_is_told_to_neither_of_them(town: Town) -> None:
    """His states name the companies that he had: only who sees them all reads that."""
    second = company(town, "Second")
    staff(town, "chief", role="admin")
    chief = person(town, "chief")

    def moved(before: dict[str, Any], after: dict[str, Any]) -> None:
        body = {"name": "program", "role": "operator", **before}
        key = town.platform("POST", "/v1/service-accounts", body)["id"]
        town.platform("PATCH", f"/v1/service-accounts/{key}", after)
        query = f"noun=service%20account&key={key}&action=change"
        (told,) = town.platform("GET", f"/v1/audit?{query}")["items"]
        assert told["before"].get("companies", []) == sorted(before.get("companies", []))
        assert told["company_id"] is None
        assert chief("GET", f"/v1/audit?{query}")["items"] == []

    moved({"companies": [second]}, {"companies": [town.company]})
    moved({"companies": [town.company]}, {"companies": [second]})
    moved({"companies": [second, town.company]}, {"companies": [town.company]})
    moved({"all_companies": True}, {"companies": [town.company]})
    body = {"name": "program", "role": "operator", "companies": [town.company]}
    key = town.platform("POST", "/v1/service-accounts", body)["id"]
    town.platform("PATCH", f"/v1/service-accounts/{key}", {"name": "other"})
    assert [e["action"] for e in chief("GET", f"/v1/audit?noun=service%20account&key={key}")["items"]] == [
        "change",
        "create",
    ]
