"""The town of the mix: beside the households that ring three devices, some with a phone, a desk, sleepers, nobody."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Final

from lab.bench import bench_town
from lab.bench.population import Account

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from lab.bench.population import Household

CARRIER: Final = "127.0.3.201"
DESK: Final = Account("cbench", "desk-password")
DESK_ADDRESS: Final = "127.0.4.201"
PRICE_MICROS: Final = 10_000


@dataclass(frozen=True)
class MixTown:
    """Who is called how: each household belongs to one of these."""

    ringing: Sequence[Household]
    phones: Sequence[Household]
    desks: Sequence[Household]
    nobody: Sequence[Household]
    sleepers: Sequence[Household]

    @classmethod
    def of(cls, households: Sequence[Household], others: int) -> MixTown:
        """Take `others` households for each way from the end; all before them ring."""
        ends = [len(households) - others * place for place in (4, 3, 2, 1, 0)]
        parts = [households[begin:end] for begin, end in pairwise(ends)]
        return cls(households[: ends[0]], *parts)


def write_mix(path: Path, town: MixTown, realm: str) -> None:
    """Write what the bench's town lacks: phones with residents and a carrier, a desk, push tokens."""
    now_ms = int(time.time() * 1000)
    with closing(sqlite3.connect(path, timeout=10.0)) as database, database:
        company = database.execute("SELECT id FROM companies WHERE name = 'Bench'").fetchone()[0]
        trunk = bench_town.insert(
            database, "trunks", name="bench-carrier", kind="sip", address=CARRIER, transport="udp", registers=0,
            number_format="e164", price_per_minute_micros=PRICE_MICROS, currency="USD", billing_increment_s=60,
            enabled=1, created_at_ms=now_ms,
        )  # fmt: skip
        bench_town.insert(
            database, "trunk_routes", trunk_id=trunk, company_id=company, position=1, caller_number="+74950000000"
        )
        database.execute("INSERT INTO account_changes (account, at_ms) VALUES ('trunk:bench-carrier', ?)", (now_ms,))
        desk = bench_town.write_account(database, DESK, "concierge", realm, company_id=company)
        bench_town.insert(
            database, "concierge_desks", company_id=company, account_id=desk, name="Desk", priority=1, on_duty=1
        )
        for place, household in enumerate(town.phones):
            _give_phone(database, company, _apartment_of(database, household), place, now_ms)
        for household in town.sleepers:
            account = database.execute(
                "SELECT id FROM accounts WHERE account = ?", (household.handsets[2].name,)
            ).fetchone()[0]
            bench_town.insert(
                database, "push_tokens", company_id=company, account_id=account, device="bench", platform="webhook",
                token=f"http://127.0.0.70/hook/{household.handsets[2].name}", created_at_ms=now_ms,
                updated_at_ms=now_ms,
            )  # fmt: skip


def _apartment_of(database: sqlite3.Connection, household: Household) -> int:
    found = "SELECT apartment_id FROM accounts WHERE account = ?"
    return int(database.execute(found, (household.handsets[0].name,)).fetchone()[0])


def _give_phone(database: sqlite3.Connection, company: int, apartment: int, place: int, now_ms: int) -> None:
    number = f"+7916{place:07}"
    resident = bench_town.insert(
        database, "residents", company_id=company, name=f"Bench resident {place}", created_at_ms=now_ms
    )
    bench_town.insert(
        database, "residencies", company_id=company, resident_id=resident, apartment_id=apartment, role="owner"
    )
    bench_town.insert(database, "resident_phones", company_id=company, resident_id=resident, phone=number, position=0)
    bench_town.insert(
        database, "accounts", account=f"bf{place:05}", kind="phone", enabled=1, created_at_ms=now_ms,
        company_id=company, apartment_id=apartment, phone=number,
    )  # fmt: skip
    plan = bench_town.insert(database, "ring_plans", company_id=company, apartment_id=apartment, name="Phone only")
    stage = bench_town.insert(database, "ring_stages", plan_id=plan, position=0, ring_timeout_s=30)
    bench_town.insert(database, "ring_targets", stage_id=stage, position=0, kind="phone")
