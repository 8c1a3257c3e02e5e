"""Dispatch centres of cities with their trunks, and what each company wants of emergency calls."""

from __future__ import annotations

import json
from contextlib import suppress
from typing import TYPE_CHECKING, Any, ClassVar, Final

from crm_api.domain.inputs.emergency import NewEmergencyCentre
from crm_api.domain.phones import e164
from crm_api.domain.problems import InvalidFieldsError
from crm_api.services.audit import HIDDEN, AuditTrail, Entry
from crm_api.services.changes import Changes
from crm_api.services.context import Tenant, find
from crm_api.services.kept import Document, Kept, StaleError, platform_only
from crm_api.tables.emergency import EmergencyCentre, EmergencyRule, EmergencyTrunk
from crm_api.tables.models import Apartment, City, Company, PanelPlace

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs.emergency import NewEmergencyRules
    from crm_api.services.context import Context
    from crm_api.services.kept import Expected

# Not FOR UPDATE: that would wait for whoever writes a row that refers to the city.
_HOLD_CITY: Final = "SELECT id FROM cities WHERE id = ? FOR NO KEY UPDATE"
_TRUNK_SHOWN = ("trunk", "caller_in", "sends_location")
USUAL: Final[dict[str, Any]] = {
    "numbers": ["101", "102", "103", "104"],
    "sos_number": None,
    "from_apps": "own_house",
    "email": None,
    "webhook_url": None,
}
"""Rules of a company that has set none."""


def _public(number: str | None) -> str | None:
    """Return a number that any trunk dials, None for one that only the centre's own lines know."""
    if number is None or not number.startswith("+"):
        return None
    with suppress(ValueError):
        return e164(number)
    return None


def centre_numbers(city_ids: Sequence[int]) -> dict[int, str]:
    """Return the number of each city's dispatch centre, for those that have one."""
    query: Any = EmergencyCentre.select(EmergencyCentre.city_id, EmergencyCentre.number)
    return dict(query.where(EmergencyCentre.city_id.in_(city_ids)).tuples())


class EmergencyCentres(Kept[EmergencyCentre]):
    """Dispatch centres, one a city: the platform's."""

    noun = "emergency centre"
    model = EmergencyCentre
    secrets: ClassVar[frozenset[str]] = frozenset({"webhook_secret"})

    def row(self, tenant: Tenant, key: Any) -> EmergencyCentre:
        """Return a centre."""
        platform_only(tenant)
        return find(tenant, EmergencyCentre, self.noun, key)

    def seen(self, tenant: Tenant) -> Any:
        """Return all centres."""
        platform_only(tenant)
        return EmergencyCentre.select()

    def documents(self, rows: Sequence[EmergencyCentre]) -> list[Document]:
        """Show each centre with its trunks in their order, and without its secret."""
        trunks: dict[int, list[Document]] = {}
        lines: Any = EmergencyTrunk.select().where(EmergencyTrunk.city_id.in_([row.city_id for row in rows]))
        for line in lines.order_by(EmergencyTrunk.position):
            trunks.setdefault(line.city_id, []).append({name: line.__data__[name] for name in _TRUNK_SHOWN})
        return [
            {
                **{name: value for name, value in row.__data__.items() if name != "webhook_secret"},
                "trunks": trunks.get(int(str(row.city_id)), []),
            }
            for row in rows
        ]

    def create(self, tenant: Tenant, new: NewEmergencyCentre) -> Document:
        """Make the centre of a city."""
        platform_only(tenant)
        with self.database.transaction():
            if City.get_or_none(City.id == new.city_id) is None:
                raise InvalidFieldsError.one("city_id", new.city_id, "name a city: make it first")
            values = new.model_dump(exclude={"trunks", "webhook_secret"})
            if new.number is not None:
                self._count_city(new.city_id)
            row = EmergencyCentre.create(**values, webhook_secret=self._kept(new.webhook_secret))
            self._set_trunks(new.city_id, [trunk.model_dump() for trunk in new.trunks])
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a centre; its trunks are replaced whole."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if values.get("number", row.number) != row.number:
                self._count_city(int(str(row.city_id)))
            if "trunks" in values:
                self._set_trunks(int(str(row.city_id)), values.pop("trunks"))
            if "webhook_secret" in values:
                values["webhook_secret"] = self._kept(values["webhook_secret"])
            self.update(row, **values)
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a centre with its trunks; the city's numbers stay."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.number is not None:
                self._count_city(int(str(row.city_id)))
            EmergencyTrunk.delete().where(EmergencyTrunk.city_id == row.city_id).execute()
            row.delete_instance()

    def set_number(self, tenant: Tenant, city: City, number: str | None) -> None:
        """Have this number ring the centre of a city, which is made if need be.

        It is the centre's public one as well, if it is a number of the public network and the centre has no other.

        Raises:
            InvalidFieldsError: no number, and the city has a centre.
        """
        row = EmergencyCentre.get_or_none(EmergencyCentre.city_id == city.id)
        public = _public(number)
        if number is not None and row is None:
            asked = {"city_id": city.id, "name": city.name, "number": number, "public_number": public}
            self.create(tenant, NewEmergencyCentre.model_validate(asked))
        elif number is not None and row is not None and row.number != number:
            values = {"number": number}
            if public is not None and row.public_number in {None, _public(row.number)}:
                values["public_number"] = public
            self.change(tenant, row.id, values)
        elif number is None and row is not None:
            remedy = f"remove the dispatch centre instead: DELETE /v1/emergency-centres/{row.id}"
            raise InvalidFieldsError.one("dispatch_number", None, remedy)

    def _must_be_expected(self, tenant: Tenant, key: Any, expected: Expected) -> None:
        """Hold the city before the centre: who changes the number through the city has it before."""
        if self.database.dialect == "postgresql":
            self.database.rows(_HOLD_CITY, (self.row(tenant, key).city_id,))
        super()._must_be_expected(tenant, key, expected)

    @staticmethod
    def _count_city(city_id: int) -> None:
        """Count a change of the city: it shows the number of its centre.

        Before anything of the centre is written, as by who changes the number through the city: two that wait for each
        other would end in a deadlock.
        """
        City.update(version=City.version + 1).where(City.id == city_id).execute()

    def _kept(self, secret: str | None) -> str | None:
        return None if secret is None else self.context.encryption.encrypted(secret)

    @staticmethod
    def _set_trunks(city_id: int, trunks: list[dict[str, Any]]) -> None:
        names = [trunk["trunk"] for trunk in trunks]
        for position, name in enumerate(names):
            if name in names[:position]:
                raise InvalidFieldsError.one(f"trunks.{position}.trunk", name, "name each trunk once")
        EmergencyTrunk.delete().where(EmergencyTrunk.city_id == city_id).execute()
        lines = [{**trunk, "city_id": city_id, "position": position} for position, trunk in enumerate(trunks)]
        if lines:
            EmergencyTrunk.insert_many(lines).execute()


class EmergencyRules:
    """Rules, one set a company; a company without has the usual ones."""

    noun = "emergency rules"

    def __init__(self, context: Context) -> None:
        self._context = context
        self._changes = Changes(context)
        self._trail = AuditTrail(context)

    def got(self, tenant: Tenant, company_id: int) -> Document:
        """Show the rules of a company."""
        find(tenant, Company, "company", company_id)
        row = EmergencyRule.get_or_none(EmergencyRule.company_id == company_id)
        if row is None:
            return {"company_id": company_id, **USUAL}
        shown = {name: row.__data__[name] for name in ("company_id", *USUAL)}
        return {**shown, "numbers": json.loads(row.numbers)}

    @staticmethod
    def etag(company_id: int) -> str:
        """Return the ETag of a company's rules: each time that they are set their row is another."""
        row = EmergencyRule.get_or_none(EmergencyRule.company_id == company_id)
        return f'"{company_id}-{0 if row is None else row.id}"'

    def put(self, tenant: Tenant, company_id: int, new: NewEmergencyRules, expected: Expected = None) -> Document:
        """Set the rules of a company; its plans are decided anew.

        Raises:
            StaleError: their ETag is none of `expected`.
        """
        with self._context.database.transaction():
            before = self.got(tenant, company_id)
            if expected is not None and self.etag(company_id) not in expected:
                raise StaleError(f"The {self.noun} were changed meanwhile; read them and decide anew")
            values = new.model_dump()
            if new.sos_number is not None:
                self._refuse_apartment(company_id, new.sos_number)
            if new.webhook_secret is not None:
                values["webhook_secret"] = self._context.encryption.encrypted(new.webhook_secret)
            values["numbers"] = json.dumps(sorted(set(new.numbers)))
            secret_before = self._secret(company_id)
            EmergencyRule.delete().where(EmergencyRule.company_id == company_id).execute()
            EmergencyRule.create(company_id=company_id, **values)
            self._changes.scope("company", company_id)
            after = self.got(tenant, company_id)
            told_before, told_after = dict(before), dict(after)
            if new.webhook_secret != secret_before:  # that it is another one is told, and never which
                told_before["webhook_secret"] = None if secret_before is None else HIDDEN
                told_after["webhook_secret"] = None if new.webhook_secret is None else HIDDEN
            entry = Entry(self.noun, str(company_id), "change", told_before, told_after, company_id)
            self._trail.write(tenant, [entry])
        return after

    def _secret(self, company_id: int) -> str | None:
        """Return the webhook's secret; one that cannot be read is another than any."""
        row = EmergencyRule.get_or_none(EmergencyRule.company_id == company_id)
        if row is None or row.webhook_secret is None:
            return None
        try:
            return self._context.encryption.decrypted(row.webhook_secret)
        except ValueError:
            return ""

    @staticmethod
    def _refuse_apartment(company_id: int, number: str) -> None:
        """Refuse an SOS number that is an apartment's somewhere."""
        dialled: Any = (
            Apartment.select(Apartment.id)
            .join(PanelPlace, on=(PanelPlace.house_id == Apartment.house_id))
            .where((PanelPlace.code == "") & (PanelPlace.company_id == company_id))
        )
        if dialled.where(Apartment.number == int(number)).exists():
            raise InvalidFieldsError.one(
                "sos_number", number, "is an apartment's number behind one of the company's panels: choose another"
            )
