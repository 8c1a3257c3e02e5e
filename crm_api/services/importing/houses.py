"""Houses from CSV, with their entrances."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, ClassVar, Final

from crm_api.domain.csv_table import Column, plain
from crm_api.domain.number_ranges import RangeError, parsed
from crm_api.domain.search_text import search_text
from crm_api.services.importing.importer import Importer, WrongCellError, fraction, limited
from crm_api.services.importing.known_places import ADDRESS, LAST_ENTRANCE, Names
from crm_api.services.places import Entrances, Houses
from crm_api.tables.id_blocks import reserved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.domain.csv_table import CsvRow
    from crm_api.services.audit import Entry
    from crm_api.services.context import Context

LONGEST_ADDRESS: Final = 200
_FIAS: Final = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_ENTRANCE: Final = ("id", "company_id", "house_id", "number")
_HOUSE: Final = ("id", "company_id", "city_id", "address", "search_text", "fias_id", "latitude", "longitude")


class HouseImport(Importer):
    """One row is a house; `entrances` (`1-4`) makes them, too."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column(ADDRESS.name, ADDRESS.aliases, required=True),
        Column("city", ("город",)),
        Column("fias_id", ("фиас", "fias")),
        Column("latitude", ("широта",)),
        Column("longitude", ("долгота",)),
        Column("entrances", ("подъезды",)),
    )

    def __init__(self, context: Context, company_id: int, options: dict[str, Any]) -> None:
        super().__init__(context, company_id, options)
        rows = self.database.rows("SELECT address, fias_id FROM houses WHERE company_id = ?", (company_id,))
        self._addresses = {plain(address): 0 for address, _ in rows}
        self._fias_ids = {fias_id: 0 for _, fias_id in rows if fias_id is not None}
        self._cities: Names[int] = Names("city", "cities")
        for city_id, name in self.database.rows("SELECT id, name FROM cities"):
            self._cities.add(name, city_id)
        self._houses: list[tuple[Any, ...]] = []
        self._entrances: list[list[int]] = []
        self._lines: list[tuple[Any, ...]] = []
        self._entrance_lines: list[tuple[int, ...]] = []

    def read(self, row: CsvRow) -> None:
        """Remember a house."""
        address = limited(row.cells["address"], "address", LONGEST_ADDRESS)
        if not address:
            raise WrongCellError("address", "give the address")
        before = self._addresses.get(plain(address))
        if before:
            raise WrongCellError("address", f"is that of row {before}, too: leave one of them out")
        if before == 0 and self.there_already("address", "this house"):
            return
        fias_id = self._fias_id(row)
        city = row.cells.get("city", "")
        city_id = self._cities.get(city) if city else None
        if city and city_id is None:
            raise WrongCellError("city", "no city of this name is kept: the platform makes cities")
        latitude = fraction(row.cells.get("latitude", ""), "latitude", 90)
        longitude = fraction(row.cells.get("longitude", ""), "longitude", 180)
        entrances = self._numbers(row.cells.get("entrances", ""))
        self._addresses[plain(address)] = row.number
        if fias_id is not None:
            self._fias_ids[fias_id] = row.number
        self._houses.append((city_id, address, search_text(address), fias_id, latitude, longitude))
        self._entrances.append(entrances)

    def prepare(self) -> None:
        """Have houses and entrances lie ready; nothing rings in them yet."""
        ids = reserved(self.database, "houses", len(self._houses))
        self._lines = [(house_id, self.company_id, *house) for house_id, house in zip(ids, self._houses, strict=True)]
        self.stage("houses", _HOUSE, self._lines)
        places = [
            (house_id, number) for house_id, numbers in zip(ids, self._entrances, strict=True) for number in numbers
        ]
        entrances = zip(reserved(self.database, "entrances", len(places)), places, strict=True)
        self._entrance_lines = [(entrance_id, self.company_id, *place) for entrance_id, place in entrances]
        self.stage("entrances", _ENTRANCE, self._entrance_lines)

    def entries(self) -> Iterator[Entry]:
        """Yield one for each house and each entrance."""
        for line in self._lines:
            state = dict(zip(_HOUSE, line, strict=True))
            shown = {name: value for name, value in state.items() if name not in Houses.hidden}
            yield self.created(Houses.noun, {**shown, "version": 1})
        for line in self._entrance_lines:
            yield self.created(Entrances.noun, {**dict(zip(_ENTRANCE, line, strict=True)), "version": 1})

    def made(self) -> dict[str, int]:
        """Return how many houses and entrances there are."""
        return {"houses": len(self._houses), "entrances": sum(map(len, self._entrances))}

    def _fias_id(self, row: CsvRow) -> str | None:
        fias_id = row.cells.get("fias_id", "").lower()
        if not fias_id:
            return None
        if not _FIAS.fullmatch(fias_id):
            raise WrongCellError("fias_id", "give a UUID such as 0c5b2444-70a0-4932-980c-b4dc0d3f02b5")
        if fias_id in self._fias_ids:
            before = self._fias_ids[fias_id]
            raise WrongCellError("fias_id", f"is that of {f'row {before}' if before else 'another house'}, too")
        return fias_id

    def _numbers(self, text: str) -> list[int]:
        """Return the numbers of a row's entrances, unless the ranges of the file are too many by now."""
        if not text:
            return []
        try:
            numbers = parsed(text, most=LAST_ENTRANCE)
        except RangeError as error:
            raise WrongCellError("entrances", error.remedy) from None
        self.count_in_ranges(len(numbers), "entrances", "entrances")
        return numbers
