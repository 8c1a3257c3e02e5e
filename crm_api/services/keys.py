"""RFID keys: each is bound to one owner, and known by one number however it is written."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar, Final

from crm_api.domain import key_numbers
from crm_api.domain.csv_table import SEPARATOR_NAMES, line
from crm_api.domain.problems import InvalidFieldsError
from crm_api.services.context import Tenant, find
from crm_api.services.kept import Document, Kept, company_for
from crm_api.tables import key_rows
from crm_api.tables.fund import RfidKey
from crm_api.tables.models import Apartment, Entrance, House, Panel
from crm_api.tables.people import Resident

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from crm_api.domain.inputs import keys
    from crm_api.domain.key_numbers import ByteOrder, Notation, Reading
    from crm_api.tables.models import Table

OWNERS: Final[dict[str, type[Table]]] = {
    "resident": Resident,
    "apartment": Apartment,
    "entrance": Entrance,
    "house": House,
}
_PLAIN: Final[tuple[Reading, ...]] = (("auto", "high_first"), ("hex", "high_first"), ("decimal", "high_first"))
EXPORTED: Final = (
    "number", "scope", "address", "entrance", "apartment", "resident", "resident_id", "enabled", "note", "notation",
    "byte_order",
)  # fmt: skip
"""Columns of an export; an import takes them, too. The last two tell it how the number is written: ten digits may be a
decimal number, or five bytes."""
BATCH: Final = 1000


def number_of(
    text: str, notation: Notation = "auto", byte_order: ByteOrder = "high_first", field: str = "number"
) -> str:
    """Return the number as it is kept, or raise `InvalidFieldsError`."""
    try:
        return key_numbers.normalised(text, notation, byte_order)
    except key_numbers.KeyNumberError as error:
        raise InvalidFieldsError.one(field, text, str(error)) from None


def numbers_meant(text: str, field: str = "number") -> list[str]:
    """Return the number that a text means as it is kept, or two where it may mean both.

    Raises:
        InvalidFieldsError: it means none.
    """
    return key_numbers.meant(text, _PLAIN) or [number_of(text, field=field)]


def _with_number(text: str) -> Any:
    """Return the condition that a key has the number that a text means."""
    return RfidKey.number.in_(numbers_meant(text))


class Keys(Kept[RfidKey]):
    """RFID keys."""

    noun = "key"
    model = RfidKey
    filters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {"number": _with_number}

    def documents(self, rows: Sequence[RfidKey]) -> list[Document]:
        """Show each key with its number in every notation."""
        return [self.with_notations(row.__data__) for row in rows]

    @staticmethod
    def with_notations(state: Mapping[str, Any]) -> Document:
        """Return what is shown of a key: its row, and its number in other notations."""
        number = state["number"]
        decimal, wiegand = key_numbers.written(number, "decimal"), key_numbers.written(number, "wiegand")
        return {**state, "decimal": decimal, "wiegand": wiegand}

    def create(self, tenant: Tenant, new: keys.NewKey) -> Document:
        """Make a key."""
        number = number_of(new.number, new.notation, new.byte_order)
        with self.database.transaction():
            scope, company_id, owner = self._owner(tenant, new.model_dump(), new.company_id)
            row = RfidKey.create(
                company_id=company_id,
                number=number,
                scope=scope,
                **owner,
                enabled=new.enabled,
                note=new.note,
                created_at_ms=self.context.now_ms(),
            )
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a key, or bind it to another owner of its company, or to all of its company."""
        with self.database.transaction():
            row = self.row(tenant, key)
            named = [name for name in (*(f"{kind}_id" for kind in OWNERS), "company_id") if name in values]
            if len(named) > 1:
                raise InvalidFieldsError.one(named[1], values[named[1]], f"a key has one owner: leave out {named[0]}")
            if named:
                company_id = values.pop("company_id", None)
                scope, _, owner = self._owner(Tenant.of(int(str(row.company_id))), values, company_id)
                values = {**values, "scope": scope, **dict.fromkeys(f"{kind}_id" for kind in OWNERS), **owner}
            self.update(row, **values)
        return self.got(tenant, key)

    def exported(self, tenant: Tenant, wanted: keys.KeyExport) -> Iterator[str]:
        """Return the text of a CSV file in pieces, the header first; any number of keys is read in batches.

        Raises:
            NotFoundError: the house or panel is not there.
        """
        if wanted.house_id is not None:
            find(tenant, House, "house", wanted.house_id)
        if wanted.panel_id is not None:
            find(tenant, Panel, "panel", wanted.panel_id)
        return self._lines(tenant, wanted)

    def _lines(self, tenant: Tenant, wanted: keys.KeyExport) -> Iterator[str]:
        separator = SEPARATOR_NAMES[wanted.separator]
        yield line(EXPORTED, separator)
        asked = key_rows.KeysAsked(tenant.companies, wanted.company_id, wanted.house_id, wanted.panel_id)
        for rows in key_rows.exported(self.database, asked, self.context.now_ms(), BATCH):
            text = ""
            for number, enabled, *more, note in rows:
                written = key_numbers.written(number, wanted.notation, wanted.byte_order)
                how = (wanted.notation, wanted.byte_order)
                text += line((written, *more, "yes" if enabled else "no", note, *how), separator)
            yield text

    @staticmethod
    def _owner(tenant: Tenant, values: Mapping[str, Any], company_id: int | None) -> tuple[str, int, dict[str, int]]:
        """Return scope, company and the owner's column."""
        for kind, model in OWNERS.items():
            owner_id = values.get(f"{kind}_id")
            if owner_id is not None:
                owner: Any = find(tenant, model, kind, owner_id)
                return kind, owner.company_id, {f"{kind}_id": owner.id}
        return "company", company_for(tenant, company_id), {}
