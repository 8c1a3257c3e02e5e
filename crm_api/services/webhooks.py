"""Webhooks of client companies, their deliveries, and the replay of those that were given up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from crm_api.domain.passwords import new_password
from crm_api.domain.problems import ConflictError
from crm_api.services.audit import audited
from crm_api.services.kept import Document, Kept, company_for
from crm_api.tables.fund import Webhook, WebhookDelivery

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.domain.inputs.webhooks import NewWebhook
    from crm_api.services.context import Tenant

MOST_WEBHOOKS: Final = 20
"""Of one company: each that hangs takes its share of every pass."""
SHOWN: Final = ("id", "company_id", "url", "enabled", "created_at_ms", "version")


class Webhooks(Kept[Webhook]):
    """Webhooks; the secret is shown once, when it is made."""

    noun = "webhook"
    model = Webhook

    def documents(self, rows: Sequence[Webhook]) -> list[Document]:
        """Show webhooks without their secrets."""
        return [{**{name: r.__data__[name] for name in SHOWN}, "events": str(r.events).split(",")} for r in rows]

    def create(self, tenant: Tenant, new: NewWebhook) -> Document:
        """Make a webhook with a secret of its own.

        Raises:
            ConflictError: the company has as many as it may have.
        """
        secret = new_password()
        company_id = company_for(tenant, new.company_id)
        with self.database.transaction():
            if Webhook.select().where(Webhook.company_id == company_id).count() >= MOST_WEBHOOKS:
                raise ConflictError(
                    f"company_id: company {company_id} has {MOST_WEBHOOKS} webhooks: remove one that is not used, "
                    "or have one tell of several events"
                )
            row = Webhook.create(
                company_id=company_id,
                url=new.url,
                events=",".join(new.events),
                secret=self.context.encryption.encrypted(secret),
                enabled=new.enabled,
                created_at_ms=self.context.now_ms(),
            )
        return {**self.got(tenant, row.id), "secret": secret}

    def change(self, tenant: Tenant, key: int, values: dict[str, Any]) -> Document:
        """Change a webhook.

        What waits is delivered to where it leads now, without a rest for what it led to before; one that leads where it
        led rests on, but when it is switched on (its owner says that there is somebody again).
        """
        with self.database.transaction():
            row = self.row(tenant, key)
            if "events" in values:
                values["events"] = ",".join(values["events"])
            is_switched_on = values.get("enabled", False) and not row.enabled
            if values.get("url", row.url) != row.url or is_switched_on:
                values |= {"rests_until_ms": 0, "silences": 0}
            self.update(row, **values)
        return self.got(tenant, key)

    def remove(self, tenant: Tenant, key: int) -> None:
        """Remove a webhook with what waits for it."""
        with self.database.transaction():
            self.row(tenant, key).delete_instance()


class WebhookDeliveries(Kept[WebhookDelivery]):
    """Deliveries: nobody makes or changes one, whoever may replays those that were given up."""

    noun = "webhook delivery"
    comes_and_goes = True
    model = WebhookDelivery

    @audited("replay")
    def replay(self, tenant: Tenant, key: int) -> Document:
        """Try again from the beginning.

        Raises:
            ConflictError: it is delivered, or still being tried.
        """
        with self.database.transaction():
            row = self.row(tenant, key)
            if row.state != "dead":
                raise ConflictError(f"The delivery is {row.state}: only one that was given up can be replayed")
            self.update(row, state="waiting", attempts=0, due_at_ms=self.context.now_ms(), last_error=None)
        return self.got(tenant, key)
