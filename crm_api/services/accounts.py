"""SIP accounts: made with a password that is shown once, rotated, switched off, removed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.kinds import HOUSEHOLD_KINDS
from crm_api.domain.passwords import ALPHABET, ha1, new_password
from crm_api.domain.problems import ConflictError, InvalidFieldsError, NotFoundError
from crm_api.domain.quiet_hours import clock_of, minutes_of
from crm_api.services.audit import audited
from crm_api.services.context import Tenant, find, visible
from crm_api.services.kept import Document, Kept, company_for
from crm_api.tables.models import Account, Apartment
from crm_api.tables.people import Residency

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs.accounts import NewAccount

PREFIXES: Final = {
    "panel": "p",
    "handset": "h",
    "indoor_unit": "i",
    "app": "a",
    "home_gateway": "g",
    "concierge": "c",
    "phone": "f",
    "trunk": "t",
}


def account_names(ids: Sequence[int]) -> dict[int, str]:
    """Return the name of each account, by id: documents name an account, rows refer to its id."""
    query: Any = Account.select(Account.id, Account.account).where(Account.id.in_(ids))
    return dict(query.tuples())


class Accounts(Kept[Account]):
    """SIP accounts, named by their account."""

    noun = "account"
    model = Account
    key_field = "account"
    hidden = frozenset({"ha1", "quiet_from_min", "quiet_until_min"})

    def documents(self, rows: Sequence[Account]) -> list[Document]:
        """Show an account without its HA1, its quiet hours as times of day."""
        return [
            self.shown_of(row)
            | {"quiet_from": clock_of(row.quiet_from_min), "quiet_until": clock_of(row.quiet_until_min)}
            for row in rows
        ]

    def row(self, tenant: Tenant, key: Any) -> Account:
        """Return an account by name."""
        row: Account | None = visible(tenant, Account).where(Account.account == key).first()
        if row is None:
            raise NotFoundError.of(self.noun, key)
        return row

    def create(self, tenant: Tenant, new: NewAccount) -> Document:
        """Make an account; the answer, and nothing after it, holds the password (a phone has none)."""
        name = new.account or PREFIXES[new.kind] + "".join(secrets.choice(ALPHABET) for _ in range(10))
        password = None if new.kind == "phone" else new_password()
        if (new.kind == "phone") != (new.phone is not None):
            remedy = "an account of kind phone, and only that, needs the number that a trunk dials"
            raise InvalidFieldsError.one("phone", new.phone, remedy)
        with self.database.transaction():
            company_id = self._company(tenant, new)
            self._announce_end(tenant, new.apartment_id, new.resident_id)
            row = Account.create(
                company_id=company_id,
                apartment_id=new.apartment_id,
                resident_id=new.resident_id,
                account=name,
                kind=new.kind,
                ha1=None if password is None else ha1(name, self.context.realm, password),
                phone=new.phone,
                enabled=new.enabled,
                quiet_from_min=minutes_of(new.quiet_from),
                quiet_until_min=minutes_of(new.quiet_until),
                created_at_ms=self.context.now_ms(),
            )
            self.changes.account_rings(row.id, row.apartment_id)
            self.changes.credential(name)
        made = self.got(tenant, name)
        return made if password is None else {**made, "password": password}

    def change(self, tenant: Tenant, key: str, values: dict[str, Any]) -> Document:
        """Switch an account on or off, or give a phone another number."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if "phone" in values and row.kind != "phone":
                raise InvalidFieldsError.one("phone", values["phone"], f"account {key} is of kind {row.kind}: no phone")
            self._announce_end(tenant, row.apartment_id, values.get("resident_id"))
            for name in ("quiet_from", "quiet_until"):
                if name in values:
                    values[f"{name}_min"] = minutes_of(values.pop(name))
            self.update(row, **values)
            self.changes.account_rings(row.id, row.apartment_id)
            self.changes.credential(key)
        return self.got(tenant, key)

    @audited("rotate password")
    def rotate_password(self, tenant: Tenant, key: str) -> Document:
        """Give the account a new password, shown once; the old one is refused within a second."""
        password = new_password()
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.kind == "phone":
                raise ConflictError(f"Account {key} is of kind phone: it never registers and has no password")
            self.update(row, ha1=ha1(key, self.context.realm, password))
            self.changes.contacts(key)
        return {**self.got(tenant, key), "password": password}

    def remove(self, tenant: Tenant, key: str) -> None:
        """Remove an account; a panel's account goes with its panel only."""
        with self.database.transaction():
            row = self.row(tenant, key)
            self.changes.account_rings(row.id, row.apartment_id)
            self.changes.contacts(key)
            row.delete_instance()

    def _announce_end(self, tenant: Tenant, apartment_id: int | None, resident_id: int | None) -> None:
        """Have the apartment planned anew when the right of the account's resident ends."""
        if resident_id is None:
            return
        lives: Any = visible(tenant, Residency).where(
            (Residency.resident_id == resident_id) & (Residency.apartment_id == apartment_id)
        )
        home: Residency | None = lives.first()
        if home is None:
            raise InvalidFieldsError.one("resident_id", resident_id, "name a resident of the account's apartment")
        if home.ends_at_ms is not None and home.ends_at_ms > self.context.now_ms():
            self.changes.apartments_at(home.ends_at_ms, [home.apartment_id])

    def _company(self, tenant: Tenant, new: NewAccount) -> int | None:
        if new.kind in HOUSEHOLD_KINDS:
            if new.apartment_id is None:
                raise InvalidFieldsError.one("apartment_id", None, f"an account of kind {new.kind} needs its apartment")
            apartment = find(tenant, Apartment, "apartment", new.apartment_id)
            if new.company_id not in (None, apartment.company_id):
                raise InvalidFieldsError.one("company_id", new.company_id, "leave it out: the apartment decides it")
            return apartment.company_id
        if new.apartment_id is not None:
            raise InvalidFieldsError.one("apartment_id", new.apartment_id, f"a {new.kind} belongs to no apartment")
        if new.kind == "trunk" and new.company_id is None and tenant.is_platform:
            return None
        return company_for(tenant, new.company_id)
