"""What happened: call records with their branches, and openings of doors."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from peewee import SQL

from crm_api.domain.call_record import story_of
from crm_api.domain.problems import NotFoundError
from crm_api.domain.why import AccountFacts, why
from crm_api.services.context import visible
from crm_api.services.kept import Listed
from crm_api.services.keys import numbers_meant
from crm_api.tables import call_record_rows, entry_rows, ring_plan_facts
from crm_api.tables.models import AccessRecord, Account, Apartment, CallApartment, CallBranch, CallRecord

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from crm_api.services.context import Tenant
    from crm_api.services.kept import Document


def _of_apartment(key: int) -> Any:
    """Return the condition that a call was to this apartment or from it, or was passed on to it.

    By ids, from an index each: of "one or the other" PostgreSQL would read every call there is.
    """
    own = CallRecord.select(CallRecord.id).where(CallRecord.apartment_id == key)
    rang = CallApartment.select(CallApartment.call_id).where(CallApartment.apartment_id == key)
    other = CallRecord.alias()
    return CallRecord.id.in_(own.union_all(other.select(other.id).where(other.call_id.in_(rang))))


class CallRecords(Listed[CallRecord]):
    """Calls; in lists without their branches."""

    noun = "call"
    model = CallRecord
    filters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "from_ms": lambda moment: CallRecord.started_at_ms >= moment,
        "to_ms": lambda moment: CallRecord.started_at_ms < moment,
        "apartment_id": _of_apartment,
    }

    def row(self, tenant: Tenant, key: Any) -> CallRecord:
        """Return a call by its Call-ID."""
        row: CallRecord | None = visible(tenant, CallRecord).where(CallRecord.call_id == key).first()
        if row is None:
            raise NotFoundError.of(self.noun, key)
        return row

    def got(self, tenant: Tenant, key: Any) -> Document:
        """Return one call with every branch and every opening, or raise `NotFoundError`."""
        row = self.row(tenant, key)
        branches = CallBranch.select().where(CallBranch.call_id == key)
        doors = visible(tenant, AccessRecord).where(AccessRecord.call_id == key).order_by(AccessRecord.id)
        return {
            **row.__data__,
            "branches": [
                {name: value for name, value in branch.__data__.items() if name != "call_id"}
                for branch in branches.order_by(CallBranch.stage, CallBranch.account, CallBranch.branch)
            ],
            "access_records": [dict(door.__data__) for door in doors],
            "phone_legs": self._phone_legs(key),
            "story": story_of(self._story(key)),
        }

    def why(self, tenant: Tenant, call_id: str, account: str) -> Document:
        """Say in one sentence what became of an account in a call.

        Raises:
            NotFoundError: the tenant sees no such call.
        """
        call = self.got(tenant, call_id)
        row: Account | None = visible(tenant, Account).where(Account.account == account).first()
        facts = None if row is None else self._facts(row, call)
        answer = why(call, account, facts)
        return {"call_id": call_id, "account": account, "rang": answer.rang, "sentence": answer.sentence}

    def _facts(self, row: Account, call: Document) -> AccountFacts:
        quiet, at_ms = False, call["started_at_ms"]
        house_id = self._quiet_where(row, call)
        if house_id is not None:
            quiet = ring_plan_facts.is_quiet(self.database, house_id, row.quiet_from_min, row.quiet_until_min, at_ms)
        return AccountFacts(row.enabled, row.kind, row.apartment_id, quiet, row.created_at_ms)

    @staticmethod
    def _quiet_where(row: Account, call: Document) -> int | None:
        """Return the house whose time of day counts: the account's, else (a desk) that of the apartment called."""
        if row.apartment_id is not None:
            house_id: int = Apartment.get_by_id(row.apartment_id).house_id
            return house_id
        # Who calls the desks themselves has them ring at any hour.
        return None if call["apartment_id"] is None else call["house_id"]

    def _phone_legs(self, call_id: str) -> list[Document]:
        rows = self.database.rows(call_record_rows.PHONE_LEGS, (call_id,))
        names = ("stage", "account", "trunk", "ended_at_ms", "phone_ms", "billed_s", "cost_micros", "currency")
        return [{**dict(zip(names, row[:-1], strict=True)), "connected": bool(row[-1])} for row in rows]

    def _story(self, call_id: str) -> str | None:
        row = self.database.row(call_record_rows.STORY, (call_id,))
        return None if row is None else row[0]


class AccessRecords(Listed[AccessRecord]):
    """Openings of doors, and refusals."""

    noun = "access record"
    model = AccessRecord
    filters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "from_ms": lambda moment: AccessRecord.at_ms >= moment,
        "to_ms": lambda moment: AccessRecord.at_ms < moment,
    }

    def condition(self, name: str, value: Any) -> Any:
        """Return the condition that a filter stands for; that of a key's number is one of the reports, too."""
        if name != "key_number":
            return super().condition(name, value)
        text, parameters = entry_rows.by_key(self.database, numbers_meant(value, name))
        return SQL(text.replace("?", self.database.peewee.param), parameters)
