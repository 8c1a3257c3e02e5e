"""What is asked of the CRM at city size: ring plans all over the city, an operator's searches, pages at any depth."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import quote, urlencode

from crm_api.services.context import Tenant
from crm_api.services.paging import Asked, cursor_after
from lab.town.city.build import UNTIL
from lab.town.city.people import key_number, resident_phone
from lab.town.city.rows import household_accounts, panel_account

if TYPE_CHECKING:
    import random

    from lab.town.city.layout import Layout

_LIMIT: Final = 100
_DEPTHS: Final = 12
_YEAR_MS: Final = 365 * 86_400_000
_TENTH: Final = 9


@dataclass(frozen=True)
class Listing:
    """A list: its path, the noun that its cursors are made for, the filters asked with, its rows."""

    path: str
    noun: str
    rows: int
    sort: str = "id"
    filters: tuple[tuple[str, Any], ...] = ()


def plan_paths(layout: Layout, count: int, rng: random.Random) -> list[str]:
    """Ring plans of `count` different apartments, each at one of the panels that reach it."""
    paths = []
    for apartment in rng.sample(range(layout.size.apartments), min(count, layout.size.apartments)):
        panel = rng.choice(layout.panels_of[layout.entrance_of[apartment]])
        paths.append(f"/v1/ring-plans/{panel_account(panel)}/{layout.dialled(panel, apartment)}")
    return paths


def search_paths(layout: Layout, each: int, rng: random.Random) -> dict[str, list[str]]:
    """What an operator looks for, by kind; each tenth time something that does not exist."""
    size = layout.size
    houses = [layout.houses[rng.randrange(len(layout.houses))].address for _ in range(each)]
    apartments = [rng.randrange(size.apartments) for _ in range(each)]
    accounts = [household_accounts(layout, a)[0][0] if layout.household(a) else "h0000000" for a in apartments]
    phones = [resident_phone(rng.randrange(1, size.apartments)) for _ in range(each)]
    keys = [key_number(rng.randrange(1, size.apartments)) for _ in range(each)]
    panels = [panel_account(rng.randrange(size.panels)) for _ in range(each)]
    parts = [address.partition("ул. ")[2].replace(", д.", "") for address in houses]
    wanted = {
        "/v1/search?q=": {
            "address": houses,
            "part_of_address": parts,
            "street": [part[:5] for part in parts],
            "account": accounts,
            "phone": phones,
            "part_of_phone": [phone[-7:] for phone in phones],
            "key": keys,
            "panel": panels,
        },
        "/v1/houses?address=": {"houses_by_address": houses},
        "/v1/accounts?account=": {"accounts_by_name": accounts},
        "/v1/residents?phone=": {"residents_by_phone": phones},
        # Eight digits alone might be decimal.
        "/v1/keys?number=": {"keys_by_number": [":".join(key[at : at + 2] for at in range(0, 8, 2)) for key in keys]},
    }
    return {
        kind: [path + quote(_missing(text) if index % 10 == _TENTH else text) for index, text in enumerate(texts)]
        for path, kinds in wanted.items()
        for kind, texts in kinds.items()
    }


def _missing(text: str) -> str:
    """The same with its last two characters changed: nobody has it, or somebody else."""
    return text[:-2] + text[-1:] + text[-2:-1]


def listings(layout: Layout) -> list[Listing]:
    """The long lists, and records of one panel, apartment and house among millions."""
    size = layout.size
    lists = [
        Listing("/v1/houses", "house", len(layout.houses)),
        Listing("/v1/houses", "house", len(layout.houses), "address"),
        Listing("/v1/entrances", "entrance", len(layout.entrances)),
        Listing("/v1/apartments", "apartment", size.apartments),
        Listing("/v1/apartments", "apartment", size.apartments, "number"),
        Listing("/v1/accounts", "account", size.accounts),
        Listing("/v1/panels", "panel", size.panels),
        Listing("/v1/residents", "resident", size.apartments * 3 // 2),
        Listing("/v1/keys", "key", size.apartments * 7 // 4),
        Listing("/v1/blocks", "block", size.apartments // 50),
        Listing("/v1/ring-plans", "ring plan", size.apartments // 25),
        Listing("/v1/calls", "call", size.calls, "-id"),
        Listing("/v1/calls", "call", size.calls, "id"),
        Listing("/v1/calls", "call", size.calls, "-started_at_ms"),
        Listing("/v1/access-records", "access record", size.calls * 7 // 10, "-id"),
    ]
    records = (("/v1/calls", "call", size.calls), ("/v1/access-records", "access record", size.calls * 7 // 10))
    narrow: tuple[tuple[tuple[str, Any], ...], ...] = ((("panel", panel_account(7)),), (("apartment_id", 7),))
    return lists + [Listing(path, noun, rows, "-id", filters) for path, noun, rows in records for filters in narrow]


def page_paths(listing: Listing, layout: Layout, companies: tuple[int, ...] | None, rng: random.Random) -> list[str]:
    """The first page, and pages at depths spread over the whole list, as `next` of the page before would lead there.

    Args:
        listing: the list.
        layout: the town.
        companies: of the one who asks; None for all.
        rng: chooses the depths.
    """
    tenant = Tenant(None) if companies is None else Tenant.of(*companies)
    filters = {"sort": listing.sort, "limit": _LIMIT, **dict(listing.filters)}
    paths = [f"{listing.path}?{urlencode(filters)}"]
    asked = Asked(filters=dict(listing.filters), sort=listing.sort, limit=_LIMIT)
    for _ in range(_DEPTHS):
        row = rng.randrange(1, listing.rows)
        value: Any = {
            "id": row,
            "number": row % 144,
            "address": layout.houses[row % len(layout.houses)].address,
            "started_at_ms": round(UNTIL.timestamp() * 1000) - row * _YEAR_MS // listing.rows,
        }[asked.column]
        cursor = cursor_after(asked, tenant, listing.noun, (value, row))
        paths.append(f"{listing.path}?{urlencode(filters)}&cursor={quote(cursor)}")
    return paths
