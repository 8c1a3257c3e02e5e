"""Apartments from CSV: a row is one of them, or a range that stands on one floor or in one entrance."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, ClassVar, Final

from crm_api.domain.csv_table import Column, plain
from crm_api.domain.number_ranges import RangeError, ranges_of, told
from crm_api.services.apartments import Apartments
from crm_api.services.importing.importer import Importer, WrongCellError, limited, whole_number
from crm_api.services.importing.known_places import ADDRESS, APARTMENT, ENTRANCE, LAST_ENTRANCE, KnownPlaces
from crm_api.services.places import Entrances
from crm_api.tables.dialled_numbers import Reach
from crm_api.tables.id_blocks import reserved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.domain.csv_table import CsvRow
    from crm_api.services.audit import Entry
    from crm_api.services.context import Context

LONGEST_LABEL: Final = 20
_ENTRANCE: Final = ("id", "company_id", "house_id", "number")
_APARTMENT: Final = ("id", "company_id", "house_id", "entrance_id", "number", "label", "floor")


class ApartmentImport(Importer):
    """`apartment` holds a number or a range; `label` what the door says instead of the number."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column(ADDRESS.name, ADDRESS.aliases, required=True),
        Column(ENTRANCE.name, ENTRANCE.aliases, required=True),
        Column(APARTMENT.name, APARTMENT.aliases, required=True),
        Column("floor", ("этаж",)),
        Column("label", ("надпись",)),
    )

    def __init__(self, context: Context, company_id: int, options: dict[str, Any]) -> None:
        super().__init__(context, company_id, options)
        self._places = KnownPlaces(self.database, company_id)
        self._taken: dict[tuple[int, str], int] = dict.fromkeys(chain(self._places.apartments, self._places.labels), 0)
        self._missing: dict[tuple[int, int], int] = {}
        self._apartments: list[tuple[int, int, int, str | None, int | None]] = []
        self._lines: list[tuple[Any, ...]] = []
        self._entrance_lines: list[tuple[int, ...]] = []

    def read(self, row: CsvRow) -> None:
        """Remember the apartments of a row."""
        house_id = self._places.house(row)
        entrance = whole_number(row.cells["entrance"], "entrance", 1, LAST_ENTRANCE)
        missing = (house_id, entrance) not in self._places.entrances
        if missing and not self.options.get("make_entrances"):
            raise WrongCellError("entrance", "the house has no such entrance: make it first, or say make_entrances")
        floor_text = row.cells.get("floor", "")
        floor = whole_number(floor_text, "floor", -9, 200) if floor_text else None
        label = limited(row.cells.get("label", ""), "label", LONGEST_LABEL) or None
        numbers = self._listed(row)
        if label is not None and len(numbers) > 1:
            raise WrongCellError("label", "one apartment has one label: give the row a single number")
        numbers = self._free(house_id, numbers)
        if label is not None and numbers and self._taken.get((house_id, plain(label))) is not None:
            raise WrongCellError("label", "another apartment of the house has this label or number")
        for number in numbers:
            self._taken[house_id, str(number)] = row.number
            self._apartments.append((house_id, entrance, number, label, floor))
        if label is not None:
            self._taken[house_id, plain(label)] = row.number
        if missing and numbers:
            self._missing[house_id, entrance] = 0

    def prepare(self) -> None:
        """Have missing entrances and the apartments lie ready."""
        entrances = self._places.entrances
        entrances.update(zip(self._missing, reserved(self.database, "entrances", len(self._missing)), strict=True))
        self._entrance_lines = [(entrances[place], self.company_id, *place) for place in self._missing]
        self.stage("entrances", _ENTRANCE, self._entrance_lines)
        ids = reserved(self.database, "apartments", len(self._apartments))
        self._lines = [
            (apartment_id, self.company_id, house_id, entrances[house_id, entrance], number, label, floor)
            for apartment_id, (house_id, entrance, number, label, floor) in zip(ids, self._apartments, strict=True)
        ]
        self.stage("apartments", _APARTMENT, self._lines)

    def entries(self) -> Iterator[Entry]:
        """Yield one for each entrance and each apartment."""
        for line in self._entrance_lines:
            yield self.created(Entrances.noun, {**dict(zip(_ENTRANCE, line, strict=True)), "version": 1})
        reach = Reach(self.database, {house_id for house_id, *_ in self._apartments})
        for line in self._lines:
            state = dict(zip(_APARTMENT, line, strict=True))
            dial = reach.dial(state["house_id"], state["entrance_id"], state["number"])
            yield self.created(Apartments.noun, {**state, "probes_refused": False, "dial": dial, "version": 1})

    def announce(self) -> None:
        """Have the houses planned anew."""
        for house_id in sorted({house_id for house_id, *_ in self._apartments}):
            self.changes.scope("house", house_id)

    def made(self) -> dict[str, int]:
        """Return how many apartments and entrances there are."""
        return {"apartments": len(self._apartments), "entrances": len(self._missing)}

    def _listed(self, row: CsvRow) -> list[int]:
        """Return the numbers of a row, unless the ranges of the file are too many by now."""
        try:
            ranges = ranges_of(row.cells["apartment"])
        except RangeError as error:
            raise WrongCellError("apartment", error.remedy) from None
        self.count_in_ranges(sum(map(len, ranges)), "apartment", "apartments")
        return [number for numbers in ranges for number in numbers]

    def _free(self, house_id: int, numbers: list[int]) -> list[int]:
        """Return the numbers that are not there yet; name as ranges those that are, or that an earlier row has."""
        in_file: dict[int, list[int]] = {}
        kept = []
        for number in numbers:
            before = self._taken.get((house_id, str(number)))
            if before:
                in_file.setdefault(before, []).append(number)
            elif before == 0:
                kept.append(number)
        if in_file:
            where = "; ".join(f"{told(same)} stands in row {before}" for before, same in in_file.items())
            raise WrongCellError("apartment", f"{where}, too: an apartment stands in one place")
        if kept and self.there_already("apartment", f"apartment {told(kept)}"):
            return sorted(set(numbers) - set(kept))
        return numbers
