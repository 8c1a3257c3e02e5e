"""Houses, entrances and apartments of one company, found by what a row calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Generic, TypeVar

from crm_api.domain.csv_table import Column, plain, spaced
from crm_api.services.importing.importer import WrongCellError, whole_number

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.domain.csv_table import CsvRow
    from crm_api.tables.database import CrmDatabase

ADDRESS = Column("address", ("адрес", "house", "дом"))
ENTRANCE = Column("entrance", ("подъезд", "парадная"))
APARTMENT = Column("apartment", ("квартира", "кв", "кв."))
LAST_ENTRANCE = 99
Thing = TypeVar("Thing")


class Names(Generic[Thing]):
    """Things by their names: the one that is called just so, else the only one whose name differs in case or spacing.

    The database takes `Lenina 1` beside `lenina 1`: which of them is meant by `LENINA 1`, nobody can tell.
    """

    def __init__(self, column: str, what: str) -> None:
        """Know nothing yet.

        Args:
            column: where rows name them.
            what: they are, in the plural.
        """
        self._column = column
        self._what = what
        self._known: dict[tuple[int, str], list[tuple[str, Thing]]] = {}

    def add(self, name: str, thing: Thing, place: int = 0) -> None:
        """Know one more, in a place that has names of its own."""
        self._known.setdefault((place, plain(name)), []).append((spaced(name), thing))

    def get(self, name: str, place: int = 0) -> Thing | None:
        """Return the one of that name, None if there is none, or raise `WrongCellError` if it may be one of several."""
        known = self._known.get((place, plain(name)), [])
        if len(known) > 1:
            known = [one for one in known if one[0] == spaced(name)]
            if len(known) != 1:
                remedy = f"several {self._what} are called so, but for case and spacing: write the name of one of them"
                raise WrongCellError(self._column, remedy)
        return known[0][1] if known else None

    def __iter__(self) -> Iterator[tuple[int, str]]:
        """Yield places and names, without case and double spaces."""
        return iter(self._known)


class KnownPlaces:
    """Read once; an import of 100,000 rows asks it for each."""

    def __init__(self, database: CrmDatabase, company_id: int) -> None:
        company = (company_id,)
        self._houses: Names[int] = Names("address", "houses")
        for house_id, address in database.rows("SELECT id, address FROM houses WHERE company_id = ?", company):
            self._houses.add(address, house_id)
        self.entrances: dict[tuple[int, int], int] = {
            (house_id, number): entrance_id
            for entrance_id, house_id, number in database.rows(
                "SELECT id, house_id, number FROM entrances WHERE company_id = ?", company
            )
        }
        self.apartments: dict[tuple[int, str], tuple[int, int]] = {}
        """House and number: apartment and entrance."""
        self.labels: Names[tuple[int, int]] = Names("apartment", "apartments of the house")
        for apartment_id, house_id, entrance_id, number, label in database.rows(
            "SELECT id, house_id, entrance_id, number, label FROM apartments WHERE company_id = ?", company
        ):
            self.apartments[house_id, str(number)] = apartment_id, entrance_id
            if label is not None:
                self.labels.add(label, (apartment_id, entrance_id), house_id)

    def house(self, row: CsvRow) -> int:
        """Return the house that a row names."""
        house_id = self._houses.get(row.cells["address"])
        if house_id is None:
            raise WrongCellError("address", "no house of the company has this address: make it first, or correct it")
        return house_id

    def entrance(self, row: CsvRow, house_id: int) -> int:
        """Return the entrance that a row names."""
        number = whole_number(row.cells["entrance"], "entrance", 1, LAST_ENTRANCE)
        entrance_id = self.entrances.get((house_id, number))
        if entrance_id is None:
            raise WrongCellError("entrance", "the house has no such entrance: make it first, or correct it")
        return entrance_id

    def apartment(self, row: CsvRow, house_id: int) -> int:
        """Return the apartment that a row names by number or label; an entrance that is named besides must be its."""
        name = row.cells["apartment"]
        found = self.apartments.get((house_id, name.lstrip("0") if name.isdigit() else name))
        if found is None:
            found = self.labels.get(name, house_id)
        if found is None:
            raise WrongCellError("apartment", "the house has no such apartment: make it first, or correct it")
        apartment_id, entrance_id = found
        if row.cells.get("entrance") and self.entrance(row, house_id) != entrance_id:
            raise WrongCellError("entrance", "the apartment stands in another entrance: correct it, or leave it out")
        return apartment_id
