"""Apartments: one by one, or the ranges of a whole house."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.number_ranges import Part, RangeError, Slot, labelled, listed, spread, told
from crm_api.domain.problems import ConflictError, FieldProblem, InvalidFieldsError, NotFoundError
from crm_api.services.audit import Entry
from crm_api.services.context import Tenant, find
from crm_api.services.kept import Document, Kept
from crm_api.tables import dialled_numbers
from crm_api.tables.models import Account, Apartment, Entrance, House, RingPlanRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs.places import NewApartment, NewApartmentRange
    from crm_api.services.idempotency import Repeatable

_ADD: Final = """
INSERT INTO apartments (company_id, house_id, entrance_id, number, label, floor) VALUES (?, ?, ?, ?, ?, ?)
"""


class Apartments(Kept[Apartment]):
    """Apartments, and the numbers that reach them."""

    noun = "apartment"
    model = Apartment

    def documents(self, rows: Sequence[Apartment]) -> list[Document]:
        """Show each apartment with the panels that reach it and the number to dial there."""
        dial = dialled_numbers.by_apartment(self.database, [row.id for row in rows])
        return [{**row.__data__, "dial": dict(dial.get(row.id, []))} for row in rows]

    def create(self, tenant: Tenant, new: NewApartment) -> Document:
        """Make an apartment."""
        with self.database.transaction():
            entrance = find(tenant, Entrance, "entrance", new.entrance_id)
            row = Apartment.create(company_id=entrance.company_id, house_id=entrance.house_id, **new.model_dump())
            self.changes.apartments([row.id])
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Renumber an apartment or move it to another entrance: old and new numbers are planned anew."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if "entrance_id" in values:
                entrance = find(tenant, Entrance, "entrance", values["entrance_id"])
                if entrance.company_id != row.company_id:
                    raise NotFoundError.of("entrance of this company", entrance.id)
                values["house_id"] = entrance.house_id
            self.changes.apartments([key])
            self.update(row, **values)
            self.changes.apartments([key])
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove an apartment with its accounts."""
        with self.database.transaction():
            row = self.row(tenant, key)
            for account in Account.select().where(Account.apartment_id == key):
                self.changes.account_rings(account.id, key)
                self.changes.contacts(account.account)
            self.changes.apartments([key])
            RingPlanRow.delete().where(RingPlanRow.apartment_id == key).execute()
            row.delete_instance()

    def make_range(self, tenant: Tenant, new: NewApartmentRange, wish: Repeatable | None = None) -> Document:
        """Make the apartments of a house together, once for each `Idempotency-Key`, or tell what would be made.

        Raises:
            InvalidFieldsError: the ranges cannot be, or an entrance is missing.
            ConflictError: apartments of these numbers or labels are there already; they are named as ranges.
        """
        try:
            slots = self._slots(new)
        except RangeError as error:
            wrong = (error, *error.others)
            raise InvalidFieldsError.of(FieldProblem(e.field, e.value, e.remedy) for e in wrong) from None
        return self.idempotency.once(tenant, wish, lambda: self._made_range(tenant, new, slots))

    def _made_range(self, tenant: Tenant, new: NewApartmentRange, slots: list[Slot]) -> Document:
        with self.database.transaction():
            house = find(tenant, House, "house", new.house_id)
            self._refuse_overlap(house, slots)
            entrances = {row.number: row.id for row in Entrance.select().where(Entrance.house_id == house.id)}
            missing = sorted({slot.entrance for slot in slots} - entrances.keys())
            if missing and not new.make_entrances:
                remedy = f"house {house.id} has no entrance {told(missing)}: make it first, or say make_entrances"
                raise InvalidFieldsError.one("entrances", missing, remedy)
            document = {
                "house_id": house.id,
                "dry_run": new.dry_run,
                "made": len(slots),
                "entrances_made": missing,
                "entrances": [
                    {"entrance": number, "apartments": told(s.number for s in slots if s.entrance == number)}
                    for number in sorted({slot.entrance for slot in slots})
                ],
            }
            if not new.dry_run:
                self._make(tenant, house, slots, entrances, missing)
        return document

    def _make(
        self, tenant: Tenant, house: House, slots: list[Slot], entrances: dict[int, int], missing: list[int]
    ) -> None:
        for number in missing:
            row = Entrance.create(company_id=house.company_id, house_id=house.id, number=number)
            entrances[number] = row.id
        lines = [
            (house.company_id, house.id, entrances[slot.entrance], slot.number, slot.label, slot.floor)
            for slot in slots
        ]
        self.database.many(_ADD, lines)
        self.changes.scope("house", house.id)
        state = {"house_id": house.id, "apartments": told(slot.number for slot in slots), "entrances_made": missing}
        entry = Entry("house", str(house.id), "make apartments", None, state, int(str(house.company_id)))
        self.trail.write(tenant, [entry])

    @staticmethod
    def _slots(new: NewApartmentRange) -> list[Slot]:
        if new.parts is not None:
            slots = listed([Part(part.entrance, part.floor, part.numbers) for part in new.parts])
        else:
            slots = spread(new.first or 0, new.last or 0, new.entrances or [], new.floors, new.first_floor)
        return labelled(slots, {int(number): label for number, label in new.labels.items()})

    @staticmethod
    def _refuse_overlap(house: House, slots: list[Slot]) -> None:
        numbers, labels = {slot.number for slot in slots}, {slot.label for slot in slots if slot.label is not None}
        kept = list(Apartment.select(Apartment.number, Apartment.label).where(Apartment.house_id == house.id))
        taken = told(row.number for row in kept if row.number in numbers)
        if taken:
            remedy = f"house {house.id} has apartments {taken} already: leave them out"
            raise ConflictError(f"numbers: {remedy}", (FieldProblem("numbers", taken, remedy),))
        same = sorted(row.label for row in kept if row.label in labels)
        if same:
            remedy = f"house {house.id} has these labels already: {', '.join(same)}"
            raise ConflictError(f"labels: {remedy}", (FieldProblem("labels", same, remedy),))
