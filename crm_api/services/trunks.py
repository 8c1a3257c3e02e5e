"""Trunks: the platform's carriers, and whom each serves."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.inputs.trunks import TWILIO_NETWORKS
from crm_api.domain.passwords import ha1
from crm_api.domain.problems import ConflictError, InvalidFieldsError
from crm_api.services.context import Tenant, find
from crm_api.services.kept import Document, Kept, platform_only
from crm_api.tables.emergency import CityNumber, EmergencyTrunk
from crm_api.tables.fund import Trunk, TrunkRoute
from crm_api.tables.models import City, Company

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs.trunks import NewTrunk

CHANGE_MARK: Final = "trunk:"
"""Before the name of a trunk in `kamailio_changes`."""
_ROUTE: Final = ("company_id", "city_id", "position", "caller_number")
_HIDDEN: Final = frozenset({"ha1", "secret"})


class Trunks(Kept[Trunk]):
    """Trunks; whoever does not act for every company is refused."""

    noun = "trunk"
    model = Trunk

    def company_of(self, _document: Document) -> int | None:
        """Return None: a trunk is the platform's."""
        return None

    def seen(self, tenant: Tenant) -> Any:
        """Show trunks to the platform's people only."""
        platform_only(tenant)
        return Trunk.select()

    def row(self, tenant: Tenant, key: Any) -> Trunk:
        """Return one trunk, or raise `NotFoundError`."""
        platform_only(tenant)
        return super().row(tenant, key)

    def documents(self, rows: Sequence[Trunk]) -> list[Document]:
        """Show trunks with their routes."""
        routes: dict[int, list[Document]] = {}
        of_these = TrunkRoute.select().where(TrunkRoute.trunk_id.in_([row.id for row in rows]))
        for route in of_these.order_by(TrunkRoute.position, TrunkRoute.id):
            routes.setdefault(route.trunk_id, []).append({name: getattr(route, name) for name in _ROUTE})
        return [
            {
                **{name: value for name, value in row.__data__.items() if name not in _HIDDEN},
                "networks": None if row.networks is None else row.networks.split(","),
                "has_password": row.ha1 is not None or row.secret is not None,
                "routes": routes.get(row.id, []),
            }
            for row in rows
        ]

    def create(self, tenant: Tenant, new: NewTrunk) -> Document:
        """Make a trunk."""
        platform_only(tenant)
        values = new.model_dump(exclude={"routes"})
        if new.kind == "twilio_voice":
            values["networks"] = ",".join(new.networks or TWILIO_NETWORKS)
        with self.database.transaction():
            row = Trunk.create(**self._with_secret(new.kind, new.address, values), created_at_ms=self.context.now_ms())
            self._set_routes(row.id, [route.model_dump() for route in new.routes])
            self._announce(row.id, row.name)
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a trunk; a digest is made of name, realm and password, so these change together."""
        with self.database.transaction():
            row = self.row(tenant, key)
            self._must_fit(row, values)
            self._announce(key, row.name)
            if "networks" in values:
                values["networks"] = ",".join(values["networks"])
            if "routes" in values:
                self._set_routes(key, values.pop("routes"))
            known = {"username": row.username, "realm": row.realm}
            if "password" in values:
                values = self._with_secret(row.kind, values.get("address", row.address), {**known, **values})
            self.update(row, **values)
            self._announce(key, row.name)
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a trunk; calls on it go on.

        Raises:
            ConflictError: emergency calls go over it.
        """
        with self.database.transaction():
            row = self.row(tenant, key)
            self._must_not_carry_emergencies(row.name)
            self._announce(key, row.name)
            row.delete_instance()

    @staticmethod
    def _must_not_carry_emergencies(name: str) -> None:
        centres = City.id.in_(EmergencyTrunk.select(EmergencyTrunk.city_id).where(EmergencyTrunk.trunk == name))
        numbers = City.id.in_(CityNumber.select(CityNumber.city_id).where(CityNumber.trunk == name))
        cities = [city.name for city in City.select().where(centres | numbers).order_by(City.id).limit(5)]
        if cities:
            raise ConflictError(
                f"Emergency calls of {', '.join(cities)} go over {name}: give dispatch centre and numbers another first"
            )

    def _must_fit(self, row: Trunk, values: dict[str, Any]) -> None:
        if row.kind != "sip" and "address" in values:
            raise InvalidFieldsError.one("address", values["address"], f"a trunk of kind {row.kind} has none")
        if row.kind == "sip" and "networks" in values:
            raise InvalidFieldsError.one("networks", values["networks"], "a trunk of kind sip has its address")
        if row.kind != "sip" and any(route["caller_number"] is None for route in values.get("routes", ())):
            raise InvalidFieldsError.one("routes.caller_number", None, "give a number of the account")
        has_secret = row.ha1 is not None or row.secret is not None
        if has_secret and not {"username", "realm"}.isdisjoint(values) and "password" not in values:
            raise InvalidFieldsError.one("password", None, "give it again: what is kept holds user and realm, too")
        if values.get("registers") and (values.get("username") or row.username) is None:
            raise InvalidFieldsError.one("registers", True, "a registration needs a username")

    def _with_secret(self, kind: str, address: str | None, values: dict[str, Any]) -> dict[str, Any]:
        """Return the values with what is kept of the password in its place."""
        password = values.pop("password", None)
        if password is None:
            return {**values, "realm": None}
        if kind == "twilio_voice":
            return {**values, "realm": None, "secret": self.context.encryption.encrypted(password)}
        realm = values.get("realm") or str(address).partition(":")[0]
        return {**values, "realm": realm, "ha1": ha1(values["username"], realm, password)}

    def _set_routes(self, trunk_id: int, routes: list[dict[str, Any]]) -> None:
        TrunkRoute.delete().where(TrunkRoute.trunk_id == trunk_id).execute()
        everybody = Tenant(None)
        for route in routes:
            if route["company_id"] is not None:
                find(everybody, Company, "company", route["company_id"])
            if route["city_id"] is not None and City.get_or_none(City.id == route["city_id"]) is None:
                raise InvalidFieldsError.one("routes.city_id", route["city_id"], "name a city that exists")
            TrunkRoute.create(trunk_id=trunk_id, **route)

    def _announce(self, trunk_id: int, name: str) -> None:
        """Have the proxy read the trunk anew, and every company that it serves planned anew."""
        self.changes.credential(CHANGE_MARK + name)
        served: set[int] = set()
        for route in TrunkRoute.select().where(TrunkRoute.trunk_id == trunk_id):
            if route.company_id is not None:
                served.add(route.company_id)
            else:
                served.update(row.id for row in Company.select(Company.id))
        for company_id in sorted(served):
            self.changes.scope("company", company_id)
