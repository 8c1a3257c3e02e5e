"""The seconds of phones by day are always the sum of the legs, whoever writes or removes them."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING, Any

import pytest

from crm_api import migrations
from crm_api.domain.phone_limits import month_of
from crm_api.services.call_recording import CallRecording
from crm_api.tables import phone_rows
from tests.unit.crm.conftest import empty_database
from tests.unit.crm.old_releases import make_release_before
from tests.unit.crm.test_call_records import entry
from tests.unit.crm.test_trunks import leg

if TYPE_CHECKING:
    from pathlib import Path

    from crm_api.services.context import Context
    from crm_api.tables.database import CrmDatabase
    from tests.unit.crm.conftest import Clock, Town

THIS = "m0040_phone_seconds"
DAY_MS = 86_400_000
CALL = "INSERT INTO call_records (call_id, company_id, started_at_ms) VALUES (?, 1, ?)"
LEG = """
INSERT INTO phone_legs (call_id, stage, account, branch, company_id, apartment_id, trunk, ended_at_ms, phone_ms,
    billed_s, cost_micros, currency, connected)
VALUES (?, ?, ?, 0, ?, ?, 't', ?, 1, ?, 1, 'USD', ?) ON CONFLICT (call_id, stage, account, branch) DO NOTHING
"""
COMPANY = """INSERT INTO companies (id, name, language, active, ring_timeout_s, talk_limit_s, created_at_ms)
    VALUES (1, 'Homes', 'en', {true}, 30, 60, 1)"""


def assert_is_the_sum(database: CrmDatabase) -> None:
    for counted in ("company", "apartment"):
        kept = database.rows(
            "SELECT of_whom, day, CAST(billed_s AS BIGINT) FROM phone_seconds WHERE counted = ? AND billed_s <> 0 "
            "ORDER BY of_whom, day",
            (counted,),
        )
        legs = database.rows(
            f"SELECT {counted}_id, ended_at_ms / 86400000, CAST(sum(billed_s) AS BIGINT) FROM phone_legs "  # noqa: S608
            f"WHERE {counted}_id IS NOT NULL GROUP BY 1, 2 HAVING sum(billed_s) <> 0 ORDER BY 1, 2"
        )
        assert kept == legs


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_written_and_removed_the_count_is_the_sum_also_after_the_upgrade(tmp_path: Path, seed: int) -> None:
    """Batches with legs given twice or more, some taken back, calls removed; the first half before the migration."""
    rng = random.Random(seed)
    months_ms = [1_790_000_000_000 + n * 31 * DAY_MS for n in range(-2, 3)]

    def some_leg() -> tuple[Any, ...]:
        at_ms = rng.choice([rng.choice(months_ms), month_of(rng.choice(months_ms))[0]]) + rng.randrange(-2, 3)
        company, apartment = rng.choice([(1, None), (1, 1), (1, 2), (2, 7), (None, None)])
        account = rng.choice("ab")
        seconds = rng.choice([0, 1, 60, 61])
        return f"c{rng.randrange(40)}", rng.randrange(2), account, company, apartment, at_ms, seconds, True

    def write(database: CrmDatabase) -> None:
        for _ in range(40):
            with database.peewee.atomic() as transaction:
                database.many(LEG, [some_leg() for _ in range(rng.randrange(1, 6))])
                if rng.random() < 0.3:
                    transaction.rollback()
            if rng.random() < 0.3:
                gone = f"c{rng.randrange(40)}"
                database.rows("DELETE FROM call_records WHERE call_id = ?", (gone,))  # its legs go with it
                database.rows(CALL, (gone, 1))

    for database in empty_database(tmp_path):
        make_release_before(database, THIS, [COMPANY])
        database.many(CALL, [(f"c{n}", 1) for n in range(40)])
        write(database)
        assert THIS in migrations.migrate(database)
        assert_is_the_sum(database)
        write(database)
        assert_is_the_sum(database)
        for now_ms in months_ms:
            since_ms, _ = month_of(now_ms)
            limits = phone_rows.limits(database, 1, 2, now_ms)
            for used_s, whose in ((limits.used_s, "company_id = 1"), (limits.apartment_used_s, "apartment_id = 2")):
                sql = f"SELECT coalesce(sum(billed_s), 0) FROM phone_legs WHERE {whose} AND ended_at_ms >= ?"  # noqa: S608
                assert database.row(sql, (since_ms,)) == (used_s,)


def test_phones_of_calls_told_twice_and_in_one_batch_are_counted_once(
    town: Town, context: Context, clock: Clock, database: CrmDatabase
) -> None:
    first_ms = month_of(clock.now)[0]
    told = [leg("c1", 61_000, first_ms - 1), leg("c2", 5_000, first_ms), leg("c3", 7_000, clock.now)]
    for _ in range(2):
        CallRecording(context).record([entry(1, told), entry(2, told[:2])])
    assert_is_the_sum(database)
    assert phone_rows.limits(database, town.company, town.apartment, clock.now).used_s == 12
    assert phone_rows.limits(database, town.company, None, clock.now).apartment_used_s == 0


def phone_of(town: Town, apartment: int, account: str, number: str) -> None:
    home = {"apartment_id": apartment, "role": "owner"}
    body = {"company_id": town.company, "name": account, "phones": [number], "apartments": [home]}
    town.platform("POST", "/v1/residents", body)
    body = {"account": account, "kind": "phone", "apartment_id": apartment, "phone": number}
    town.platform("POST", "/v1/accounts", body)


@pytest.fixture
def phones(town: Town) -> Town:
    """Two households with a phone each, a desk and a telephone on duty, and two minutes a month for a household."""
    phone_of(town, town.apartment, "f12", "+79161234567")
    phone_of(town, town.neighbour, "f13", "+79161234568")
    for account, phone in (("lobby", None), ("duty", "+74951112233")):
        town.platform("POST", "/v1/accounts", {"account": account, "kind": "concierge", "company_id": town.company})
        town.platform("POST", "/v1/concierge-desks", {"account": account, "name": account, "phone": phone})
    town.platform("PATCH", f"/v1/companies/{town.company}", {"apartment_phone_minutes": 2})
    return town


def rung(town: Town, panel: str, dialled: str) -> set[str]:
    plan = town.plan(panel, dialled)
    return {target["account"] for stage in plan["stages"] for target in stage["targets"] if target["kind"] == "phone"}


@pytest.mark.parametrize("at_once", [True, False])
@pytest.mark.parametrize(
    ("panel", "numbers", "account"),
    [
        ("p1", ["12"], "f12"),
        # A desk calls the household; a desk passes a visitor on to it, who has pressed its button or the neighbour's.
        ("lobby", ["2112"], "f12"),
        ("p1", ["0", "12"], "f12"),
        ("p1", ["13", "12"], "f12"),
        # The telephone on duty: at the end of the household's own plan, and called by the household.
        ("p1", ["12"], "duty"),
        ("a12", ["0"], "duty"),
    ],
)
def test_a_phones_minutes_are_its_own_households_whoever_was_called(
    phones: Town, context: Context, panel: str, numbers: list[str], account: str, *, at_once: bool
) -> None:
    at_ms, desk = context.now_ms(), account == "duty"
    stage = 0 if len(numbers) == 1 else 100
    talk = leg("c1", 61_000, at_ms) | {"panel": panel, "dialled": numbers[-1], "stage": stage, "account": account}
    events = [{"event": "dialled", "call_id": "c1", "at_ms": at_ms, "panel": panel, "dialled": numbers[0]}, talk]
    for batch in [events] if at_once else [[event] for event in events]:
        CallRecording(context).record([entry(1, batch)])
    legs = context.database.rows("SELECT company_id, apartment_id, billed_s FROM phone_legs")
    assert legs == [(phones.company, None if desk else phones.apartment, 61)]
    CallRecording(context).record([entry(2, [talk | {"call_id": "c2", "at_ms": at_ms + 1}])])
    assert rung(phones, "p1", "12") == ({"f12"} if desk else set())
    assert rung(phones, "lobby", "2112") == ({"f12"} if desk else set())
    assert rung(phones, "p1", "13") == {"f13"}


def test_what_was_used_is_read_without_the_legs(
    town: Town, context: Context, clock: Clock, statements: list[str]
) -> None:
    town.platform("PATCH", f"/v1/companies/{town.company}", {"phone_minutes": 3, "apartment_phone_minutes": 3})
    body = {"account": "f12", "kind": "phone", "apartment_id": town.apartment, "phone": "+79161234567"}
    town.platform("POST", "/v1/accounts", body)
    CallRecording(context).record([entry(1, [leg("c1", 61_000, clock.now)])])
    statements.clear()
    town.plan("p1", "12")
    asked = [sql for sql in statements if "companies WHERE id" in sql or "phone_legs" in sql]
    assert len(asked) == 1
    assert "phone_legs" not in asked[0]
