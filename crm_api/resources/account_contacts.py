"""Who is registered."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.resources.authentication import tenant_of
from crm_api.resources.rendering import send

if TYPE_CHECKING:
    import falcon

    from crm_api.services.account_contacts import AccountContacts


class ContactsOfAccount:
    """`GET /v1/accounts/{key}/contacts`."""

    def __init__(self, contacts: AccountContacts) -> None:
        self._contacts = contacts

    def on_get(self, req: falcon.Request, resp: falcon.Response, key: str) -> None:
        """Ask; the answer is true for this moment, and nobody on the way may keep it."""
        send(resp, self._contacts.of(tenant_of(req), key))
        resp.cache_control = ["no-store"]
