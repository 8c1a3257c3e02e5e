"""Gates that several houses share."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_api.services.context import Tenant, visible
from crm_api.services.kept import Document, Kept, company_for
from crm_api.services.wrong_fields import WrongFields
from crm_api.tables.fund import Gate, GateHouse
from crm_api.tables.models import House

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs import places


class Gates(Kept[Gate]):
    """Gates and wickets."""

    noun = "gate"
    model = Gate

    def documents(self, rows: Sequence[Gate]) -> list[Document]:
        """Show each gate with its houses."""
        houses: dict[int, list[int]] = {}
        shared = GateHouse.select().where(GateHouse.gate_id.in_([row.id for row in rows]))
        for line in shared.order_by(GateHouse.gate_id, GateHouse.house_id):
            houses.setdefault(line.gate_id, []).append(line.house_id)
        return [{**row.__data__, "houses": houses.get(row.id, [])} for row in rows]

    def create(self, tenant: Tenant, new: places.NewGate) -> Document:
        """Make a gate."""
        with self.database.transaction():
            values = new.model_dump(exclude={"company_id", "houses"})
            wrong = WrongFields()
            company_id = self._company(tenant, new, wrong)
            _check_houses(tenant if company_id is None else Tenant.of(company_id), new.houses, wrong)
            wrong.refuse()
            row = Gate.create(company_id=company_id, **values)
            self._set_houses(row, new.houses)
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a gate; no ring plan depends on it."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if "houses" in values:
                wrong = WrongFields()
                _check_houses(Tenant.of(int(str(row.company_id))), values["houses"], wrong)
                wrong.refuse()
                GateHouse.delete().where(GateHouse.gate_id == key).execute()
                self._set_houses(row, values.pop("houses"))
            self.update(row, **values)
        return self.got(tenant, key)

    @staticmethod
    def _company(tenant: Tenant, new: places.NewGate, wrong: WrongFields) -> int | None:
        """Return the company named, or that of the first house that is there; None when the houses are to blame."""
        if new.company_id is None and tenant.only_company is None:
            there = {house.id: house.company_id for house in visible(tenant, House).where(House.id.in_(new.houses))}
            return next((int(there[house_id]) for house_id in new.houses if house_id in there), None)
        return wrong.tried("company_id", new.company_id, lambda: company_for(tenant, new.company_id))

    @staticmethod
    def _set_houses(gate: Gate, houses: list[int]) -> None:
        lines = [
            {"gate_id": gate.id, "company_id": gate.company_id, "house_id": house_id}
            for house_id in sorted(set(houses))
        ]
        GateHouse.insert_many(lines).execute()


def _check_houses(company: Tenant, houses: list[int], wrong: WrongFields) -> None:
    known = {house.id for house in visible(company, House).where(House.id.in_(houses))}
    for index, house_id in enumerate(houses):
        if house_id not in known:
            wrong.add(f"houses.{index}", house_id, "name a house of the gate's company")
