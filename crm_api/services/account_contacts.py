"""Where an account is registered at this moment: asked of Kamailio, kept nowhere."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, Protocol

import msgspec

from crm_api.adapters.registrar import RegistrarSilentError
from crm_api.services.accounts import Accounts

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from crm_api.adapters.registrar import RegisteredContact
    from crm_api.services.context import Context, Tenant
    from crm_api.services.kept import Document

NEVER_REGISTER: Final = frozenset({"phone"})
"""Kinds that are reached in another way."""


class Registrar(Protocol):
    """Who knows (`adapters.registrar.Registrar`)."""

    def contacts(self, accounts: Sequence[str]) -> Mapping[str, Sequence[RegisteredContact]]:
        """Return the contacts of every account that is named, 200 at most."""


class AccountContacts:
    """What is registered for an account."""

    def __init__(self, context: Context, registrar: Registrar | None) -> None:
        self._accounts = Accounts(context)
        self._registrar = registrar

    def of(self, tenant: Tenant, account: str) -> Document:
        """Return the devices that are registered for an account, the one that registered last first.

        Raises:
            NotFoundError: no such account, or another company's.
            RegistrarSilentError: nobody can tell.
        """
        row = self._accounts.row(tenant, account)
        name = str(row.account)
        if row.kind in NEVER_REGISTER:
            return {"account": name, "items": []}
        if self._registrar is None:
            raise RegistrarSilentError("There is no Kamailio that this process could ask")
        return {"account": name, "items": msgspec.to_builtins(self._registrar.contacts([name])[name])}
