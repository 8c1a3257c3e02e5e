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
            readers=reads("webhooks"),
        ),
        Endpoint(
            f"/v1/webhook-deliveries/{ID}/replay",
            "Webhooks",
            Act(services.webhook_deliveries.replay),
            (
                Operation(
                    "POST",
                    "Replay a delivery that was given up",
                    changes("webhooks"),
                    (Answer(200, "The delivery, waiting again", shown.WebhookDeliveryDocument),),
                    problems=frozenset({"conflict"}),
                ),
            ),
            id_key("webhook delivery"),
        ),
    )
