"""SIP accounts: made with a password that is shown once, rotated, switched off, removed."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.kinds import HOUSEHOLD_KINDS
from crm_api.domain.passwords import ALPHABET, ha1, new_password
from crm_api.domain.problems import ConflictError, NotFoundError
from crm_api.domain.quiet_hours import clock_of, minutes_of
from crm_api.services.audit import audited
from crm_api.services.context import Tenant, visible
from crm_api.services.kept import Document, Kept, company_for
from crm_api.services.wrong_fields import WrongFields
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
        wrong = WrongFields()
        if (new.kind == "phone") != (new.phone is not None):
            remedy = "an account of kind phone, and only that, needs the number that a trunk dials"
            wrong.add("phone", new.phone, remedy)
        with self.database.transaction():
            company_id = self._company(tenant, new, wrong)
            home = self._home(tenant, new.apartment_id, new.resident_id, wrong)
            wrong.refuse()
            self._announce_end(home)
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
            wrong = WrongFields()
            if "phone" in values and row.kind != "phone":
                wrong.add("phone", values["phone"], f"account {key} is of kind {row.kind}: no phone")
            home = self._home(tenant, row.apartment_id, values.get("resident_id"), wrong)
            wrong.refuse()
            self._announce_end(home)
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

    @staticmethod
    def _home(
        tenant: Tenant, apartment_id: int | None, resident_id: int | None, wrong: WrongFields
    ) -> Residency | None:
        """Return how the account's resident lives in its apartment; None when it has none, or a wrong one is noted."""
        if resident_id is None:
            return None
        lives: Any = visible(tenant, Residency).where(
            (Residency.resident_id == resident_id) & (Residency.apartment_id == apartment_id)
        )
        home: Residency | None = lives.first()
        if home is None:
            wrong.add("resident_id", resident_id, "name a resident of the account's apartment")
        return home

    def _announce_end(self, home: Residency | None) -> None:
        """Have the apartment planned anew when the right of the account's resident ends."""
        if home is not None and home.ends_at_ms is not None and home.ends_at_ms > self.context.now_ms():
            self.changes.apartments_at(home.ends_at_ms, [home.apartment_id])

    @staticmethod
    def _company(tenant: Tenant, new: NewAccount, wrong: WrongFields) -> int | None:
        """Return the account's company; what is wrong with where it belongs is noted."""
        if new.kind in HOUSEHOLD_KINDS:
            apartment = wrong.named(tenant, Apartment, "apartment", "apartment_id", new.apartment_id)
            if new.apartment_id is None:
                wrong.add("apartment_id", None, f"an account of kind {new.kind} needs its apartment")
            if new.company_id not in (None, None if apartment is None else apartment.company_id):
                wrong.add("company_id", new.company_id, "leave it out: the apartment decides it")
            return None if apartment is None else apartment.company_id
        if new.apartment_id is not None:
            wrong.add("apartment_id", new.apartment_id, f"a {new.kind} belongs to no apartment")
        if new.kind == "trunk" and new.company_id is None and tenant.is_platform:
            return None
        return wrong.tried("company_id", new.company_id, lambda: company_for(tenant, new.company_id))
