"""Houses, entrances and apartments of one company, found by what a row calls them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.csv_table import Column
from crm_api.services.importing.importer import WrongCellError, plain, whole_number

if TYPE_CHECKING:
    from crm_api.domain.csv_table import CsvRow
    from crm_api.tables.database import CrmDatabase

ADDRESS = Column("address", ("адрес", "house", "дом"))
ENTRANCE = Column("entrance", ("подъезд", "парадная"))
APARTMENT = Column("apartment", ("квартира", "кв", "кв."))
LAST_ENTRANCE = 99


class KnownPlaces:
    """Read once; an import of 100,000 rows asks it for each."""

    def __init__(self, database: CrmDatabase, company_id: int) -> None:
        company = (company_id,)
        houses = database.rows("SELECT id, address FROM houses WHERE company_id = ?", company)
        self.houses: dict[str, int] = {plain(address): house_id for house_id, address in houses}
        self.entrances: dict[tuple[int, int], int] = {
            (house_id, number): entrance_id
            for entrance_id, house_id, number in database.rows(
                "SELECT id, house_id, number FROM entrances WHERE company_id = ?", company
            )
        }
        self.apartments: dict[tuple[int, str], tuple[int, int]] = {}
        """House and number or label: apartment and entrance."""
        for apartment_id, house_id, entrance_id, number, label in database.rows(
            "SELECT id, house_id, entrance_id, number, label FROM apartments WHERE company_id = ?", company
        ):
            self.apartments[house_id, str(number)] = apartment_id, entrance_id
            if label is not None:
                self.apartments.setdefault((house_id, plain(label)), (apartment_id, entrance_id))

    def house(self, row: CsvRow) -> int:
        """Return the house that a row names."""
        house_id = self.houses.get(plain(row.cells["address"]))
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
        name = plain(row.cells["apartment"])
        found = self.apartments.get((house_id, name.lstrip("0") if name.isdigit() else name))
        if found is None:
            raise WrongCellError("apartment", "the house has no such apartment: make it first, or correct it")
        apartment_id, entrance_id = found
        if row.cells.get("entrance") and self.entrance(row, house_id) != entrance_id:
            raise WrongCellError("entrance", "the apartment stands in another entrance: correct it, or leave it out")
        return apartment_id
