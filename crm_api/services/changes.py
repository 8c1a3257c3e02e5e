"""What a change of the database tells the world, written in the change's own transaction.

`outbox`: ring plans to drop from Redis (delivered by `python -m crm_api.outbox`). `account_changes`: credentials to
drop from Kamailio's cache (Kamailio polls the view `kamailio_changes`).
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from crm_api.tables import dialled_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crm_api.services.context import Context
    from crm_api.tables.dialled_numbers import Pair, Scope

CONTACTS_MARK: Final = "contacts:"
"""Before the name of an account in `kamailio_changes`."""
ACCOUNT_CHANGES_LOCK: Final = 7001
"""Advisory lock of PostgreSQL: ids of `account_changes` become visible in growing order, or the poller loses some."""

_ADD = "INSERT INTO outbox (due_at_ms, scope, payload) VALUES (?, ?, ?)"

_PLANS_NAMING = """
SELECT rp.company_id, rp.house_id, rp.apartment_id FROM ring_targets t
JOIN ring_stages s ON s.id = t.stage_id JOIN ring_plans rp ON rp.id = s.plan_id WHERE t.account_id = ?
"""
_DESKS = "SELECT company_id, house_id FROM concierge_desks WHERE account_id = ?"


class Changes:
    """Writes of one transaction; every method must be called inside it."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def numbers(self, pairs: Iterable[Pair]) -> None:
        """Drop the plans of these (panel, number) pairs now; there is no later: a number may mean another by then."""
        kept = sorted(set(pairs))
        if kept:
            self._add("numbers", json.dumps(kept), None)

    def apartments(self, apartment_ids: Iterable[int]) -> None:
        """Drop the plans of these apartments now, under the numbers that reach them at this moment."""
        self.numbers(dialled_numbers.of_apartments(self._context.database, apartment_ids))

    def apartments_at(self, due_at_ms: int, apartment_ids: Iterable[int]) -> None:
        """Drop, at a later moment, the plans that will be others by then without anybody's doing.

        Those are the plans of these apartments, and those that name an account of a guest of theirs: whichever there
        are then, under the numbers that reach them then.
        """
        self._add("apartments", json.dumps(sorted(set(apartment_ids))), due_at_ms)

    def scope(self, scope: Scope, key: int, due_at_ms: int | None = None) -> None:
        """Drop every plan of a panel, house, company or city, now or later; spelled out when delivered."""
        self._add(scope, str(key), due_at_ms)

    def credential(self, account: str) -> None:
        """Drop the account from Kamailio's cache."""
        database = self._context.database
        if database.dialect == "postgresql":
            database.rows("SELECT pg_advisory_xact_lock(?)", (ACCOUNT_CHANGES_LOCK,))
        database.rows("INSERT INTO account_changes (account, at_ms) VALUES (?, ?)", (account, self._context.now_ms()))

    def contacts(self, account: str) -> None:
        """Drop the account's contacts and its entry in Kamailio's cache: what is registered is not its any more."""
        self.credential(CONTACTS_MARK + account)
        self.credential(account)

    def account_rings(self, account_id: int, apartment_id: int | None) -> None:
        """Drop every plan that may ring this account: of its apartment, naming it, of its desk or dispatch centre."""
        database = self._context.database
        apartments = set() if apartment_id is None else {apartment_id}
        for company_id, house_id, named_apartment in database.rows(_PLANS_NAMING, (account_id,)):
            if named_apartment is not None:
                apartments.add(named_apartment)
            elif house_id is not None:
                self.scope("house", house_id)
            else:
                self.scope("company", company_id)
        self.apartments(apartments)
        for company_id, house_id in database.rows(_DESKS, (account_id,)):
            self.scope(*(("house", house_id) if house_id is not None else ("company", company_id)))
        for city_id, company_id in database.rows(
            "SELECT city_id, company_id FROM dispatch_centres WHERE account_id = ?", (account_id,)
        ):
            self.scope(*(("city", city_id) if city_id is not None else ("company", company_id)))

    def _add(self, scope: str, payload: str, due_at_ms: int | None) -> None:
        due = self._context.now_ms() if due_at_ms is None else due_at_ms
        self._context.database.rows(_ADD, (due, scope, payload))
