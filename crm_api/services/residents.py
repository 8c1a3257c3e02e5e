"""Residents: who lives where, in which role, under which phones; a guest's right ends by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_api.domain.problems import FieldProblem, InvalidFieldsError
from crm_api.services.context import Tenant, visible
from crm_api.services.kept import Document, Kept, company_for
from crm_api.tables.models import Account, Apartment
from crm_api.tables.people import Residency, Resident, ResidentPhone

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs import people


def _living_in(apartment_id: int) -> Any:
    return Resident.id.in_(Residency.select(Residency.resident_id).where(Residency.apartment_id == apartment_id))


def _with_phone(phone: str) -> Any:
    return Resident.id.in_(ResidentPhone.select(ResidentPhone.resident_id).where(ResidentPhone.phone == phone))


class Residents(Kept[Resident]):
    """People of a company's apartments."""

    noun = "resident"
    model = Resident
    filters = {"apartment_id": _living_in, "phone": _with_phone}  # noqa: RUF012 - ClassVar in the base

    def documents(self, rows: Sequence[Resident]) -> list[Document]:
        """Show residents with phones and apartments."""
        ids = [row.id for row in rows]
        phones: dict[int, list[str]] = {}
        for line in (
            ResidentPhone.select()
            .where(ResidentPhone.resident_id.in_(ids))
            .order_by(ResidentPhone.resident_id, ResidentPhone.position)
        ):
            phones.setdefault(line.resident_id, []).append(line.phone)
        homes: dict[int, list[Document]] = {}
        for home in Residency.select().where(Residency.resident_id.in_(ids)).order_by(Residency.id):
            shown = {name: home.__data__[name] for name in ("apartment_id", "role", "ends_at_ms", "ring_order")}
            homes.setdefault(home.resident_id, []).append(shown)
        return [{**row.__data__, "phones": phones.get(row.id, []), "apartments": homes.get(row.id, [])} for row in rows]

    def create(self, tenant: Tenant, new: people.NewResident) -> Document:
        """Make a resident; apartments of another company are as unknown as those that do not exist."""
        homes = [home.model_dump() for home in new.apartments]
        company_id = self._company(tenant, new.company_id, homes)
        row = Resident.create(company_id=company_id, name=new.name, note=new.note, created_at_ms=self.context.now_ms())
        self._set_phones(row, new.phones)
        self._set_homes(row, homes)
        self._announce_homes(row)
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a resident; accounts of his ring, or ring no longer, from the next call on."""
        row = self.row(tenant, key)
        self._announce_homes(row)
        if "phones" in values:
            self._set_phones(row, values.pop("phones"))
        if "apartments" in values:
            homes = values.pop("apartments")
            self._check_homes(tenant, row.company_id, homes)
            self._set_homes(row, homes)
        self.update(row, **values)
        self._announce_homes(row)
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a resident with the accounts that are his own: without him they would be the whole household's."""
        row = self.row(tenant, key)
        self._announce_homes(row)
        for account in self._his_own(row):
            self.changes.account_rings(account.id, account.apartment_id)
            self.changes.contacts(account.account)
            account.delete_instance()
        row.delete_instance()

    def removed_too(self, row: Resident) -> dict[str, list[int]]:
        """Return the accounts that are his own."""
        return {"accounts": [account.id for account in self._his_own(row)]}

    @staticmethod
    def _his_own(row: Resident) -> list[Account]:
        return list(Account.select().where(Account.resident_id == row.id))

    def _company(self, tenant: Tenant, company_id: int | None, homes: list[Document]) -> int:
        """Return the company named, else that of the first apartment, else the tenant's only one."""
        if company_id is None and homes:
            first = visible(tenant, Apartment).where(Apartment.id == homes[0]["apartment_id"]).first()
            company_id = None if first is None else first.company_id
        chosen = company_for(tenant, company_id)
        self._check_homes(tenant, chosen, homes)
        return chosen

    @staticmethod
    def _check_homes(tenant: Tenant, company_id: int, homes: list[Document]) -> None:
        ids = [home["apartment_id"] for home in homes]
        query: Any = visible(tenant, Apartment).where(Apartment.id.in_(ids))
        known = {row.id for row in query.where(Apartment.company_id == company_id)}
        wrong = tuple(
            FieldProblem(f"apartments.{line}.apartment_id", apartment_id, "name an apartment of the resident's company")
            for line, apartment_id in enumerate(ids)
            if apartment_id not in known
        )
        if wrong:
            raise InvalidFieldsError.of(wrong)

    @staticmethod
    def _set_phones(row: Resident, phones: Sequence[str]) -> None:
        ResidentPhone.delete().where(ResidentPhone.resident_id == row.id).execute()
        for position, phone in enumerate(phones):
            ResidentPhone.create(company_id=row.company_id, resident_id=row.id, phone=phone, position=position)

    def _set_homes(self, row: Resident, homes: list[Document]) -> None:
        """Replace where he lives. His own accounts are announced now, the apartment when a guest's time is over."""
        kept = {home.apartment_id: home for home in Residency.select().where(Residency.resident_id == row.id)}
        wanted = {home["apartment_id"] for home in homes}
        Residency.delete().where(
            (Residency.resident_id == row.id) & Residency.apartment_id.not_in(sorted(wanted) or [0])
        ).execute()
        for home in homes:
            if home["apartment_id"] in kept:
                Residency.update(**home).where(Residency.id == kept[home["apartment_id"]].id).execute()
            else:
                Residency.create(company_id=row.company_id, resident_id=row.id, **home)
        for account in Account.select().where(Account.resident_id == row.id):
            self.changes.account_rings(account.id, account.apartment_id)
        for home in homes:
            if home["ends_at_ms"] is not None and home["ends_at_ms"] > self.context.now_ms():
                self.changes.apartments_at(home["ends_at_ms"], [home["apartment_id"]])

    def _announce_homes(self, row: Resident) -> None:
        """Have the apartments planned anew: a number is dialled only while it is of somebody who lives there."""
        homes = Residency.select(Residency.apartment_id).where(Residency.resident_id == row.id)
        self.changes.apartments(home.apartment_id for home in homes)
