"""Cities, companies, houses, entrances."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.phone_limits import month_of
from crm_api.domain.problems import NotFoundError
from crm_api.domain.search_text import search_text
from crm_api.services.context import Tenant, find
from crm_api.services.emergency_centres import EmergencyCentres, centre_numbers
from crm_api.services.kept import Document, Kept, company_for, platform_only
from crm_api.services.wrong_fields import WrongFields
from crm_api.tables.models import (
    Account,
    City,
    Company,
    DispatchCentre,
    Entrance,
    House,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs.places import NewCity, NewCompany, NewEntrance, NewHouse


_OF_THE_PLATFORM: Final = frozenset({"active", "billing_id", "name"})
"""What only who acts for every company may change of one: whether a name is taken tells of the other companies."""
_MINUTES: Final = ("phone_minutes", "apartment_phone_minutes")
"""Limits of a calendar month."""


def dispatch_accounts(of: str, ids: Sequence[int]) -> dict[int, str]:
    """Return the dispatch centre's account of each city or company (`of` names the column)."""
    column: Any = getattr(DispatchCentre, of)
    query: Any = (
        DispatchCentre.select(column, Account.account)
        .join(Account, on=(DispatchCentre.account_id == Account.id))
        .where(column.in_(ids))
    )
    return dict(query.tuples())


def dispatch_account(tenant: Tenant, account: str | None) -> int | None:
    """Return the id of the account that is to answer emergency calls; None: nobody is.

    Raises:
        NotFoundError: no such account of kind trunk.
    """
    if account is None:
        return None
    row = Account.select().where((Account.account == account) & (Account.kind == "trunk")).first()
    if row is None or not (row.company_id is None or tenant.sees(row.company_id)):
        raise NotFoundError.of("account of kind trunk", account)
    return int(row.id)


def set_dispatch(of: str, key: int, account_id: int | None) -> None:
    """Make this account (None: nobody) answer the emergency calls of a city or company."""
    column: Any = getattr(DispatchCentre, of)
    DispatchCentre.delete().where(column == key).execute()
    if account_id is not None:
        DispatchCentre.insert({DispatchCentre.account_id: account_id, column: key}).execute()


def _check_city(values: dict[str, Any], wrong: WrongFields) -> None:
    """Note a city that is not there; any may be named."""
    wrong.named(Tenant(None), City, "city", "city_id", values.get("city_id"))


class Cities(Kept[City]):
    """Cities: everybody reads them, the platform keeps them."""

    noun = "city"
    model = City

    def row(self, tenant: Tenant, key: Any) -> City:  # noqa: ARG002 - a city is nobody's secret
        """Return a city."""
        return find(Tenant(None), City, self.noun, key)

    def seen(self, tenant: Tenant) -> Any:  # noqa: ARG002
        """Return all cities."""
        return City.select()

    def documents(self, rows: Sequence[City]) -> list[Document]:
        """Show the dispatch centre with the city."""
        ids = [row.id for row in rows]
        dispatch, numbers = dispatch_accounts("city_id", ids), centre_numbers(ids)
        return [
            {**row.__data__, "dispatch_number": numbers.get(row.id), "dispatch_account": dispatch.get(row.id)}
            for row in rows
        ]

    def create(self, tenant: Tenant, new: NewCity) -> Document:
        """Make a city."""
        platform_only(tenant)
        with self.database.transaction():
            city = City.create(**new.model_dump(exclude={"dispatch_account", "dispatch_number"}))
            self._set_dispatch_number(tenant, city, new.dispatch_number)
            set_dispatch("city_id", city.id, dispatch_account(tenant, new.dispatch_account))
        return self.got(tenant, city.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a city; its emergency numbers are planned anew."""
        platform_only(tenant)
        with self.database.transaction():
            city = self.row(tenant, key)
            if "dispatch_account" in values:
                set_dispatch("city_id", key, dispatch_account(tenant, values.pop("dispatch_account")))
            if "dispatch_number" in values:
                self._set_dispatch_number(tenant, city, values.pop("dispatch_number"))
                city = self.row(tenant, key)  # which the centre has counted up
            has_new_clock = values.get("time_zone", city.time_zone) != city.time_zone
            self.update(city, **values)
            self.changes.scope("city", key)
            if has_new_clock:
                # Quiet hours are moments in ring plans.
                for (company_id,) in self.database.rows("SELECT id FROM companies WHERE city_id = ?", (key,)):
                    self.changes.scope("company", company_id)
                for (house_id,) in self.database.rows("SELECT id FROM houses WHERE city_id = ?", (key,)):
                    self.changes.scope("house", house_id)
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a city that nobody refers to."""
        platform_only(tenant)
        with self.database.transaction():
            self.row(tenant, key).delete_instance()

    def _set_dispatch_number(self, tenant: Tenant, city: City, number: str | None) -> None:
        """Give the number to the city's dispatch centre; one that has none gets it."""
        EmergencyCentres(self.context).set_number(tenant, city, number)


class Companies(Kept[Company]):
    """Companies: the tenants."""

    noun = "company"
    model = Company

    def company_of(self, document: Document) -> int | None:
        """Return the company itself."""
        return int(document["id"])

    def documents(self, rows: Sequence[Company]) -> list[Document]:
        """Show the dispatch centre with the company."""
        dispatch = dispatch_accounts("company_id", [row.id for row in rows])
        return [{**row.__data__, "dispatch_account": dispatch.get(row.id)} for row in rows]

    def create(self, tenant: Tenant, new: NewCompany) -> Document:
        """Make a company."""
        platform_only(tenant)
        with self.database.transaction():
            values = new.model_dump(exclude={"dispatch_account"})
            account_id = self._dispatch_account(tenant, new.model_dump())
            company = Company.create(**values, created_at_ms=self.context.now_ms())
            set_dispatch("company_id", company.id, account_id)
        return self.got(tenant, company.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a company; all its plans are decided anew. Whether it is a customer, its own people do not decide."""
        if _OF_THE_PLATFORM & set(values):
            platform_only(tenant)
        with self.database.transaction():
            company = self.row(tenant, key)
            account_id = self._dispatch_account(tenant, values)
            if "dispatch_account" in values:
                set_dispatch("company_id", key, account_id)
                del values["dispatch_account"]
            self.update(company, **values)
            self.changes.scope("company", key)
            if any(values.get(limit) is not None for limit in _MINUTES):
                # More than that may have been used already: then phones ring again when the month begins.
                self.changes.scope_at(month_of(self.context.now_ms())[1], "company", key)
        return self.got(tenant, key)

    @staticmethod
    def _dispatch_account(tenant: Tenant, values: dict[str, Any]) -> int | None:
        """Return the id of the account named; refuse it, and the city, where they are not there."""
        wrong = WrongFields()
        _check_city(values, wrong)
        account = values.get("dispatch_account")
        account_id = wrong.tried("dispatch_account", account, lambda: dispatch_account(tenant, account))
        wrong.refuse()
        return account_id

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a company that has nothing."""
        platform_only(tenant)
        with self.database.transaction():
            self.row(tenant, key).delete_instance()


class Houses(Kept[House]):
    """Houses."""

    noun = "house"
    model = House
    hidden = frozenset({"search_text"})

    def create(self, tenant: Tenant, new: NewHouse) -> Document:
        """Make a house."""
        with self.database.transaction():
            wrong = WrongFields()
            company_id = wrong.tried("company_id", new.company_id, lambda: company_for(tenant, new.company_id))
            values = new.model_dump(exclude={"company_id"})
            _check_city(values, wrong)
            wrong.refuse()
            house = House.create(company_id=company_id, search_text=search_text(new.address), **values)
        return self.got(tenant, house.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a house."""
        with self.database.transaction():
            wrong = WrongFields()
            _check_city(values, wrong)
            wrong.refuse()
            if "address" in values:
                values["search_text"] = search_text(values["address"])
            self.update(self.row(tenant, key), **values)
            self.changes.scope("house", key)
        return self.got(tenant, key)


class Entrances(Kept[Entrance]):
    """Entrances of houses."""

    noun = "entrance"
    model = Entrance

    def create(self, tenant: Tenant, new: NewEntrance) -> Document:
        """Make an entrance."""
        with self.database.transaction():
            house = find(tenant, House, "house", new.house_id)
            row = Entrance.create(company_id=house.company_id, house_id=house.id, number=new.number)
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change an entrance's number (no ring plan depends on it)."""
        with self.database.transaction():
            self.update(self.row(tenant, key), **values)
        return self.got(tenant, key)
