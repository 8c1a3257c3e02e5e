"""How much there is in a city, and what its households are made of."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final


@dataclass(frozen=True)
class CitySize:
    """Exact counts of one size.

    Attributes:
        name: what `make town SIZE=` takes.
        panels: door panels and gates.
        apartments: in all houses.
        accounts: of panels, households, concierges and dispatch centres together.
        companies: tenants, of unequal size.
        calls: call records, spread over a year by the real daily curve.
        calls_with_branches: how many of the newest keep their branches.
        key_openings: doors opened with a key, as many records of the year.
    """

    name: str
    panels: int
    apartments: int
    accounts: int
    companies: int
    calls: int
    calls_with_branches: int
    key_openings: int


SIZES: Final = {
    size.name: size
    for size in (
        CitySize("demo", 40, 440, 1_290, 3, 2_000, 1_000, 1_000),
        CitySize("district", 2_200, 25_000, 73_000, 6, 100_000, 20_000, 30_000),
        CitySize("city", 22_000, 250_000, 730_000, 15, 2_000_000, 400_000, 600_000),
    )
}

CALLS_A_DAY: Final = 65_000
"""Of the city; records are a sample of them."""

HOUSEHOLDS: Final = (
    ((), 5),
    (("handset",), 13),
    (("app",), 6),
    (("handset", "app"), 18),
    (("handset", "app", "app"), 20),
    (("handset", "indoor_unit", "app"), 9),
    (("indoor_unit", "app", "app"), 6),
    (("app", "app", "app"), 5),
    (("handset", "app", "app", "app"), 9),
    (("handset", "indoor_unit", "app", "app"), 4),
    (("home_gateway", "app", "app"), 3),
    (("handset", "home_gateway", "app", "app", "app"), 2),
)
"""Make-up of a household, and its weight. Apps are then added or left out here and there until accounts are exact."""

LETTERS: Final = {"handset": "h", "indoor_unit": "i", "app": "a", "home_gateway": "g"}

HOURS: Final = (4, 2, 1, 1, 2, 8, 22, 48, 52, 42, 44, 50, 58, 56, 54, 62, 74, 92, 106, 100, 76, 48, 24, 10)
"""Weight of each hour of the day, in local time: a shoulder in the morning, the peak when people come home."""

WEEKDAYS: Final = (100, 100, 101, 102, 108, 96, 84)
"""Weight of each day of the week, Monday first."""

RESULTS: Final = (
    ("answered", 52),
    ("no_answer", 24),
    ("caller_hung_up", 17),
    ("unknown_number", 3),
    ("busy", 2),
    ("blocked", 1),
    ("failed", 1),
)
"""How calls end, in percent."""
