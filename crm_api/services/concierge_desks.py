"""Concierge desks: who answers for a house or a company, and in which order."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from crm_api.domain.problems import InvalidFieldsError
from crm_api.services.accounts import account_names
from crm_api.services.context import Tenant, find, visible
from crm_api.services.kept import Document, Kept
from crm_api.tables.fund import ConciergeDesk
from crm_api.tables.models import Account, House

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs import concierge_desks


class ConciergeDesks(Kept[ConciergeDesk]):
    """Desks; ring plans name them as the target `concierge`."""

    noun = "concierge desk"
    model = ConciergeDesk

    def documents(self, rows: Sequence[ConciergeDesk]) -> list[Document]:
        """Show each desk with its account's name."""
        accounts = account_names([row.account_id for row in rows])
        return [
            {
                "id": row.id,
                "company_id": row.company_id,
                "house_id": row.house_id,
                "account": accounts[row.account_id],
                "name": row.name,
                "priority": row.priority,
                "on_duty": row.on_duty,
                "phone": row.phone,
                "version": row.version,
            }
            for row in rows
        ]

    def create(self, tenant: Tenant, new: concierge_desks.NewConciergeDesk) -> Document:
        """Make a desk for an account of kind concierge."""
        with self.database.transaction():
            account: Account | None = visible(tenant, Account).where(Account.account == new.account).first()
            if account is None or account.kind != "concierge" or account.company_id is None:
                raise InvalidFieldsError.one("account", new.account, "make an account of kind concierge first")
            if new.house_id is not None:
                find(Tenant.of(account.company_id), House, "house", new.house_id)
            row = ConciergeDesk.create(
                company_id=account.company_id, account_id=account.id, **new.model_dump(exclude={"account"})
            )
            self._announce(row)
        return self.got(tenant, row.id)

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a desk, or who is on duty; houses that it answered for and answers for now are planned anew."""
        with self.database.transaction():
            row = self.row(tenant, key)
            if values.get("house_id") is not None:
                find(Tenant.of(int(str(row.company_id))), House, "house", values["house_id"])
            self._announce(row)
            self.update(row, **values)
            self._announce(self.row(tenant, key))
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a desk; its account stays."""
        with self.database.transaction():
            row = self.row(tenant, key)
            self._announce(row)
            row.delete_instance()

    def _announce(self, row: ConciergeDesk) -> None:
        if row.house_id is not None:
            self.changes.scope("house", int(str(row.house_id)))
        else:
            self.changes.scope("company", int(str(row.company_id)))
