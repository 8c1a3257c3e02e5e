"""The lease of a city's numbers: which number a panel calls the dispatch centre from, and who is called back on it.

A panel that holds a number keeps it; else it gets the number that has been free for longest; else the city's shared
number. A number is kept for a set time after the call, for calls back. A call whose end nobody told (a server died)
holds its number for `LONGEST_CALL_MS` and that time, no longer.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, NamedTuple

from crm_api.domain.problems import ConflictError
from crm_api.services.audit import AuditTrail, Entry
from crm_api.services.kept import Document, Listed
from crm_api.tables import number_lease_rows as rows
from crm_api.tables.emergency import CityNumber, NumberLease

if TYPE_CHECKING:
    from crm_api.services.context import Context, Tenant
    from crm_api.tables.number_lease_rows import Caller, Leased

LONGEST_CALL_MS: Final = 4 * 3_600_000
DEFAULT_KEEP_S: Final = 86_400
_TRIES: Final = 5


class Lease(NamedTuple):
    """The number that a call goes out with.

    `source`: `leased` (free before), `renewed` (the panel held it), `shared`; None for a city without any number.
    """

    panel_id: int | None
    company_id: int | None
    city_id: int | None
    number: str | None
    trunk: str | None
    source: str | None
    held_until_ms: int | None


class Leasing:
    """Takes, keeps and ends leases."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._database = context.database
        self._sql = {
            name: rows.spelled(context.database, getattr(rows, name))
            for name in (
                "RENEW",
                "SHARED",
                "FREE_AGAIN",
                "EXPIRED",
                "ENDED",
                "GOES_ON",
                "FREE_NOW",
                "CALLED_BACK",
                "RENEWED_LATE",
            )
        }

    def lease(self, account: str, call_id: str) -> Lease | None:
        """Take a number for a call of this account; None when nobody has this account."""
        caller = None
        for _ in range(_TRIES):
            caller = rows.caller(self._database, account)
            if caller is None:
                return None
            if caller.city_id is None or caller.panel_id is None:
                break
            try:
                taken = self._taken(caller, caller.city_id, account, call_id)
            except ConflictError:
                continue  # the same panel has taken a number in this moment: it is found now
            if taken is not None:
                return taken
            if caller.number_id is None:
                break
        return None if caller is None else self._shared(caller)

    def ended(self, call_id: str, at_ms: int) -> None:
        """End a call: its number is kept for the city's time from now on."""
        with self._database.transaction():
            found = self._database.rows(self._sql["ENDED"], (at_ms, DEFAULT_KEEP_S, call_id))
            for number_id, until_ms in found:
                self._database.rows(rows.HELD_UNTIL, (until_ms, number_id))
            self._database.rows(
                "UPDATE number_leases SET ended_at_ms = ? WHERE call_id = ? AND end_reason = 'shared'",
                (at_ms, call_id),
            )

    def goes_on(self, call_id: str, at_ms: int) -> None:
        """Take back the end of a call that has moved at this moment; inside the caller's transaction.

        Its number is kept as if it had been leased then. Nothing happens when it is another call's by now.
        """
        for number_id, city_id in self._database.rows(rows.OF_CALL, (call_id,)):
            least_ms = at_ms + LONGEST_CALL_MS + 1000 * self._keep_s(city_id)
            found = self._database.rows(self._sql["GOES_ON"], (least_ms, least_ms, number_id, call_id))
            for _, until_ms in found:
                self._database.rows(rows.HELD_UNTIL, (until_ms, number_id))

    def free(self, call_id: str, at_ms: int) -> None:
        """Free the number of a call that has ended, unless another call has it; inside the caller's transaction."""
        for (number_id,) in self._database.rows(self._sql["FREE_NOW"], (at_ms, call_id, at_ms)):
            self._database.rows(rows.HELD_UNTIL, (at_ms, number_id))

    def called_back(self, number: str, call_id: str) -> int | None:
        """Begin a call back; return the panel that holds the number, None when nobody does.

        The number is kept at least for the length of this call.
        """
        now_ms = self._context.now_ms()
        least_ms = now_ms + LONGEST_CALL_MS
        with self._database.transaction():
            found = self._database.row(self._sql["CALLED_BACK"], (call_id, least_ms, least_ms, number, now_ms))
            if found is None:
                return None
            number_id, panel_id, until_ms = found
            self._database.rows(
                "UPDATE number_leases SET held_until_ms = ?, call_id = ? WHERE number_id = ? AND ended_at_ms IS NULL",
                (until_ms, call_id, number_id),
            )
        return int(panel_id)

    def expire(self) -> int:
        """Free every number whose time is over; return how many."""
        now_ms = self._context.now_ms()
        with self._database.transaction():
            freed = self._database.rows(self._sql["EXPIRED"], (now_ms,))
            self._database.rows(rows.CLOSE_EXPIRED, (now_ms,))
        return len(freed)

    def release(self, number_id: int, panel_id: int, end_reason: str, reason: str | None) -> bool:
        """Take a number from its panel, inside the caller's transaction; False when it does not hold it any more."""
        now_ms = self._context.now_ms()
        if not self._database.rows(self._sql["FREE_AGAIN"], (now_ms, number_id, panel_id)):
            return False
        self._database.rows(rows.CLOSE, (now_ms, end_reason, reason, number_id))
        return True

    def late(self, number: str, account: str, call_id: str, at_ms: int) -> None:
        """Record that the shared number was used, once a call, inside the caller's transaction.

        No lease could be taken: all numbers are held, or nobody could ask for one when the call was made.
        """
        caller = rows.caller(self._database, account)
        shared = CityNumber.select().where((CityNumber.number == number) & (CityNumber.shared == True)).first()  # noqa: E712 - SQL
        known = NumberLease.select().where(NumberLease.call_id == call_id).first()
        if shared is None or known is not None:
            return
        NumberLease.create(
            number_id=shared.id,
            city_id=shared.city_id,
            company_id=None if caller is None else caller.company_id,
            panel_id=None if caller is None else caller.panel_id,
            number=number,
            panel=account,
            leased_at_ms=at_ms,
            calls=1,
            call_id=call_id,
            held_until_ms=at_ms,
            ended_at_ms=at_ms,
            end_reason="shared",
        )

    def renewed_late(self, number: str, account: str, call_id: str, at_ms: int) -> None:
        """Record that a panel called with the number that it held while nobody could tell the CRM so.

        The number is kept as if it had been renewed then. Nothing happens when the panel does not hold it any more, or
        has called again since. Inside the caller's transaction.
        """
        caller = rows.caller(self._database, account)
        if caller is None or caller.number != number or caller.number_id is None or caller.city_id is None:
            return
        until_ms = at_ms + LONGEST_CALL_MS + 1000 * self._keep_s(caller.city_id)
        found = self._database.rows(
            self._sql["RENEWED_LATE"], (call_id, until_ms, caller.number_id, caller.panel_id, until_ms, call_id, at_ms)
        )
        if found:
            self._database.rows(rows.RENEWED, (call_id, until_ms, caller.number_id))

    def _taken(self, caller: Caller, city_id: int, account: str, call_id: str) -> Lease | None:
        """Renew or take; None when the city has no free number, or what the panel holds has just changed."""
        now_ms = self._context.now_ms()
        until_ms = now_ms + LONGEST_CALL_MS + 1000 * self._keep_s(city_id)
        wanted = rows.Wanted(city_id, caller.company_id, caller.panel_id or 0, account, call_id, now_ms, until_ms)
        if caller.number_id is None and self._database.dialect == "postgresql":
            with self._database.statement():
                leased = rows.take_free(self._database, wanted)
            return None if leased is None else self._told(caller, leased, "leased", until_ms)
        with self._database.transaction():
            if caller.number_id is not None:
                if self._still_good(caller, now_ms):
                    return self._renewed(caller, caller.number_id, wanted)
                self._give_up(caller, caller.number_id, now_ms)
            leased = rows.take_free(self._database, wanted)
        return None if leased is None else self._told(caller, leased, "leased", until_ms)

    def _renewed(self, caller: Caller, number_id: int, wanted: rows.Wanted) -> Lease | None:
        held = self._database.row(
            self._sql["RENEW"], (wanted.call_id, wanted.until_ms, number_id, wanted.panel_id, wanted.now_ms)
        )
        if held is None:
            return None
        self._database.rows(rows.RENEWED, (wanted.call_id, wanted.until_ms, number_id))
        return self._told(caller, rows.Leased(*held), "renewed", wanted.until_ms)

    def _give_up(self, caller: Caller, number_id: int, now_ms: int) -> None:
        """Free the number that the panel may not use any more: expired, of another city, or out of service."""
        held_until_ms = caller.held_until_ms or 0
        expired = held_until_ms <= now_ms
        why = "expired" if expired else "moved" if caller.in_service else "withdrawn"
        ended_ms = min(held_until_ms, now_ms)
        if self._database.rows(self._sql["FREE_AGAIN"], (ended_ms, number_id, caller.panel_id)):
            self._database.rows(rows.CLOSE, (ended_ms, why, None, number_id))

    def _shared(self, caller: Caller) -> Lease:
        if caller.city_id is not None:
            shared = self._database.row(self._sql["SHARED"], (caller.city_id,))
            if shared is not None:
                return self._told(caller, rows.Leased(*shared), "shared", None)
        return Lease(caller.panel_id, caller.company_id, caller.city_id, None, None, None, None)

    def _keep_s(self, city_id: int) -> int:
        row = self._database.row(rows.KEEP_OF, (city_id,))
        return DEFAULT_KEEP_S if row is None else int(row[0])

    @staticmethod
    def _still_good(caller: Caller, now_ms: int) -> bool:
        return (
            bool(caller.in_service) and caller.number_city_id == caller.city_id and (caller.held_until_ms or 0) > now_ms
        )

    @staticmethod
    def _told(caller: Caller, leased: Leased, source: str, until_ms: int | None) -> Lease:
        return Lease(caller.panel_id, caller.company_id, caller.city_id, leased.number, leased.trunk, source, until_ms)


class NumberLeases(Listed[NumberLease]):
    """The history of leases, newest first: a company sees its own panels'."""

    noun = "lease"
    model = NumberLease

    def __init__(self, context: Context) -> None:
        super().__init__(context)
        self._trail = AuditTrail(context)
        self._leasing = Leasing(context)

    def release(self, tenant: Tenant, key: int, reason: str) -> Document:
        """End a lease before its time.

        Raises:
            ConflictError: it has ended already.
        """
        with self.database.transaction():
            row: Any = self.row(tenant, key)
            before = self.documents([row])[0]
            held = row.ended_at_ms is None and row.panel_id is not None
            if not held or not self._leasing.release(row.number_id, row.panel_id, "released", reason):
                raise ConflictError(f"The lease of {row.number} by {row.panel} has ended already: nothing to release")
            after = self.got(tenant, key)
            self._trail.write(tenant, [Entry(self.noun, str(key), "release", before, after, row.company_id)])
        return after
