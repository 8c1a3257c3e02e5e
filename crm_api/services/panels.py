"""Panels and gates: what they serve, which doors they open, how they are reached."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, ClassVar, Final

from crm_api.domain.numbering import place_code_problem
from crm_api.domain.search_text import search_text
from crm_api.services.accounts import account_names
from crm_api.services.context import Tenant, find, visible
from crm_api.services.device_addresses import check_address
from crm_api.services.kept import Document, Kept
from crm_api.services.panel_codes import panel_changed
from crm_api.services.wrong_fields import WrongFields
from crm_api.tables import dialled_numbers
from crm_api.tables.fund import Gate, Relay
from crm_api.tables.models import Account, Door, Entrance, House, Panel, PanelPlace

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from crm_api.domain.inputs.panels import NewPanel
    from crm_api.services.context import Context

DEVICE: Final = ("maker", "model", "driver", "address")
"""Fields that are another's when one device gives way to another."""
DOOR_SHOWN: Final = ("id", "output", "name", "method", "dtmf", "relay_id", "relay_output")


def encrypted_login(context: Context, credentials: dict[str, str] | None) -> str | None:
    """Return user and password of a device as they are kept."""
    return None if credentials is None else context.encryption.encrypted(json.dumps(credentials))


def login_of(context: Context, kept: str | None) -> tuple[str | None, str | None]:
    """Return user and password of a device; (None, None) when it has none."""
    if kept is None:
        return None, None
    login = json.loads(context.encryption.decrypted(kept))
    return login["user"], login["password"]


def _of_account(account: str) -> Any:
    return Panel.account_id.in_(Account.select(Account.id).where(Account.account == account))


def _serving(house_id: int) -> Any:
    return Panel.id.in_(PanelPlace.select(PanelPlace.panel_id).where(PanelPlace.house_id == house_id))


def _silent_since(moment_ms: int) -> Any:
    return Panel.last_seen_at_ms.is_null() | (Panel.last_seen_at_ms < moment_ms)


class Panels(Kept[Panel]):
    """Panels and gates."""

    noun = "panel"
    model = Panel
    filters: ClassVar[Mapping[str, Callable[[Any], Any]]] = {
        "account": _of_account,
        "house_id": _serving,
        "silent_since_ms": _silent_since,
    }

    def documents(self, rows: Sequence[Panel]) -> list[Document]:
        """Show each panel with account, places and doors; of the credentials, only whether there are any."""
        ids = [row.id for row in rows]
        accounts = account_names([row.account_id for row in rows])
        places: dict[int, list[Document]] = {}
        for place in PanelPlace.select().where(PanelPlace.panel_id.in_(ids)).order_by(PanelPlace.id):
            shown = {"house_id": place.house_id, "entrance_id": place.entrance_id, "code": place.code}
            places.setdefault(place.panel_id, []).append(shown)
        doors: dict[int, list[Document]] = {}
        of_panels: Any = Door.select().where(Door.panel_id.in_(ids)).order_by(Door.output)
        for door in of_panels:
            doors.setdefault(door.panel_id, []).append({name: door.__data__[name] for name in DOOR_SHOWN})
        return [
            {
                "id": row.id,
                "company_id": row.company_id,
                "account": accounts[row.account_id],
                "name": row.name,
                "maker": row.maker,
                "model": row.model,
                "driver": row.driver,
                "address": row.address,
                "latitude": row.latitude,
                "longitude": row.longitude,
                "gate_id": row.gate_id,
                "ring_limit_s": row.ring_limit_s,
                "talk_limit_s": row.talk_limit_s,
                "separator": row.separator,
                "last_seen_at_ms": row.last_seen_at_ms,
                "has_credentials": row.credentials is not None,
                "places": places.get(row.id, []),
                "doors": doors.get(row.id, []),
                "version": row.version,
            }
            for row in rows
        ]

    def create(self, tenant: Tenant, new: NewPanel) -> Document:
        """Make a panel for an account of kind panel."""
        with self.database.transaction():
            accounts = visible(tenant, Account).where((Account.account == new.account) & (Account.kind == "panel"))
            found: Account | None = accounts.first()
            owner = None if found is None else found.company_id
            wrong = WrongFields()
            if owner is None:
                wrong.add("account", new.account, "make an account of kind panel first")
            company = tenant if owner is None else Tenant.of(owner)
            places = [place.model_dump() for place in new.places]
            self._check(company, new.model_dump(), places, new.separator, wrong)
            account, company_id = wrong.settled(found), wrong.settled(owner)
            check_address(self.database, tenant, company_id, new.address)
            panel = Panel.create(
                company_id=company_id,
                search_text=search_text(new.name),
                account_id=account.id,
                credentials=encrypted_login(self.context, new.credentials.model_dump() if new.credentials else None),
                **new.model_dump(exclude={"account", "credentials", "places", "doors"}),
            )
            self._set_places(company, panel.id, places)
            self._set_doors(company, panel.id, [d.model_dump() for d in new.doors])
            self.changes.scope("panel", panel.id)
        return self.got(tenant, panel.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a panel; numbers that it reached before and reaches after are planned anew, and codes told anew."""
        with self.database.transaction():
            panel = self.row(tenant, key)
            company = Tenant.of(panel.company_id)
            wrong = WrongFields()
            is_dialled_otherwise = bool({"places", "separator"} & set(values))
            places = values.pop("places", self._places(key) if is_dialled_otherwise else [])
            self._check(company, values, places, values.get("separator", panel.separator), wrong)
            wrong.refuse()
            if is_dialled_otherwise:
                self.changes.numbers(dialled_numbers.of_scope(self.database, "panel", key))
                PanelPlace.delete().where(PanelPlace.panel_id == key).execute()
                self._set_places(company, key, places)
            if "doors" in values:
                self._set_doors(company, key, values.pop("doors"))
            if "credentials" in values:
                values["credentials"] = encrypted_login(self.context, values["credentials"])
            if "name" in values:
                values["search_text"] = search_text(values["name"])
            if values.get("address", panel.address) != panel.address:
                check_address(self.database, tenant, panel.company_id, values["address"])
            is_another_device = any(values.get(name, getattr(panel, name)) != getattr(panel, name) for name in DEVICE)
            self.update(panel, **values)
            panel_changed(self.database, key, self.context.now_ms(), is_another_device=is_another_device)
            self.changes.scope("panel", key)
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a panel with its places, doors and account."""
        with self.database.transaction():
            panel = self.row(tenant, key)
            account = Account.get_by_id(panel.account_id)
            self.changes.numbers(dialled_numbers.of_scope(self.database, "panel", key))
            self.changes.contacts(account.account)
            panel.delete_instance()
            account.delete_instance()

    def removed_too(self, row: Panel) -> dict[str, list[int]]:
        """Return its account."""
        return {"accounts": [row.account_id]}

    @staticmethod
    def _places(panel_id: int) -> list[dict[str, Any]]:
        """Return the places that a panel has."""
        kept = PanelPlace.select().where(PanelPlace.panel_id == panel_id).order_by(PanelPlace.id)
        return [{"entrance_id": p.entrance_id, "house_id": p.house_id, "code": p.code} for p in kept]

    @staticmethod
    def _check(
        company: Tenant,
        values: dict[str, Any],
        places: list[dict[str, Any]],
        separator: str | None,
        wrong: WrongFields,
    ) -> None:
        """Note what a panel refers to that is not the company's, and places that cannot be told apart."""
        problem = place_code_problem([place["code"] for place in places], separator)
        if problem is not None:
            wrong.add("places", [place["code"] for place in places], problem)
        wrong.named(company, Gate, "gate", "gate_id", values.get("gate_id"))
        for line, place in enumerate(places):
            wrong.named(company, Entrance, "entrance", f"places.{line}.entrance_id", place["entrance_id"])
            wrong.named(company, House, "house", f"places.{line}.house_id", place["house_id"])
        for line, door in enumerate(values.get("doors", [])):
            wrong.named(company, Relay, "relay", f"doors.{line}.relay_id", door["relay_id"])

    @staticmethod
    def _set_places(company: Tenant, panel_id: int, places: list[dict[str, Any]]) -> None:
        for place in places:
            if place["entrance_id"] is not None:
                house_id = find(company, Entrance, "entrance", place["entrance_id"]).house_id
            else:
                house_id = find(company, House, "house", place["house_id"]).id
            PanelPlace.create(
                panel_id=panel_id,
                company_id=company.only_company,
                house_id=house_id,
                entrance_id=place["entrance_id"],
                code=place["code"],
            )

    def _set_doors(self, company: Tenant, panel_id: int, doors: list[dict[str, Any]]) -> None:
        """Replace the doors; a door of the same output keeps its id, so that records go on naming it."""
        kept = {door.output: door for door in Door.select().where(Door.panel_id == panel_id)}
        wanted = {door["output"] for door in doors}
        for output, gone in kept.items():
            if output not in wanted:
                gone.delete_instance()
        for door in doors:
            if door["output"] in kept and wanted:
                Door.update(**door).where(Door.id == kept[door["output"]].id).execute()
            else:
                Door.create(company_id=company.only_company, panel_id=panel_id, **door)
