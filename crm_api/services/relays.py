"""Network relays: devices that open doors and carry no calls."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_api.domain.problems import ConflictError
from crm_api.services.context import Tenant
from crm_api.services.device_addresses import check_address
from crm_api.services.kept import Document, Kept, company_for
from crm_api.services.panels import encrypted_login
from crm_api.services.wrong_fields import WrongFields
from crm_api.tables.fund import Gate, Relay
from crm_api.tables.models import Door, Entrance, Panel

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs import panels


class Relays(Kept[Relay]):
    """Relays with the doors that they open by themselves; panels may have doors of theirs opened by a relay, too."""

    noun = "relay"
    model = Relay
    hidden = frozenset({"credentials"})

    def documents(self, rows: Sequence[Relay]) -> list[Document]:
        """Show each relay with its doors; of the credentials, only whether there are any."""
        doors: dict[int, list[Document]] = {}
        own: Any = Door.select().where(Door.relay_id.in_([row.id for row in rows]) & Door.panel_id.is_null())
        for door in own.order_by(Door.output):
            doors.setdefault(door.relay_id, []).append(
                {
                    "id": door.id,
                    "output": door.output,
                    "name": door.name,
                    "entrance_id": door.entrance_id,
                    "gate_id": door.gate_id,
                }
            )
        return [
            {
                **self.shown_of(row),
                "has_credentials": row.credentials is not None,
                "doors": doors.get(row.id, []),
            }
            for row in rows
        ]

    def create(self, tenant: Tenant, new: panels.NewRelay) -> Document:
        """Make a relay."""
        with self.database.transaction():
            values = new.model_dump(exclude={"company_id", "credentials", "doors"})
            wrong = WrongFields()
            named = wrong.tried("company_id", new.company_id, lambda: company_for(tenant, new.company_id))
            doors = [door.model_dump() for door in new.doors]
            _check_places(tenant if named is None else Tenant.of(named), doors, wrong)
            company_id = wrong.settled(named)
            check_address(self.database, tenant, company_id, new.address)
            row = Relay.create(
                company_id=company_id,
                credentials=encrypted_login(self.context, new.credentials.model_dump() if new.credentials else None),
                **values,
            )
            self._set_doors(row, doors)
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a relay."""
        with self.database.transaction():
            row = self.row(tenant, key)
            wrong = WrongFields()
            _check_places(Tenant.of(int(str(row.company_id))), values.get("doors", []), wrong)
            wrong.refuse()
            if values.get("address", row.address) != row.address:
                check_address(self.database, tenant, int(str(row.company_id)), values["address"])
            if "doors" in values:
                self._set_doors(row, values.pop("doors"))
            if "credentials" in values:
                values["credentials"] = encrypted_login(self.context, values["credentials"])
            self.update(row, **values)
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a relay with its own doors.

        Raises:
            ConflictError: a panel's door is opened by it; the panels are named.
        """
        with self.database.transaction():
            row = self.row(tenant, key)
            used = Door.select(Door.panel_id).where((Door.relay_id == key) & Door.panel_id.is_null(False))
            names = [panel.name for panel in Panel.select().where(Panel.id.in_(used)).order_by(Panel.id).limit(5)]
            if names:
                raise ConflictError(f"Doors of {', '.join(names)} are opened by this relay: change these doors first")
            Door.delete().where(Door.relay_id == key).execute()
            row.delete_instance()

    @staticmethod
    def _set_doors(relay: Relay, doors: list[dict[str, Any]]) -> None:
        """Replace the doors; a door of the same output keeps its id, so that records go on naming it."""
        company_id = int(str(relay.company_id))
        own = (Door.relay_id == relay.id) & Door.panel_id.is_null()
        kept = {door.output: door.id for door in Door.select().where(own)}
        Door.delete().where(own & Door.output.not_in([door["output"] for door in doors])).execute()
        for door in doors:
            if door["output"] in kept:
                Door.update(**door).where(Door.id == kept[door["output"]]).execute()
            else:
                Door.create(
                    company_id=company_id, relay_id=relay.id, relay_output=door["output"], method="relay", **door
                )


def _check_places(company: Tenant, doors: list[dict[str, Any]], wrong: WrongFields) -> None:
    """Note entrances and gates of doors that are not the company's."""
    for line, door in enumerate(doors):
        wrong.named(company, Entrance, "entrance", f"doors.{line}.entrance_id", door["entrance_id"])
        wrong.named(company, Gate, "gate", f"doors.{line}.gate_id", door["gate_id"])
