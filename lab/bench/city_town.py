"""Households spread over a whole city for the door calls, and contacts for its phones in Kamailio's database."""

from __future__ import annotations

import random
import shutil
import sqlite3
import time
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

from lab.bench.population import ROLES, Account, Household
from lab.location_database import create_location_database
from lab.town.city.build import SEED
from lab.town.city.cache import cached_city
from lab.town.city.layout import make_layout
from lab.town.city.rows import household_accounts, panel_account, password_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from lab.settings import LabSettings
    from lab.town.city.sizes import CitySize

_CONTACT_COLUMNS: Final = (
    "ruid", "username", "contact", "received", "expires", "q", "callid", "cseq", "last_modified", "flags", "cflags",
    "user_agent", "socket", "connection_id", "partition",
)  # fmt: skip
_NATTED: Final = 1 << 6
"""Branch flag of usrloc's nat_bflag."""
_JULIAN_EPOCH: Final = 2_440_587.5
_DAY_S: Final = 86_400


def put_city(settings: LabSettings, size: CitySize) -> None:
    """Put a copy of the (cached) city where the instance has its CRM's database."""
    settings.create_directories()
    shutil.copy(cached_city(size, settings.domain), settings.lib / "crm.db")


def households_of(size: CitySize, realm: str, count: int) -> list[Household]:
    """Households of exactly three phones that all ring at once, each behind the main door of an entrance of its own.

    Raises:
        ValueError: the town has not so many.
    """
    layout = make_layout(size, SEED)
    special = _with_own_rules(size, realm)
    rng = random.Random(SEED)
    found = []
    for entrance in rng.sample(range(len(layout.entrances)), len(layout.entrances)):
        panel = layout.panels_of[entrance][0]
        for apartment in layout.entrances[entrance].apartments:
            accounts = household_accounts(layout, apartment)
            if len(accounts) == len(ROLES) and apartment + 1 not in special:
                first, second, third = (Account(name, password_of(name, SEED)) for name, _ in accounts)
                visitor = Account(panel_account(panel), password_of(panel_account(panel), SEED))
                found.append(Household(visitor, layout.dialled(panel, apartment), (first, second, third)))
                break
        if len(found) == count:
            return found
    raise ValueError(f"a {size.name} has {len(found)} such households, {count} are wanted: take a larger SIZE")


def _with_own_rules(size: CitySize, realm: str) -> set[int]:
    """Ids of apartments that do not simply ring: blocked, or with a kept plan of their own, their house or company."""
    query = """
        SELECT apartment_id FROM blocks UNION SELECT apartment_id FROM ring_plans WHERE apartment_id IS NOT NULL
        UNION SELECT a.id FROM apartments a JOIN ring_plans p ON p.house_id = a.house_id
        UNION SELECT a.id FROM apartments a JOIN ring_plans p
            ON p.company_id = a.company_id AND p.house_id IS NULL AND p.apartment_id IS NULL
    """
    with closing(sqlite3.connect(cached_city(size, realm))) as database:
        return {row[0] for row in database.execute(query)}


def add_contacts(settings: LabSettings, contacts: int) -> int:
    """Write contacts of the town's phones beside those that are registered; returns how many there are then.

    Kamailio must not run. Apps stand behind NAT, so they are pinged; the other phones do not.
    """
    create_location_database(settings.lib / "location.db", settings.root)
    with (
        closing(sqlite3.connect(settings.lib / "crm.db")) as crm,
        closing(sqlite3.connect(settings.lib / "location.db")) as location,
        location,
    ):
        kept = {row[0] for row in location.execute("SELECT username FROM location")}
        (count,) = location.execute("SELECT count(*) FROM location").fetchone()
        wanted = max(0, contacts - count)
        accounts = crm.execute(
            "SELECT account, kind FROM accounts WHERE apartment_id IS NOT NULL AND ha1 IS NOT NULL ORDER BY id"
        )
        new = [row for row in accounts if row[0] not in kept][:wanted]
        marks = ", ".join("?" * len(_CONTACT_COLUMNS))
        location.executemany(
            f"INSERT INTO location ({', '.join(_CONTACT_COLUMNS)}) VALUES ({marks})",  # noqa: S608 - constants
            _contacts(new, f"udp:{settings.sip_address}:{settings.sip_port}"),
        )
        return int(count) + len(new)


def _contacts(accounts: list[tuple[str, str]], socket: str) -> Iterator[tuple[Any, ...]]:
    now = _JULIAN_EPOCH + time.time() / _DAY_S
    for index, (account, kind) in enumerate(accounts):
        address = f"127.{20 + index // 62_500}.{index // 250 % 250}.{index % 250 + 1}"
        behind_nat = kind == "app"
        yield (
            f"uloc-6b018b9d-2b6a-{index:x}",
            account,
            f"sip:{account}@{f'192.168.1.{index % 250 + 1}' if behind_nat else address}:5060",
            f"sip:{address}:5060" if behind_nat else None,
            now + 1 / 24 + index % 1000 / 1e5,
            -1.0,
            f"{index:016x}@{address}",
            index % 100 + 2,
            now,
            0,
            _NATTED if behind_nat else 0,
            "Entryphone 3.12 (Android 15)" if behind_nat else "Beward DKS15122",
            socket,
            -1,
            index % 16,
        )
