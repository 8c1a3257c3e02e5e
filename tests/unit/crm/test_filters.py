"""Each filter of each list shows what it names, and nothing else.

A filter is tried with the value of each row that the list shows. A new one needs no line here, unless it is more than
"this field has this value": then it stands in `MEANS`; where no row of the test has the field, `fill` gives it one.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

from crm_api.app import declared
from tests.unit.crm.furnished import admin_of, furnish, furnish_platform
from tests.unit.crm.tenancy_table import MAKES, Own

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town

PAGING = {"cursor", "limit", "sort"}
FIAS = "0c5b2444-70a0-4932-980c-b4dc0d3f02b5"
MOMENT_OF = {"/v1/calls": "started_at_ms"}
"""What `from_ms`, `to_ms` and `until_ms` are about, where that is not `at_ms`."""


def _from(row: Any, value: Any, field: str) -> bool:
    return bool(row[field] >= value)


def _before(row: Any, value: Any, field: str) -> bool:
    return bool(row[field] < value)


MEANS: Final[dict[str, Callable[[Any, Any], bool]]] = {
    "/v1/access-codes?active": lambda row, value: (row["ended_at_ms"] is None) is value,
    "/v1/blocks?in_force": lambda row, value: (row["lifted_at_ms"] is None) is value,
    "/v1/panels?house_id": lambda row, value: value in [place["house_id"] for place in row["places"]],
    "/v1/panels?silent_since_ms": lambda row, value: (row["last_seen_at_ms"] or 0) < value,
    "/v1/push-tokens?valid": lambda row, value: (row["invalidated_at_ms"] is None) is value,
    "/v1/residents?apartment_id": lambda row, value: value in [home["apartment_id"] for home in row["apartments"]],
    "/v1/residents?phone": lambda row, value: value in row["phones"],
}


def values_of(where: str, rows: list[Any]) -> list[Any]:
    """Return the values to try a filter with."""
    path, _, field = where.partition("?")
    if field in {"active", "in_force", "valid"}:
        return [True, False]
    if field in {"from_ms", "to_ms", "until_ms"}:
        return sorted({row[MOMENT_OF.get(path, "at_ms")] for row in rows})
    if where == "/v1/panels?silent_since_ms":
        return [row["last_seen_at_ms"] + 1 for row in rows if row["last_seen_at_ms"]]
    parts = {"/v1/panels?house_id": "places", "/v1/residents?apartment_id": "apartments"}
    if where in parts:
        return sorted({part[field] for row in rows for part in row[parts[where]] if part[field] is not None})
    if where == "/v1/residents?phone":
        return sorted({phone for row in rows for phone in row["phones"]})
    return sorted({row[field] for row in rows if isinstance(row.get(field), (str, int))}, key=str)


def is_meant(where: str, row: Any, value: Any) -> bool:
    """Say whether a list must show the row with this filter."""
    path, _, field = where.partition("?")
    if where in MEANS:
        return MEANS[where](row, value)
    moment = MOMENT_OF.get(path, "at_ms")
    if field in {"from_ms", "to_ms", "until_ms"}:
        return _from(row, value, moment) if field == "from_ms" else _before(row, value, moment)
    return bool(row[field] == value)


def fill(town: Town, own: Own, database: CrmDatabase) -> None:
    """Make another of each noun in each way, and give values to what is left empty otherwise."""
    for path, make in MAKES.items():
        for body in make(own):
            town.client.simulate_post(path, json=body, headers=own.admin._headers)
    town.platform("PATCH", f"/v1/cities/{own['cities']}", {"fias_id": FIAS})
    own.admin("PATCH", f"/v1/houses/{own['houses']}", {"fias_id": FIAS})
    own.admin("PATCH", f"/v1/apartments/{own['apartments']}", {"label": "12A"})
    own.admin("POST", f"/v1/access-codes/{own['access-codes']}/end", {"reason": "old"})
    own.admin("POST", f"/v1/blocks/{own['blocks']}/lift", {"reason": "paid"})
    own.admin("POST", f"/v1/push-tokens/{own['push-tokens']}/invalidate", {"reason": "gone"})
    company, city = own.company, own["cities"]
    calls_at = "call_id, direction, company_id, city_id, panel, number, started_at_ms"
    told_in = "company_id, call_id, kind, channel, destination, body, made_at_ms, due_at_ms"
    opened = "account = 'h12', key_id = ?, key_number = '000065', access_code_id = ?, house_id = ?, at_ms = 1"
    rung = "answered_by = 'h12', result = 'answered', house_id = ?, started_at_ms = 1"
    lock = "wrong, last_wrong_at_ms) VALUES (?, ?, 1, 1)"
    statements: list[tuple[str, tuple[Any, ...]]] = [
        ("UPDATE panels SET last_seen_at_ms = 5 WHERE id = ?", (own["panels"],)),
        (f"UPDATE access_records SET {opened} WHERE company_id = ?",  # noqa: S608
         (own["keys"], own["access-codes"], own["houses"], company)),
        (f"UPDATE call_records SET {rung} WHERE company_id = ?", (own["houses"], company)),  # noqa: S608
        ("UPDATE call_sounds SET apartment_id = ? WHERE company_id = ?", (own["apartments"], company)),
        ("UPDATE probe_calls SET verdict = 'good' WHERE company_id = ?", (company,)),
        (f"INSERT INTO code_locks (company_id, entrance_id, {lock}", (company, own["entrances"])),
        (f"INSERT INTO code_locks (company_id, gate_id, {lock}", (company, own["gates"])),
        (f"INSERT INTO emergency_calls ({calls_at}) VALUES ('e1', 'back', ?, ?, 'p1', '+74951', 1)",  # noqa: S608
         (company, city)),
        ("INSERT INTO emergency_findings (company_id, panel_id, panel, problem, found_at_ms) VALUES (?, ?, 'p', ?, 1)",
         (company, own["panels"], "no_city")),
        (f"INSERT INTO emergency_notices ({told_in}) VALUES (?, 'e1', 'call', 'email', 'a@b.example', '{{}}', 1, 1)",  # noqa: S608
         (company,)),
    ]  # fmt: skip
    for statement, values in statements:
        database.rows(statement, values)


def lists(services: Services, database: CrmDatabase) -> Iterator[tuple[str, set[str]]]:
    """Yield the path of every list and its filters."""
    cache: Any = None
    for endpoint in declared(services, database, cache):
        for operation in endpoint.operations:
            if operation.query is not None and operation.answers[0].is_page and "{" not in endpoint.plain_path:
                yield endpoint.plain_path, set(operation.query.model_fields) - PAGING


def test_each_filter_of_each_list_shows_what_it_names_and_nothing_else(
    town: Town, database: CrmDatabase, services: Services
) -> None:
    others = town.platform("POST", "/v1/companies", {"name": "Others", "billing_id": "77"})["id"]
    for name, company in (("Homes", town.company), ("Others", others)):
        own = Own(name.lower(), company, admin_of(town.client, database, services, name))
        furnish(town.client, own, database)
        furnish_platform(town.platform, own)
        if company == town.company:
            fill(town, own, database)
    tried = left_out = 0
    for path, filters in lists(services, database):
        rows = town.platform("GET", f"{path}?limit=200")["items"]
        assert len(rows) < 200, path
        for field in filters:
            where = f"{path}?{field}"
            values = values_of(where, rows)
            assert values, f"{where} is new: give a row of the test a value in `fill`"
            for value in values:
                text = str(value).lower() if isinstance(value, bool) else str(value)
                shown = town.platform("GET", f"{path}?limit=200&{urlencode({field: text})}")["items"]
                wanted = [row for row in rows if is_meant(where, row, value)]
                assert sorted(map(repr, shown)) == sorted(map(repr, wanted)), f"{where}={text}"
                tried += 1
                left_out += len(wanted) < len(rows)
    assert left_out > tried / 2 > 50, f"of {tried} only {left_out} had anything to leave out"
