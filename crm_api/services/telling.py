"""Tells client companies what happened: signed, tried again with growing pauses, given up in the end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import structlog

from crm_api.adapters.customer_posts import NotAnsweredError, NotPostedError, post
from crm_api.adapters.signing import SIGNATURE, signature
from crm_api.tables import webhook_rows

if TYPE_CHECKING:
    import httpx

    from crm_api.services.context import Context
    from crm_api.services.message_pictures import MessagePictures

BATCH: Final = 50
PAUSES_S: Final = (5, 30, 120, 600, 3600, 4 * 3600, 12 * 3600)
"""Before each further try: a day in all."""
MOST_REST_S: Final = 120
"""Of a webhook that says nothing: it rests for the pauses up to this one, a longer one after each pass."""
LEASE_MS: Final = 60_000
KEPT_MS: Final = 7 * 24 * 3_600_000
UNDELIVERED_KEPT_MS: Final = 30 * 24 * 3_600_000
"""What was given up, or waits for a webhook that is switched off: so long it can still be delivered."""
PRUNE_BATCH: Final = 1000
EVENT: Final = "Entryphone-Event"
DELIVERY: Final = "Entryphone-Delivery"
_GONE: Final = "it is on record no more"
_log = structlog.get_logger("crm_api.webhooks")


class _Delivery(NamedTuple):
    """A row that is due, and what it says; None when what happened is on record no more."""

    key: int
    event: str
    subject: str
    attempts: int
    created_at_ms: int
    company_id: int
    webhook_id: int
    silences: int
    url: str
    secret: str
    data: dict[str, Any] | None


class _Tried(NamedTuple):
    """What went wrong with a delivery (None: the company has it), and whether its server said nothing at all."""

    wrong: str | None = None
    silent: bool = False


def is_due(context: Context) -> bool:
    """Tell whether anything is to be told now. Asked twice a second, so it costs one look at an index."""
    now_ms = context.now_ms()
    return context.database.row(webhook_rows.ANY_DUE, (now_ms, True, now_ms, now_ms)) is not None


def prune(context: Context) -> None:
    """Forget what was delivered a week ago, and what could not be for a month."""
    database, now_ms = context.database, context.now_ms()
    removed = PRUNE_BATCH
    while removed == PRUNE_BATCH:
        with database.transaction():
            removed = len(database.rows(webhook_rows.PRUNE, (now_ms - KEPT_MS, PRUNE_BATCH)))
    while old := database.rows(webhook_rows.UNDELIVERED, (now_ms - UNDELIVERED_KEPT_MS, PRUNE_BATCH)):
        with database.transaction():
            database.many(webhook_rows.FORGET, old)


class Telling:
    """One pass at a time; deliveries of a pass go out side by side."""

    def __init__(
        self,
        context: Context,
        client: httpx.AsyncClient,
        pictures: MessagePictures,
        pauses_s: tuple[float, ...] = PAUSES_S,
    ) -> None:
        self._context = context
        self._pictures = pictures
        self._client = client
        self._pauses_s = pauses_s

    async def deliver(self) -> int:
        """Deliver what is due; return how many were tried."""
        due = await self._context.database.in_thread(self._take)
        if due:
            tried = await asyncio.gather(*(self._post(delivery) for delivery in due))
            await self._context.database.in_thread(self._settle, list(zip(due, tried, strict=True)))
        return len(due)

    def _take(self) -> list[_Delivery]:
        """Return what is due, leased: a process that dies with it gives it back in a minute."""
        database, now_ms = self._context.database, self._context.now_ms()
        with database.transaction():
            found = database.rows(webhook_rows.DUE[database.dialect], (now_ms, True, now_ms, BATCH))
            rows = [row for row in found if database.rows(webhook_rows.LEASE, (now_ms + LEASE_MS, row[0], now_ms))]
        return [_Delivery._make((*row, self._said(row[1], row[2]))) for row in rows]

    def _said(self, event: str, subject: str) -> dict[str, Any] | None:
        data = webhook_rows.said(self._context.database, event, subject)
        if data is not None and event == "message.left":
            return {**data, "picture_url": self._pictures.link(data["id"]) or None}
        return data

    async def _post(self, delivery: _Delivery) -> _Tried:
        """Send it; return how it went."""
        if delivery.data is None:
            return _Tried(_GONE)
        told = {
            "id": delivery.key, "event": delivery.event, "created_at_ms": delivery.created_at_ms,
            "company_id": delivery.company_id, "data": delivery.data,
        }  # fmt: skip
        body = json.dumps(told, separators=(",", ":")).encode()
        try:
            secret = self._context.encryption.decrypted(delivery.secret)
        except ValueError as error:  # it must not keep what others were told from being noted
            return _Tried(str(error))
        headers = {
            "Content-Type": "application/json",
            EVENT: delivery.event,
            DELIVERY: str(delivery.key),
            SIGNATURE: signature(secret, self._context.now_ms() // 1000, body),
        }
        try:
            await post(self._client, delivery.url, body, headers, delivery.company_id)
        except NotPostedError as error:
            return _Tried(str(error), isinstance(error, NotAnsweredError))
        return _Tried()

    def _settle(self, tried: list[tuple[_Delivery, _Tried]]) -> None:
        """Keep how each went."""
        database, now_ms = self._context.database, self._context.now_ms()
        with database.transaction():
            self._rest(tried, now_ms)
            for delivery, (wrong, _) in tried:
                attempts = delivery.attempts + 1
                if wrong is None:
                    database.rows(webhook_rows.DELIVERED, (attempts, now_ms, delivery.key))
                    continue
                state, due_at_ms = "dead", now_ms
                if wrong != _GONE and delivery.attempts < len(self._pauses_s):
                    state, due_at_ms = "waiting", now_ms + int(self._pauses_s[delivery.attempts] * 1000)
                else:
                    _log.error("webhook delivery given up", delivery=delivery.key, reason=wrong)
                database.rows(webhook_rows.FAILED, (state, attempts, due_at_ms, wrong[:200], delivery.key))

    def _rest(self, tried: list[tuple[_Delivery, _Tried]], now_ms: int) -> None:
        """Leave webhooks that said nothing alone for a while: each try holds up the batch, and with it the others."""
        silences = {delivery.webhook_id: delivery.silences for delivery, _ in tried}
        silent = {delivery.webhook_id for delivery, how in tried if how.silent}
        took = {delivery.webhook_id for delivery, how in tried if how.wrong is None}
        for webhook_id, before in sorted(silences.items()):  # in one order: two processes do not wait for each other
            before_now = 0 if webhook_id in took else before
            if webhook_id in silent:
                pause_s = min(self._pauses_s[min(before_now, len(self._pauses_s) - 1)], MOST_REST_S)
                rest = (now_ms + int(pause_s * 1000), before_now + 1)
                self._context.database.rows(webhook_rows.REST, (*rest, webhook_id))
            elif before:
                self._context.database.rows(webhook_rows.REST, (0, 0, webhook_id))
