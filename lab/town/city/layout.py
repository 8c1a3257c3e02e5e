"""Where everything stands: companies, houses, entrances, panels and gates; decided from the seed, kept in memory.

Every id is the position in its list plus one, so rows refer to each other without asking the database.
"""

from __future__ import annotations

import random
from array import array
from dataclasses import dataclass, field
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final, NamedTuple

from crm_api.domain.numbering import number_to_dial
from lab.town.city.sizes import HOUSEHOLDS

if TYPE_CHECKING:
    from lab.town.city.sizes import CitySize

CITIES: Final = ("Приреченск", "Заозёрск", "Новолесье", "Верхнеярск")
"""Of the companies; the first has most of the houses."""
CITY_WEIGHTS: Final = (70, 15, 10, 5)
CONCIERGE_EVERY: Final = 40
"""One house in so many has a concierge desk."""
_FIRST_CODE: Final = 21
_MAX_GATE_HOUSES: Final = 6
_MAX_HOUSEHOLD: Final = 8

# Floors, apartments on a floor, weight: five and nine floors of the last century, towers of this one.
_SHAPES: Final = (
    ((5, 4), 340), ((5, 3), 140), ((9, 4), 80), ((3, 4), 180), ((2, 4), 160), ((12, 4), 20), ((17, 6), 10),
    ((25, 8), 2),
)  # fmt: skip
# How many entrances, and the weight: the most have a few, some are as long as a street.
_ENTRANCES: Final = ((1, 16), (2, 20), (3, 16), (4, 22), (5, 6), (6, 10), (8, 6), (10, 2), (12, 2))


class House(NamedTuple):
    """A house: its company and city (ids), address, its entrances as a range of positions."""

    company: int
    city: int
    address: str
    entrances: range


class Entrance(NamedTuple):
    """An entrance: position of its house, its number in it, its apartments as positions, the number of the first."""

    house: int
    number: int
    apartments: range
    first_number: int
    on_a_floor: int


class Place(NamedTuple):
    """What a panel serves: positions of the house and (None for all) of the entrance, under a code."""

    house: int
    entrance: int | None
    code: str


class Panel(NamedTuple):
    """A panel: its company (id), what it is called, what it serves."""

    company: int
    name: str
    places: tuple[Place, ...]


@dataclass
class Layout:
    """A city in memory; `household_of` and `added` tell each apartment's make-up and its apps more or less."""

    size: CitySize
    companies: list[str] = field(default_factory=list)
    houses: list[House] = field(default_factory=list)
    entrances: list[Entrance] = field(default_factory=list)
    entrance_of: array[int] = field(default_factory=lambda: array("I"))
    panels: list[Panel] = field(default_factory=list)
    panels_of: list[list[int]] = field(default_factory=list)
    household_of: bytearray = field(default_factory=bytearray)
    added: dict[int, int] = field(default_factory=dict)
    concierges: list[int] = field(default_factory=list)

    def household(self, apartment: int) -> tuple[str, ...]:
        """Kinds of the accounts of an apartment, by its position."""
        kinds: tuple[str, ...] = HOUSEHOLDS[self.household_of[apartment]][0]
        more = self.added.get(apartment, 0)
        if more > 0:
            return kinds + ("app",) * more
        return kinds[:more] if more else kinds

    def company_of(self, apartment: int) -> int:
        """Id of the company of an apartment."""
        return self.houses[self.entrances[self.entrance_of[apartment]].house].company

    def dialled(self, panel: int, apartment: int) -> str:
        """What is pressed at a panel for an apartment behind it: at a gate of several houses their code comes first."""
        places, home = self.panels[panel].places, self.entrances[self.entrance_of[apartment]]
        number = home.first_number + apartment - home.apartments.start
        if len(places) == 1:
            return number_to_dial("", number)
        return number_to_dial(next(place.code for place in places if place.house == home.house), number)


def make_layout(size: CitySize, seed: int) -> Layout:
    """Decide the whole city."""
    rng = random.Random(f"{seed}:{size.name}")
    layout = Layout(size, _lines("companies.txt")[: size.companies])
    _build_houses(layout, rng)
    _mount_panels(layout, rng)
    _house_people(layout, rng)
    return layout


def _lines(file: str) -> list[str]:
    return Path(__file__).with_name(file).read_text(encoding="utf-8").splitlines()


def _build_houses(layout: Layout, rng: random.Random) -> None:
    size = layout.size
    streets = _lines("streets.txt")
    # Shares as company sizes have them (Zipf): the greatest has some thirty percent, the least two.
    companies = list(range(1, size.companies + 1))
    company_weights = list(accumulate(1 / rank for rank in companies))
    cities = range(1, len(CITIES) + 1)
    number_on: dict[tuple[int, str], int] = {}
    built = 0
    while built < size.apartments:
        company = rng.choices(companies, cum_weights=company_weights)[0]
        city = rng.choices(cities, CITY_WEIGHTS)[0]
        street = rng.choice(streets)
        number = number_on[city, street] = number_on.get((city, street), 0) + rng.choice((1, 1, 2, 2, 3))
        block = rng.choice(("", "", "", f", корп. {rng.randint(1, 4)}", f"{rng.choice('АБВ')}"))
        address = f"{CITIES[city - 1]}, ул. {street}, д. {number}{block}"
        (floors, on_a_floor) = rng.choices([s for s, _ in _SHAPES], [w for _, w in _SHAPES])[0]
        wanted = rng.choices([n for n, _ in _ENTRANCES], [w for _, w in _ENTRANCES])[0]
        first_entrance, first_number = len(layout.entrances), 1
        for entrance_number in range(1, wanted + 1):
            count = min(floors * on_a_floor, size.apartments - built)
            if not count:
                break
            layout.entrances.append(
                Entrance(len(layout.houses), entrance_number, range(built, built + count), first_number, on_a_floor)
            )
            layout.entrance_of.extend([len(layout.entrances) - 1] * count)
            built, first_number = built + count, first_number + count
        if len(layout.houses) % CONCIERGE_EVERY == 0:
            layout.concierges.append(len(layout.houses))
        layout.houses.append(House(company, city, address, range(first_entrance, len(layout.entrances))))


def _mount_panels(layout: Layout, rng: random.Random) -> None:
    """A panel at every entrance, gates for a fifth of what is left, second doors for the rest."""
    layout.panels_of = [[] for _ in layout.entrances]
    for position, entrance in enumerate(layout.entrances):
        _mount(layout, entrance.house, f"подъезд {entrance.number}", (Place(entrance.house, position, ""),))
    left = layout.size.panels - len(layout.panels)
    if left < 0:
        raise ValueError(f"{layout.size.name}: {-left} panels too few for its {len(layout.entrances)} entrances")
    # Houses of one company that stand side by side share a gate.
    neighbours: dict[int, list[int]] = {}
    for position, house in enumerate(layout.houses):
        neighbours.setdefault(house.company, []).append(position)
    groups = []
    for houses in neighbours.values():
        start = 0
        while start < len(houses):
            count = rng.randint(1, _MAX_GATE_HOUSES)
            groups.append(houses[start : start + count])
            start += count
    for group in rng.sample(groups, min(len(groups), left // 5)):
        codes = [""] if len(group) == 1 else [str(_FIRST_CODE + index) for index in range(len(group))]
        places = tuple(Place(house, None, code) for house, code in zip(group, codes, strict=True))
        _mount(layout, group[0], "калитка", places)
    left = layout.size.panels - len(layout.panels)
    for _ in range(left):
        position = rng.randrange(len(layout.entrances))
        entrance = layout.entrances[position]
        _mount(layout, entrance.house, f"подъезд {entrance.number}, двор", (Place(entrance.house, position, ""),))


def _mount(layout: Layout, house: int, name: str, places: tuple[Place, ...]) -> None:
    home = layout.houses[house]
    for place in places:
        served = layout.houses[place.house].entrances if place.entrance is None else (place.entrance,)
        for entrance in served:
            layout.panels_of[entrance].append(len(layout.panels))
    layout.panels.append(Panel(home.company, f"{home.address}, {name}", places))


def _house_people(layout: Layout, rng: random.Random) -> None:
    """Households by weight, then an app more or less here and there until the count of accounts is exact."""
    size = layout.size
    weights = [weight for _, weight in HOUSEHOLDS]
    layout.household_of = bytearray(rng.choices(range(len(HOUSEHOLDS)), weights, k=size.apartments))
    sizes = [len(kinds) for kinds, _ in HOUSEHOLDS]
    others = size.panels + len(layout.concierges) + len(CITIES)
    missing = size.accounts - others - sum(map(sizes.__getitem__, layout.household_of))
    step = 1 if missing > 0 else -1
    while missing:
        apartment = rng.randrange(size.apartments)
        here = sizes[layout.household_of[apartment]] + layout.added.get(apartment, 0)
        if 1 < here + step <= _MAX_HOUSEHOLD and layout.household(apartment)[-1] == "app":
            layout.added[apartment] = layout.added.get(apartment, 0) + step
            missing -= step
