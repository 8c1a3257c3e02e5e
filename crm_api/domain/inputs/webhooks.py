"""Webhooks of client companies as they are asked for."""

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import AfterValidator, Field, StringConstraints

from crm_api.domain.inputs.base import FilterId, Flag, Input, OwnCompany, PageQuery, unchanged

WebhookEvent = Literal["call.ended", "door.opened", "message.left"]
Url = Annotated[
    str, StringConstraints(max_length=500, pattern=r"^https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[\x21-\x7e]*)?$")
]


def _each_once(events: list[WebhookEvent]) -> list[WebhookEvent]:
    if len(set(events)) < len(events):
        raise ValueError("name each event once")
    return events


def _all_events() -> list[WebhookEvent]:
    return ["call.ended", "door.opened", "message.left"]


Events = Annotated[list[WebhookEvent], Field(min_length=1, max_length=3), AfterValidator(_each_once)]


class NewWebhook(Input):
    """Where a company's own system is told of calls that ended, doors that opened, messages that were left.

    The answer shows the secret that signs every delivery, and nothing else ever.
    """

    company_id: OwnCompany = None
    url: Url
    events: Events = Field(default_factory=_all_events)
    enabled: Flag = True

    EXAMPLE: ClassVar[dict[str, Any]] = {"company_id": 1, "url": "https://crm.riverside.example/entryphone"}


class WebhookChange(Input):
    """Fields of a webhook that may change; what waits is delivered to where it leads now."""

    url: Url = unchanged()
    events: Events = unchanged()
    enabled: Flag = unchanged()

    EXAMPLE: ClassVar[dict[str, Any]] = {"events": ["door.opened"]}


class WebhookQuery(PageQuery):
    """Webhooks of a company."""

    company_id: FilterId = None


class DeliveryQuery(PageQuery):
    """Deliveries of a webhook; those in state `dead` were given up and can be replayed."""

    company_id: FilterId = None
    webhook_id: FilterId = None
    state: Literal["waiting", "delivered", "dead"] | None = None
    sort: Literal["id", "-id"] = "-id"
