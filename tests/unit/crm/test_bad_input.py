from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import peewee
import pytest
import structlog

from crm_api.background import repeat
from tests.unit.crm.furnished import everything_kept

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Town
    from tests.unit.crm.fakes import FakeCache


def test_every_wrong_field_is_named_at_once_with_value_and_remedy(town: Town) -> None:
    body = {"name": "", "ring_timeout_s": "30", "language": "english", "color": 1}
    answer = town.client.simulate_post(
        "/v1/companies", json=body, headers={"Authorization": town.platform._headers["Authorization"]}
    )
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json
    assert problem["type"] == "urn:entryphone:problem:invalid-fields"
    assert problem["status"] == 422
    wrong = {e["field"]: e["value"] for e in problem["errors"]}
    assert wrong == {"name": "", "ring_timeout_s": "30", "language": "english", "color": 1}
    assert all(e["remedy"] for e in problem["errors"])


@pytest.mark.parametrize("raw", [b"", b"{", b"[]", b"null", b"\xff", b'{"name": 1e999}'])
def test_what_is_no_document_is_told(town: Town, raw: bytes) -> None:
    headers = town.platform._headers
    answer = town.client.simulate_post("/v1/cities", body=raw, headers=headers)
    assert answer.status_code == 422
    assert answer.json["errors"]


def test_ten_megabytes_are_refused(town: Town) -> None:
    answer = town.client.simulate_post("/v1/cities", body=b" " * 10_000_000, headers=town.platform._headers)
    assert answer.status_code == 413


@pytest.mark.parametrize(
    ("path", "status"),
    [
        ("/v1/houses/99999999999999999999", 404),
        ("/v1/houses/x", 404),
        ("/v1/houses/0", 404),
        ("/v1/ring-plans/x", 404),
        ("/v1/houses?limit=0", 422),
        ("/v1/houses?colour=red", 422),
        ("/v1/houses?company_id=99999999999999999999", 422),
        ("/v1/accounts/%27%20OR%201=1", 404),
        ("/v1/calls/nope", 404),
        ("/nope", 404),
    ],
)
def test_odd_addresses_get_a_problem(town: Town, path: str, status: int) -> None:
    problem = town.platform("GET", path, expect=status)
    assert problem["status"] == status
    assert problem["type"].startswith("urn:entryphone:problem:")


def test_a_nul_byte_is_no_fault_of_ours(town: Town) -> None:
    for path in ("/v1/accounts/a%00b", "/v1/calls/a%00b", "/v1/ring-plans/p%001/12"):
        answer = town.client.simulate_get(path, headers=town.platform._headers)
        assert answer.status_code < 500


def test_text_is_kept_as_it_is(town: Town) -> None:
    address = "'; DROP TABLE houses; -- <script>alert(1)</script>"
    house = town.platform("POST", "/v1/houses", {"company_id": town.company, "address": address})
    assert town.platform("GET", f"/v1/houses/{house['id']}")["address"] == address


def test_a_duplicate_names_the_field(town: Town) -> None:
    problem = town.platform("POST", "/v1/apartments", {"entrance_id": town.entrance, "number": 12}, 409)
    assert problem["errors"][0]["field"] == "number"


def test_a_house_that_is_lived_in_cannot_be_removed(town: Town) -> None:
    town.platform("DELETE", f"/v1/houses/{town.house}", expect=409)


@pytest.mark.parametrize(
    "places",
    [
        [],
        [{"code": "21"}],
        [{"house_id": 1, "entrance_id": 1}],
        [{"house_id": 1, "code": "21"}, {"house_id": 2}],
        [{"house_id": 1, "code": "11"}, {"house_id": 2, "code": "22"}],
    ],
)
def test_places_of_a_panel_are_checked(town: Town, places: list[dict[str, Any]]) -> None:
    town.platform("POST", "/v1/accounts", {"account": "p9", "kind": "panel", "company_id": town.company})
    town.platform("POST", "/v1/panels", {"account": "p9", "name": "x", "places": places}, 422)
    assert len(town.platform("GET", "/v1/panels")["items"]) == 2


def test_health_names_what_is_away_and_only_the_log_tells_why(
    town: Town, cache: FakeCache, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def health() -> tuple[int, Any]:
        answer = town.client.simulate_get("/health")
        return answer.status_code, answer.json

    def logged() -> str:
        told = capsys.readouterr()
        return told.out + told.err

    assert health() == (200, {"status": "ok", "database": "ok", "redis": "ok"})
    cache.away = True
    logged()
    for _ in range(3):
        assert health() == (503, {"status": "degraded", "database": "ok", "redis": "away"})
    assert logged().count("redis is away") == 1

    def broken() -> None:
        raise peewee.OperationalError('connection to server at "10.1.2.3" failed: password of user "crm" is wrong')

    with monkeypatch.context() as patched:
        patched.setattr("crm_api.tables.database.CrmDatabase.ping", lambda _: broken())
        assert health() == (503, {"status": "degraded", "database": "away", "redis": "away"})
    assert "10.1.2.3" in logged()
    cache.away = False
    assert health()[0] == 200
    assert "back" in logged()


@pytest.mark.parametrize("by", ["request", "worker"])
def test_a_full_disk_is_logged_as_what_it_is(town: Town, database: CrmDatabase, by: str) -> None:
    """SQLite ends the transaction by itself: savepoint and rollback fail after it, and theirs is the last error."""
    if database.dialect == "postgresql":
        pytest.skip("it tells in the one error that it raises")
    database.rows("CREATE TABLE files (content BLOB)")
    database.rows("VACUUM")
    (pages,) = database.rows("PRAGMA page_count")[0]
    database.rows(f"PRAGMA max_page_count = {pages}")
    stopped = threading.Event()

    def work() -> None:
        stopped.set()
        with database.transaction(), database.transaction():
            database.rows("INSERT INTO files VALUES (?)", (b"x" * 50_000,))

    with structlog.testing.capture_logs() as logged:
        if by == "worker":
            repeat(work, database, stopped, 0.0)
        else:
            text = "address\n" + "".join(f"Long street name number {number}\n" for number in range(2000))
            headers = town.platform._headers
            path, query = "/v1/imports/houses", f"company_id={town.company}"
            answer = town.client.simulate_post(path, query_string=query, body=text.encode(), headers=headers)
            assert answer.status_code == 503
    assert [line["reason"] for line in logged if line["log_level"] == "error"] == ["database or disk is full"]


class Refused(NamedTuple):
    """A request that must be refused, with status and kind of problem."""

    method: str
    path: str
    body: bytes
    status: int
    problem: str
    headers: tuple[tuple[str, str], ...] = ()


def _json(**fields: Any) -> bytes:
    return json.dumps(fields).encode()


PHONES = ["12345", "+7 912", "call me", "+7 (912) 345-67-89, +7 (912) 345-67-90", "٠١٢٣٤٥٦٧٨٩", ""]
REFUSED = {
    "ten megabytes": Refused("POST", "/v1/cities", b" " * 10_000_000, 413, "too-large"),
    "deep nesting": Refused("POST", "/v1/cities", b"[" * 100_000, 422, "invalid-fields"),
    "half a pair": Refused("POST", "/v1/cities", b'{"name": "\\ud800"}', 422, "invalid-fields"),
    "half a pair as a name": Refused("POST", "/v1/cities", b'{"\\ud800": 1}', 422, "invalid-fields"),
    "a number too big": Refused("POST", "/v1/cities", b'{"name": 1e999}', 422, "invalid-fields"),
    "a number that is taken": Refused("POST", "/v1/apartments", _json(entrance_id=1, number=12), 409, "conflict"),
    "an account that is taken": Refused(
        "POST", "/v1/accounts", _json(account="h12", kind="app", apartment_id=1), 409, "conflict"
    ),
    "a panel for the account of another": Refused(
        "POST", "/v1/panels", _json(account="p1", name="Twin", places=[{"entrance_id": 1}], doors=[]), 409, "conflict"
    ),
    "a range that overlaps": Refused(
        "POST", "/v1/apartment-ranges", _json(house_id=1, first=10, last=20, entrances=[1]), 409, "conflict"
    ),
    "a range that runs backwards": Refused(
        "POST", "/v1/apartment-ranges", _json(house_id=1, first=30, last=20, entrances=[1]), 422, "invalid-fields"
    ),
    "a stale ETag": Refused("PATCH", "/v1/houses/1", _json(address="x"), 412, "stale", (("If-Match", '"1-99"'),)),
    "no ETag": Refused("PATCH", "/v1/houses/1", _json(address="x"), 428, "precondition-required"),
    "a removal of what was changed": Refused(
        "DELETE", "/v1/accounts/h12", b"", 412, "stale", (("If-Match", '"1-99"'),)
    ),
    "a cursor of nowhere": Refused("GET", "/v1/houses?cursor=AAAA", b"", 422, "wrong-cursor"),
    "a CSV without its column": Refused(
        "POST", "/v1/imports/houses?company_id=1", b"colour\nred\n", 422, "invalid-fields"
    ),
    "a CSV that is none": Refused(
        "POST", "/v1/imports/houses?company_id=1", b"\x89PNG\r\n\x1a\n\0\0", 422, "invalid-fields"
    ),
    "a file too long": Refused(
        "POST", "/v1/imports/houses?company_id=1", b"address\n" + b"x" * (33 * 1024 * 1024), 413, "too-large"
    ),
    **{
        f"a phone that is none: {phone}": Refused(
            "POST", "/v1/residents", _json(company_id=1, name="Anna", phones=[phone]), 422, "invalid-fields"
        )
        for phone in PHONES
    },
}


@pytest.mark.parametrize("refused", REFUSED.values(), ids=REFUSED)
def test_what_is_refused_is_told_and_changes_nothing(town: Town, database: CrmDatabase, refused: Refused) -> None:
    assert (town.company, town.house, town.entrance, town.apartment) == (1, 1, 1, 1)
    before = everything_kept(database)
    answer = town.client.simulate_request(
        refused.method,
        refused.path.partition("?")[0],
        query_string=refused.path.partition("?")[2],
        body=refused.body,
        headers={**town.platform._headers, **dict(refused.headers)},
    )
    assert answer.status_code == refused.status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json["type"] == f"urn:entryphone:problem:{refused.problem}"
    assert answer.json["detail"]
    assert everything_kept(database) == before


@pytest.mark.parametrize(
    ("path", "body", "field"),
    [
        ("/v1/apartments", {"entrance_id": 1, "number": 12}, "number"),
        ("/v1/accounts", {"account": "h12", "kind": "app", "apartment_id": 1}, "account"),
        ("/v1/entrances", {"house_id": 1, "number": 1}, "number"),
    ],
)
def test_a_value_that_is_taken_is_named(town: Town, path: str, body: dict[str, Any], field: str) -> None:
    told = town.platform("POST", path, body, 409)
    assert [(wrong["field"], wrong["value"]) for wrong in told["errors"]] == [(field, body[field])]
    assert "is taken" in told["detail"]


def test_a_value_that_is_taken_is_named_when_something_is_changed(town: Town) -> None:
    made = town.platform("POST", "/v1/entrances", {"house_id": 1, "number": 7}, 201)
    told = town.platform("PATCH", f"/v1/entrances/{made['id']}", {"number": 1}, 409)
    assert [(wrong["field"], wrong["value"]) for wrong in told["errors"]] == [("number", 1)]


def test_what_still_refers_to_a_row_is_named(town: Town, database: CrmDatabase) -> None:
    before = everything_kept(database)
    told = town.platform("DELETE", f"/v1/houses/{town.house}", None, 409)
    assert told["type"] == "urn:entryphone:problem:conflict"
    counted = {
        name: database.rows(f"SELECT count(*) FROM {name} WHERE house_id = ?", (town.house,))[0][0]  # noqa: S608
        for name in ("apartments", "entrances")
    }
    for name, count in counted.items():
        assert f"{name} ({count})" in told["detail"]
    assert told["detail"].endswith("; remove them first")
    assert everything_kept(database) == before
