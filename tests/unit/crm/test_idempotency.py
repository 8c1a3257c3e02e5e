from __future__ import annotations

import json
import threading
from typing import TYPE_CHECKING, Any

import pytest

from tests.unit.crm.furnished import everything_kept

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

DAY_MS = 24 * 3600 * 1000


def make(town: Town, key: str, body: Any, path: str = "/v1/accounts", *, raw: bytes | None = None) -> Any:
    headers = {**town.platform._headers, "Idempotency-Key": key}
    if raw is not None:
        return town.client.simulate_post(path, body=raw, headers=headers)
    return town.client.simulate_post(path, json=body, headers=headers)


def count(database: CrmDatabase, table: str) -> int:
    return int(database.rows(f"SELECT count(*) FROM {table}")[0][0])  # noqa: S608 - names of this file


def test_a_repeated_creation_gets_the_same_answer_and_makes_nothing(town: Town, database: CrmDatabase) -> None:
    body = {"kind": "app", "apartment_id": town.apartment}
    first = make(town, "key-1", body)
    assert first.status_code == 201
    before = count(database, "accounts")
    again = make(town, "key-1", None, raw=b'{ "apartment_id":%d, "kind":"app" }' % town.apartment)
    assert (again.status_code, again.json) == (201, first.json)
    for header in ("Location", "ETag"):
        assert again.headers[header] == first.headers[header]
    assert len(first.json["password"]) == 24
    assert count(database, "accounts") == before


def test_neither_password_nor_key_is_at_rest(town: Town, database: CrmDatabase, services: Services) -> None:
    answer = make(town, "a-key-that-nobody-knows", {"kind": "app", "apartment_id": town.apartment})
    kept = database.rows("SELECT key_hash, request_hash, answer FROM idempotency_keys")
    assert len(kept) == 1
    text = str(kept)
    assert answer.json["password"] not in text
    assert "a-key-that-nobody-knows" not in text
    with pytest.raises(ValueError, match="another key"):
        services.accounts.context.encryption.decrypted(kept[0][2])


@pytest.mark.parametrize(
    ("path", "body"),
    [("/v1/accounts", {"kind": "handset", "apartment_id": 1}), ("/v1/cities", {"name": "Elsewhere"})],
)
def test_the_key_of_another_request_is_refused(town: Town, database: CrmDatabase, path: str, body: Any) -> None:
    make(town, "key-1", {"kind": "app", "apartment_id": town.apartment})
    before = count(database, "accounts"), count(database, "cities")
    answer = make(town, "key-1", body, path)
    assert answer.status_code == 422
    assert answer.json["type"] == "urn:entryphone:problem:idempotency-key-reused"
    assert (count(database, "accounts"), count(database, "cities")) == before


def test_what_was_refused_may_be_tried_again(town: Town) -> None:
    assert make(town, "key-1", {"name": "Riverside"}, "/v1/cities").status_code == 409
    assert make(town, "key-1", {"name": "Hillside"}, "/v1/cities").status_code == 201


def test_another_client_has_its_own_keys(town: Town, services: Services) -> None:
    first = make(town, "key-1", {"kind": "app", "apartment_id": town.apartment})
    other = services.tokens.create("other", "operator", "Homes")
    headers = {"Authorization": f"Bearer {other}", "Idempotency-Key": "key-1"}
    body = {"kind": "app", "apartment_id": town.apartment}
    second = town.client.simulate_post("/v1/accounts", json=body, headers=headers)
    assert second.status_code == 201
    assert second.json["account"] != first.json["account"]


def test_a_key_is_forgotten_after_a_day(town: Town, database: CrmDatabase, clock: Clock) -> None:
    body = {"kind": "app", "apartment_id": town.apartment}
    first = make(town, "key-1", body)
    clock.now += DAY_MS - 1000
    assert make(town, "key-1", body).json == first.json
    clock.now += 2000
    assert make(town, "key-1", body).json["account"] != first.json["account"]
    assert count(database, "idempotency_keys") == 1


@pytest.mark.parametrize("key", ["", "x" * 201, "two words", "ключ".encode().decode("latin-1")])
def test_a_key_that_is_none_is_refused(town: Town, key: str) -> None:
    answer = make(town, key, {"name": "Hillside"}, "/v1/cities")
    assert answer.status_code == 422
    assert answer.json["errors"][0]["field"] == "Idempotency-Key"


def test_of_many_at_once_one_makes_it_and_all_are_answered_alike(town: Town, database: CrmDatabase) -> None:
    answers: list[Any] = []
    ready = threading.Barrier(6)

    def ask() -> None:
        ready.wait()
        answers.append(make(town, "key-1", {"kind": "app", "apartment_id": town.apartment}))
        database.forget_connection()

    before = count(database, "accounts")
    threads = [threading.Thread(target=ask) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert [a.status_code for a in answers] == [201] * 6
    assert len({a.text for a in answers}) == 1
    assert count(database, "accounts") == before + 1


def _bytes(document: Any) -> bytes:
    return json.dumps(document).encode()


DONE_ONCE = {
    "/v1/apartment-ranges": [_bytes({"house_id": 1, "first": 50, "last": last, "entrances": [1]}) for last in (53, 54)],
    "/v1/key-uses": [_bytes({"panel": "p1", "number": number, "opened": True}) for number in ("00C688AC", "00C688AD")],
    "/v1/imports/houses": [b"address\nElm 1\n", b"address\nElm 2\n"],
}


@pytest.mark.parametrize("path", DONE_ONCE)
def test_what_is_made_otherwise_is_made_once_too(town: Town, database: CrmDatabase, path: str) -> None:
    def ask(content: bytes) -> Any:
        headers = {**town.platform._headers, "Idempotency-Key": "only-once"}
        query = "company_id=1" if "imports" in path else ""
        return town.client.simulate_post(path, query_string=query, body=content, headers=headers)

    assert (town.house, town.company) == (1, 1)
    content, other = DONE_ONCE[path]
    before = everything_kept(database)
    first = ask(content)
    after = everything_kept(database)
    assert first.status_code < 300
    assert after != before
    again = ask(content)
    assert (again.status_code, again.json) == (first.status_code, first.json)
    assert ask(other).json["type"] == "urn:entryphone:problem:idempotency-key-reused"
    assert everything_kept(database) == after
