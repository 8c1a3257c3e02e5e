"""RFID keys from CSV, in whatever notation; what `GET /v1/keys/export` writes is read."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from crm_api.domain import key_numbers
from crm_api.domain.csv_table import Column, plain
from crm_api.services.importing.importer import Importer, WrongCellError, chosen, limited, yes_or_no
from crm_api.services.importing.known_places import ADDRESS, APARTMENT, ENTRANCE, KnownPlaces
from crm_api.services.keys import Keys
from crm_api.tables.id_blocks import reserved

if TYPE_CHECKING:
    from collections.abc import Iterator

    from crm_api.domain.csv_table import CsvRow
    from crm_api.services.audit import Entry
    from crm_api.services.context import Context

LONGEST_NOTE: Final = 200
SCOPES: Final = {
    "resident": "resident",
    "житель": "resident",
    "apartment": "apartment",
    "квартира": "apartment",
    "entrance": "entrance",
    "подъезд": "entrance",
    "house": "house",
    "дом": "house",
    "company": "company",
    "компания": "company",
}
_COLUMNS: Final = (
    "id", "company_id", "number", "scope", "resident_id", "apartment_id", "entrance_id", "house_id", "enabled", "note",
    "created_at_ms",
)  # fmt: skip


class KeyImport(Importer):
    """A key belongs to the narrowest thing that its row names, unless `scope` says which."""

    columns: ClassVar[tuple[Column, ...]] = (
        Column("number", ("номер", "ключ", "key"), required=True),
        Column("scope", ("чей", "привязка")),
        ADDRESS,
        ENTRANCE,
        APARTMENT,
        Column("resident", ("фио", "имя")),
        Column("resident_id"),
        Column("enabled", ("включён", "включен")),
        Column("note", ("примечание",)),
        Column("notation", ("запись",)),
        Column("byte_order", ("порядок байтов",)),
    )

    def __init__(self, context: Context, company_id: int, options: dict[str, Any]) -> None:
        super().__init__(context, company_id, options)
        self._places = KnownPlaces(self.database, company_id)
        company = (company_id,)
        self._residents = {
            row[0] for row in self.database.rows("SELECT id FROM residents WHERE company_id = ?", company)
        }
        numbers = self.database.rows("SELECT number FROM rfid_keys WHERE company_id = ?", company)
        self._numbers = dict.fromkeys((row[0] for row in numbers), 0)
        self._keys: list[tuple[Any, ...]] = []
        self._ids: list[int] = []

    def read(self, row: CsvRow) -> None:
        """Remember a key."""
        number = self._number(row)
        before = self._numbers.get(number)
        if before:
            raise WrongCellError("number", f"is the key of row {before}, too: leave one of them out")
        if before == 0 and self.there_already("number", "this key"):
            return
        scope = self._scope(row)
        owner = self._owner(row, scope)
        enabled = yes_or_no(row.cells.get("enabled", ""), "enabled")
        note = limited(row.cells.get("note", ""), "note", LONGEST_NOTE)
        self._numbers[number] = row.number
        ids = [owner if scope == kind else None for kind in ("resident", "apartment", "entrance", "house")]
        self._keys.append((self.company_id, number, scope, *ids, enabled, note, self.now_ms))

    def prepare(self) -> None:
        """Have the keys lie ready."""
        self._ids = reserved(self.database, "rfid_keys", len(self._keys))
        lines = [(key_id, *key) for key_id, key in zip(self._ids, self._keys, strict=True)]
        self.stage("rfid_keys", _COLUMNS, lines)

    def entries(self) -> Iterator[Entry]:
        """Yield one for each key."""
        for key_id, key in zip(self._ids, self._keys, strict=True):
            state = dict(zip(_COLUMNS, (key_id, *key), strict=True))
            yield self.created(Keys.noun, Keys.with_notations({**state, "version": 1}))

    def made(self) -> dict[str, int]:
        """Return how many keys there are."""
        return {"keys": len(self._keys)}

    def _number(self, row: CsvRow) -> str:
        """Return the number as it is kept; what the row says of how it is written goes before what the request says."""
        notation = chosen(row, "notation", key_numbers.NOTATIONS) or self.options.get("notation", "auto")
        byte_order = chosen(row, "byte_order", key_numbers.BYTE_ORDERS) or self.options.get("byte_order", "high_first")
        try:
            return key_numbers.normalised(row.cells["number"], notation, byte_order)
        except key_numbers.KeyNumberError as error:
            raise WrongCellError("number", str(error)) from None

    @staticmethod
    def _scope(row: CsvRow) -> str:
        named = plain(row.cells.get("scope", ""))
        if named:
            if named not in SCOPES:
                raise WrongCellError("scope", "give resident, apartment, entrance, house or company")
            return SCOPES[named]
        named_by = (
            ("resident_id", "resident"),
            ("apartment", "apartment"),
            ("entrance", "entrance"),
            ("address", "house"),
        )
        scope = next((scope for column, scope in named_by if row.cells.get(column)), None)
        if scope is None:
            raise WrongCellError("scope", "name what the key opens; a key of the whole company says company here")
        return scope

    def _owner(self, row: CsvRow, scope: str) -> int | None:
        if scope == "company":
            return None
        if scope == "resident":
            text = row.cells.get("resident_id", "")
            if not (text.isascii() and text.isdigit() and len(text) < 19 and int(text) in self._residents):  # noqa: PLR2004 - digits of an id
                raise WrongCellError("resident_id", "name a resident of the company by id")
            return int(text)
        for column in ("address", *({"entrance": ("entrance",), "apartment": ("apartment",)}.get(scope, ()))):
            if not row.cells.get(column):
                raise WrongCellError(column, f"a key of scope {scope} needs it")
        house_id = self._places.house(row)
        if scope == "house":
            return house_id
        return self._places.entrance(row, house_id) if scope == "entrance" else self._places.apartment(row, house_id)
