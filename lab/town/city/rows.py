"""Rows of a layout, table by table, in an order in which every row refers only to rows before it."""

from __future__ import annotations

import hashlib
import random
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crm_api.domain.search_text import search_text
from lab.town.city.layout import CITIES
from lab.town.city.sizes import LETTERS

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from lab.town.city.layout import Layout

# Name; stops calls, opening, keys, codes.
_BLOCK_KINDS: Final = (
    ("долг", False, True, False, True),
    ("ремонт", True, True, False, False),
    ("по просьбе жильца", True, False, False, False),
)
_MAKERS: Final = (
    ("beward", "Beward", "DKS15122"),
    ("beward", "Beward", "DKS15374"),
    ("generic", "Akuvox", "R20A"),
    ("beward", "Beward", "DS06M"),
    ("generic", "Hikvision", "DS-KD8003"),
)
_BLOCKED_SHARE: Final = 0.02
_HOUSE_PLAN_SHARE: Final = 0.03
_APARTMENT_PLAN_SHARE: Final = 0.04
_DAY_MS: Final = 86_400_000


class Table(NamedTuple):
    """Rows for one table; `total` is how many there will be, for the progress."""

    name: str
    columns: tuple[str, ...]
    total: int
    rows: Iterable[tuple[Any, ...]]


def password_of(account: str, seed: int) -> str:
    """Password of an account of the city: anybody who knows the seed can register."""
    return hashlib.sha256(f"{seed}:{account}".encode()).hexdigest()[:24]


def panel_account(panel: int) -> str:
    """Account of the panel at this position."""
    return f"p{panel + 1:06}"


def account_name(kind: str, apartment: int, index: int) -> str:
    """Account of a device of an apartment, by their positions."""
    return f"{LETTERS[kind]}{apartment + 1:06}{index}"


def household_accounts(layout: Layout, apartment: int) -> list[tuple[str, str]]:
    """Account and kind of every device of an apartment, by its position."""
    return [(account_name(kind, apartment, index), kind) for index, kind in enumerate(layout.household(apartment))]


class CityRows:
    """The rows of what is kept; `realm` and `seed` make HA1."""

    def __init__(self, layout: Layout, realm: str, seed: int, until_ms: int) -> None:
        self._layout = layout
        self._realm = realm
        self._seed = seed
        self._until_ms = until_ms
        self._created_at_ms = until_ms - 2 * 365 * _DAY_MS
        # Panels, then desks, then dispatch centres, then households: the id of an account is its place in this order.
        self._desks_from = len(layout.panels) + 1
        self._dispatch_from = self._desks_from + len(layout.concierges)

    def tables(self) -> Iterator[Table]:
        """Everything but the history."""
        layout, size = self._layout, self._layout.size
        yield Table("cities", ("id", "name", "fias_id", "time_zone"), len(CITIES), self._cities())
        companies = ("id", "name", "city_id", "language", "active", "ring_timeout_s", "talk_limit_s", "created_at_ms")
        yield Table("companies", companies, size.companies, self._companies())
        houses = ("id", "company_id", "city_id", "address", "search_text", "fias_id", "latitude", "longitude")
        yield Table("houses", houses, len(layout.houses), self._houses())
        entrances = ("id", "company_id", "house_id", "number")
        yield Table("entrances", entrances, len(layout.entrances), self._entrances())
        apartments = ("id", "company_id", "house_id", "entrance_id", "number", "floor")
        yield Table("apartments", apartments, size.apartments, self._apartments())
        accounts = ("id", "company_id", "apartment_id", "account", "kind", "ha1", "enabled", "created_at_ms")
        yield Table("accounts", accounts, size.accounts, self._accounts())
        yield Table("dispatch_centres", ("account_id", "city_id"), len(CITIES), self._dispatch_centres())
        gates = [position for position, panel in enumerate(layout.panels) if panel.places[0].entrance is None]
        self._gate_of = {panel: identifier for identifier, panel in enumerate(gates, 1)}
        yield Table("gates", ("id", "company_id", "name"), len(gates), self._gates())
        served = [(self._gate_of[panel], place) for panel in gates for place in layout.panels[panel].places]
        houses_of = [(gate, layout.houses[place.house].company, place.house + 1) for gate, place in served]
        yield Table("gate_houses", ("gate_id", "company_id", "house_id"), len(houses_of), houses_of)
        shown = ("name", "search_text", "driver", "address", "maker", "model", "gate_id")
        yield Table("panels", ("id", "company_id", "account_id", *shown), size.panels, self._panels())
        places = ("panel_id", "company_id", "house_id", "entrance_id", "code")
        yield Table("panel_places", places, sum(len(panel.places) for panel in layout.panels), self._panel_places())
        doors = ("company_id", "panel_id", "output", "name", "method", "dtmf", "entrance_id", "gate_id")
        yield Table("doors", doors, size.panels, self._doors())
        columns: tuple[str, ...] = ("company_id", "house_id", "account_id", "name", "priority", "on_duty")
        yield Table("concierge_desks", columns, len(layout.concierges), self._desks())
        yield from self._rules()

    def _cities(self) -> Iterator[tuple[Any, ...]]:
        for identifier, name in enumerate(CITIES, 1):
            yield identifier, name, f"00000000-0000-4000-8000-{identifier:012}", "Europe/Moscow"

    def _companies(self) -> Iterator[tuple[Any, ...]]:
        for identifier, name in enumerate(self._layout.companies, 1):
            yield identifier, name, 1, "ru", True, 30, 120, self._created_at_ms

    def _houses(self) -> Iterator[tuple[Any, ...]]:
        for identifier, house in enumerate(self._layout.houses, 1):
            latitude, longitude = 54 + house.city / 10 + identifier % 61 / 1000, 48 + identifier % 97 / 1000
            fias_id = f"00000000-0000-4000-9000-{identifier:012}"
            found_by = search_text(house.address)
            yield identifier, house.company, house.city, house.address, found_by, fias_id, latitude, longitude

    def _entrances(self) -> Iterator[tuple[Any, ...]]:
        for identifier, entrance in enumerate(self._layout.entrances, 1):
            yield identifier, self._layout.houses[entrance.house].company, entrance.house + 1, entrance.number

    def _apartments(self) -> Iterator[tuple[Any, ...]]:
        for identifier, entrance in enumerate(self._layout.entrances, 1):
            company = self._layout.houses[entrance.house].company
            for index, apartment in enumerate(entrance.apartments):
                number, floor = entrance.first_number + index, index // entrance.on_a_floor + 1
                yield apartment + 1, company, entrance.house + 1, identifier, number, floor

    def _accounts(self) -> Iterator[tuple[Any, ...]]:
        layout, created_at_ms = self._layout, self._created_at_ms
        identifier = 0
        for identifier, panel in enumerate(layout.panels, 1):
            account = panel_account(identifier - 1)
            yield identifier, panel.company, None, account, "panel", self._ha1(account), True, created_at_ms
        for house in layout.concierges:
            identifier, account = identifier + 1, f"desk{house + 1:05}"
            company = layout.houses[house].company
            yield identifier, company, None, account, "concierge", self._ha1(account), True, created_at_ms
        for city in range(1, len(CITIES) + 1):
            identifier, account = identifier + 1, f"dispatch-{city}"
            yield identifier, None, None, account, "trunk", self._ha1(account), True, created_at_ms
        for entrance in layout.entrances:
            company = layout.houses[entrance.house].company
            for apartment in entrance.apartments:
                for account, kind in household_accounts(layout, apartment):
                    identifier += 1
                    ha1 = self._ha1(account)
                    yield identifier, company, apartment + 1, account, kind, ha1, True, created_at_ms

    def _ha1(self, account: str) -> str:
        """MD5(account:realm:password), RFC 2617 section 3.2.2.2."""
        secret = f"{account}:{self._realm}:{password_of(account, self._seed)}"
        return hashlib.md5(secret.encode(), usedforsecurity=False).hexdigest()

    def _dispatch_centres(self) -> Iterator[tuple[Any, ...]]:
        for index in range(len(CITIES)):
            yield self._dispatch_from + index, index + 1

    def _gates(self) -> Iterator[tuple[Any, ...]]:
        for panel, identifier in self._gate_of.items():
            yield identifier, self._layout.panels[panel].company, self._layout.panels[panel].name

    def _panels(self) -> Iterator[tuple[Any, ...]]:
        for position, panel in enumerate(self._layout.panels):
            driver, maker, model = _MAKERS[position % len(_MAKERS)]
            address = f"10.{position // 62_500 + 20}.{position // 250 % 250}.{position % 250 + 1}"
            gate = self._gate_of.get(position)
            device = (panel.name, search_text(panel.name), driver, address, maker, model, gate)
            yield position + 1, panel.company, position + 1, *device

    def _panel_places(self) -> Iterator[tuple[Any, ...]]:
        for identifier, panel in enumerate(self._layout.panels, 1):
            for place in panel.places:
                entrance = None if place.entrance is None else place.entrance + 1
                yield identifier, panel.company, place.house + 1, entrance, place.code

    def _doors(self) -> Iterator[tuple[Any, ...]]:
        for identifier, panel in enumerate(self._layout.panels, 1):
            entrance = panel.places[0].entrance
            leads_to = (None, self._gate_of[identifier - 1]) if entrance is None else (entrance + 1, None)
            yield panel.company, identifier, 1, "Дверь", "dtmf", "1", *leads_to

    def _desks(self) -> Iterator[tuple[Any, ...]]:
        for account, house in enumerate(self._layout.concierges, self._desks_from):
            yield self._layout.houses[house].company, house + 1, account, "Консьерж", 1, True

    def _rules(self) -> Iterator[Table]:
        """Kinds of blocks and blocks; ring plans of a third of the companies, of some houses and apartments."""
        layout = self._layout
        rng = random.Random(f"{self._seed}:rules")
        kinds = [
            (company * len(_BLOCK_KINDS) + index + 1, company + 1, *kind)
            for company in range(layout.size.companies)
            for index, kind in enumerate(_BLOCK_KINDS)
        ]
        columns: tuple[str, ...] = (
            "id",
            "company_id",
            "name",
            "stops_calls",
            "stops_opening",
            "stops_keys",
            "stops_codes",
        )
        yield Table("block_kinds", columns, len(kinds), kinds)
        apartments = range(layout.size.apartments)
        blocked = sorted(rng.sample(apartments, round(len(apartments) * _BLOCKED_SHARE)))
        blocks = [self._block(apartment, rng) for apartment in blocked]
        spans = ("starts_at_ms", "ends_at_ms", "created_at_ms")
        yield Table("blocks", ("company_id", "apartment_id", "kind_id", "reason", *spans), len(blocks), blocks)
        plans: list[tuple[Any, ...]] = [(c, None, None, "Общий") for c in range(1, layout.size.companies + 1, 3)]
        houses = sorted(rng.sample(range(len(layout.houses)), round(len(layout.houses) * _HOUSE_PLAN_SHARE)))
        plans += [(layout.houses[house].company, house + 1, None, "Дом") for house in houses]
        homes = sorted(rng.sample(apartments, round(len(apartments) * _APARTMENT_PLAN_SHARE)))
        plans += [(layout.company_of(home), None, home + 1, "Квартира") for home in homes]
        columns = ("id", "company_id", "house_id", "apartment_id", "name")
        yield Table("ring_plans", columns, len(plans), ((i, *plan) for i, plan in enumerate(plans, 1)))
        stages = [(2 * i - 1 + n, i, n, (12, 30)[n]) for i in range(1, len(plans) + 1) for n in (0, 1)]
        yield Table("ring_stages", ("id", "plan_id", "position", "ring_timeout_s"), len(stages), stages)
        targets = [(stage, 0, "handset" if position == 0 else "all") for stage, _, position, _ in stages]
        yield Table("ring_targets", ("stage_id", "position", "kind"), len(targets), targets)

    def _block(self, apartment: int, rng: random.Random) -> tuple[Any, ...]:
        company = self._layout.company_of(apartment)
        index = rng.choices(range(len(_BLOCK_KINDS)), (8, 1, 1))[0]
        starts_at_ms = self._until_ms - rng.randrange(1, 200) * _DAY_MS
        ends_at_ms = rng.choice((None, None, self._until_ms + 30 * _DAY_MS, starts_at_ms + 20 * _DAY_MS))
        kind = (company - 1) * len(_BLOCK_KINDS) + index + 1
        return company, apartment + 1, kind, _BLOCK_KINDS[index][0], starts_at_ms, ends_at_ms, starts_at_ms
