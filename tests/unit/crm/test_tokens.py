from __future__ import annotations

import sqlite3
import threading
from typing import TYPE_CHECKING

import pytest

from crm_api.domain.problems import ConflictError, UnauthorisedError
from crm_api.services.tokens import CALLS_KNOWN_MS, LAST_USED_EVERY_MS, Tokens, hash_of
from crm_api.tables.database import DatabaseErrors

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock

GIVEN = "a token that the lab made itself, 43 chars"


@pytest.fixture
def tokens(context: Context) -> Tokens:
    return Tokens(context)


def last_used(database: CrmDatabase, token: str) -> int | None:
    row = database.row("SELECT last_used_at_ms FROM tokens WHERE token_hash = ?", (hash_of(token),))
    assert row is not None
    return None if row[0] is None else int(row[0])


def test_a_token_says_who_asks_and_is_kept_as_its_hash(tokens: Tokens, database: CrmDatabase) -> None:
    token = tokens.create("the town's billing", "platform")
    known = tokens.principal(f"Bearer {token}")
    assert (known.kind, known.role, known.tenant.name) == ("service_account", "admin", "the town's billing")
    assert known.tenant.is_platform
    assert token not in str(database.rows("SELECT * FROM tokens"))


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer ", "Basic YTpi", "Bearer ep_wrong", "Bearer \udcff"])
def test_no_token_no_entry(tokens: Tokens, header: str | None) -> None:
    with pytest.raises(UnauthorisedError):
        tokens.principal(header)


def test_the_use_is_noted_once_a_minute(tokens: Tokens, database: CrmDatabase, clock: Clock) -> None:
    token = tokens.create("x", "service")
    assert last_used(database, token) is None
    tokens.principal(f"Bearer {token}")
    first = last_used(database, token)
    tokens.principal(f"Bearer {token}")
    assert last_used(database, token) == first is not None
    clock.now += LAST_USED_EVERY_MS
    tokens.principal(f"Bearer {token}")
    assert last_used(database, token) == clock.now


def test_a_revoked_token_is_refused_at_once_and_that_of_the_call_path_within_a_second(
    tokens: Tokens, database: CrmDatabase, clock: Clock
) -> None:
    office, calls = (f"Bearer {tokens.create(kind, kind)}" for kind in ("platform", "service"))
    for token in (office, calls):
        tokens.principal(token)
    database.rows("UPDATE tokens SET revoked_at_ms = 1")
    with pytest.raises(UnauthorisedError):
        tokens.principal(office)
    assert tokens.principal(calls).role == "calls"
    clock.now += CALLS_KNOWN_MS
    with pytest.raises(UnauthorisedError):
        tokens.principal(calls)


def test_a_clock_that_is_put_back_keeps_no_token_alive(tokens: Tokens, database: CrmDatabase, clock: Clock) -> None:
    calls = f"Bearer {tokens.create('agi', 'service')}"
    tokens.principal(calls)
    database.rows("UPDATE tokens SET revoked_at_ms = 1")
    clock.now -= 3_600_000
    with pytest.raises(UnauthorisedError):
        tokens.principal(calls)


def test_a_busy_writer_does_not_hold_up_a_request(tokens: Tokens, database: CrmDatabase) -> None:
    token = tokens.create("x", "platform")
    writing, done = threading.Event(), threading.Event()

    def write_for_long() -> None:
        with database.transaction():
            database.rows("UPDATE tokens SET name = 'busy'")
            writing.set()
            done.wait(60)
        database.forget_connection()

    writer = threading.Thread(target=write_for_long)
    writer.start()
    try:
        assert writing.wait(60)
        assert tokens.principal(f"Bearer {token}").role == "admin"
        assert last_used(database, token) is None
    finally:
        done.set()
        writer.join()
    with pytest.raises(DatabaseErrors), database.transaction_at_once():
        raise sqlite3.OperationalError
    tokens.principal(f"Bearer {token}")
    assert last_used(database, token) is not None


def test_a_given_token_stays_as_it_is_when_it_is_made_sure_of_again(
    tokens: Tokens, database: CrmDatabase, clock: Clock
) -> None:
    tokens.create("lab", "service", replace=True, token=GIVEN)
    tokens.principal(f"Bearer {GIVEN}")
    tokens.create("lab", "service", replace=True, token=GIVEN)
    assert last_used(database, GIVEN) is not None
    tokens.create("lab", "platform", replace=True, token=GIVEN)
    clock.now += CALLS_KNOWN_MS
    assert tokens.principal(f"Bearer {GIVEN}").role == "admin"
    with pytest.raises(ConflictError):
        tokens.create("lab", "platform")
