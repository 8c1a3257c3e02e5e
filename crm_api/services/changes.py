"""What a change of the database tells the world, written in the change's own transaction.

`outbox`: ring plans to drop from Redis (delivered by `python -m crm_api.outbox`). `account_changes`: credentials to
drop from Kamailio's cache (Kamailio polls the view `kamailio_changes`).

Which plans an apartment or an account concerns is looked up twice. Now, as after this transaction they may be others (a
number is another's, an account is gone). And when the change is delivered: two transactions on PostgreSQL do not see
each other. A block was put on an apartment while another worker made a panel that reaches it: the block knew nothing of
the panel, and a plan that was read after the panel's commit and before the block's would have opened for a day.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from crm_api.tables import dialled_numbers

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from crm_api.services.context import Context
    from crm_api.tables.dialled_numbers import Pair, Scope

CONTACTS_MARK: Final = "contacts:"
"""Before the name of an account in `kamailio_changes`."""
AGAIN_MS: Final = (0, 10 * 60_000, 70 * 60_000)
"""How long after its moment a change that nobody makes is delivered, again and again. A host whose clock is behind, or
will be put back (by an hour, where it took the local time for UTC), makes plans as they were before; kept for a day,
they would open to a guest whose time is over."""
ACCOUNT_CHANGES_LOCK: Final = 7001
"""Advisory lock of PostgreSQL: ids of `account_changes` become visible in growing order, or the poller loses some."""

OUTBOX_COLUMNS: Final = ("due_at_ms", "scope", "payload")
# What comes at a moment may be said by many before it does: each phone that rings after the month's minutes.
_ADD_ONCE: Final = f"""
INSERT INTO outbox ({", ".join(OUTBOX_COLUMNS)}) SELECT ?, ?, ?
WHERE NOT EXISTS (SELECT 1 FROM outbox WHERE due_at_ms = ? AND scope = ? AND payload = ?)
"""  # noqa: S608 - names of ours
_ADD = f"INSERT INTO outbox ({', '.join(OUTBOX_COLUMNS)}) VALUES (?, ?, ?)"  # noqa: S608 - names of ours


def due_rows(due_at_ms: int, apartment_ids: Iterable[int]) -> list[tuple[int, str, str]]:
    """Return the rows of the outbox (`OUTBOX_COLUMNS`) that `Changes.apartments_at` writes, for who has very many."""
    payload = json.dumps(sorted(set(apartment_ids)))
    return [(due_at_ms + later_ms, "apartments", payload) for later_ms in AGAIN_MS]


class Changes:
    """Writes of one transaction; every method must be called inside it."""

    def __init__(self, context: Context) -> None:
        self._context = context

    def numbers(self, pairs: Iterable[Pair]) -> None:
        """Drop the plans of these (panel, number) pairs now; there is no later: a number may mean another by then."""
        kept = sorted(set(pairs))
        if kept:
            self._add("numbers", json.dumps(kept))

    def apartments(self, apartment_ids: Iterable[int]) -> None:
        """Drop the plans of these apartments, under the numbers that reach them now or when this is delivered."""
        kept = sorted(set(apartment_ids))
        if kept:
            self.numbers(dialled_numbers.of_apartments(self._context.database, kept))
            self.apartments_when_delivered(kept)

    def apartments_when_delivered(self, apartment_ids: Iterable[int]) -> None:
        """Drop the plans of these apartments now, under the numbers that reach them when this is delivered."""
        kept = sorted(set(apartment_ids))
        if kept:
            self._add("apartments", json.dumps(kept))

    def apartments_at(self, due_at_ms: int, apartment_ids: Iterable[int]) -> None:
        """Drop, at a later moment, the plans that will be others by then without anybody's doing.

        Those are the plans of these apartments, and those that name an account of a guest of theirs: whichever there
        are then, under the numbers that reach them then.
        """
        self._context.database.many(_ADD, due_rows(due_at_ms, apartment_ids))

    def block_kind(self, kind_id: int) -> None:
        """Drop the plans of all apartments under a block of this kind."""
        self._add("block_kind", str(kind_id))

    def scope(self, scope: Scope, key: int) -> None:
        """Drop every plan of a panel, house, company or city now; spelled out when delivered."""
        self._add(scope, str(key))

    def scope_at(self, due_at_ms: int, scope: Scope, key: int) -> None:
        """Drop them at a later moment, when they will be others without anybody's doing; said twice it is kept once."""
        for later_ms in AGAIN_MS:
            row = (due_at_ms + later_ms, scope, str(key))
            self._context.database.rows(_ADD_ONCE, (*row, *row))

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
        for scope, key in dialled_numbers.scopes_of_account(self._context.database, account_id):
            self.scope(scope, key)
        named = dialled_numbers.apartments_naming(self._context.database, account_id)
        self.apartments({*named} if apartment_id is None else {*named, apartment_id})
        self._add("account", str(account_id))

    def accounts_ring_when_delivered(self, apartments: Mapping[int, int]) -> None:
        """Drop the plans that may ring these accounts when this is delivered, for who has very many.

        It is enough for whoever changes neither the accounts nor the plans that name them.

        Args:
            apartments: of each account, by its id.
        """
        self.apartments_when_delivered(apartments.values())
        now_ms = self._context.now_ms()
        self._context.database.many(_ADD, [(-now_ms, "account", str(account_id)) for account_id in sorted(apartments)])

    def _add(self, scope: str, payload: str) -> None:
        # What is due now is so for whoever delivers it, also where the clock is minutes behind or was put back since: a
        # right that was withdrawn would stand until then. So its moment is written below zero.
        self._context.database.rows(_ADD, (-self._context.now_ms(), scope, payload))
