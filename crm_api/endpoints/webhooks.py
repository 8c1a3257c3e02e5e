"""Webhooks of client companies, and what became of each delivery."""

from __future__ import annotations

from typing import TYPE_CHECKING

from crm_api.domain.access import changes, reads
from crm_api.domain.inputs import webhooks
from crm_api.domain.outputs import webhooks as shown
from crm_api.resources.acts import Act
from crm_api.resources.declaration import ID, Answer, Endpoint, Operation, id_key
from crm_api.resources.kept import kept, listed

if TYPE_CHECKING:
    from crm_api.bootstrap import Services


def endpoints(services: Services) -> tuple[Endpoint, ...]:
    """Declare them."""
    return (
        *kept(
            "/v1/webhooks",
            tag="Webhooks",
            plural="webhooks",
            service=services.webhooks,
            query=webhooks.WebhookQuery,
            document=shown.WebhookDocument,
            new=webhooks.NewWebhook,
            change=webhooks.WebhookChange,
            made=shown.WebhookWithSecret,
            removal="Its deliveries go with it, also those that wait.",
            readers=reads("webhooks"),
            writers=changes("webhooks"),
        ),
        listed(
            "/v1/webhook-deliveries",
            tag="Webhooks",
            plural="webhook deliveries",
            service=services.webhook_deliveries,
            query=webhooks.DeliveryQuery,
            document=shown.WebhookDeliveryDocument,
            readers=reads("webhook_deliveries"),
        ),
        Endpoint(
            f"/v1/webhook-deliveries/{ID}/replay",
            "Webhooks",
            Act(services.webhook_deliveries.replay),
            (
                Operation(
                    "POST",
                    "Replay a delivery that was given up",
                    changes("webhook_deliveries"),
                    (Answer(200, "The delivery, waiting again", shown.WebhookDeliveryDocument),),
                    "It is tried again at once and from the first of its tries on, with the same "
                    "`Entryphone-Delivery`, by which a receiver knows what it has had. 409: only one in state "
                    "`dead` is replayed.",
                    problems=frozenset({"conflict"}),
                ),
            ),
            id_key("webhook delivery"),
        ),
    )
