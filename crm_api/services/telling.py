"""Tells client companies what happened: signed, tried again with growing pauses, given up in the end."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any, Final

import httpx
import structlog

from crm_api.adapters.signing import SIGNATURE, signature
from crm_api.tables import webhook_rows

if TYPE_CHECKING:
    from crm_api.services.context import Context
    from crm_api.services.message_pictures import MessagePictures

BATCH: Final = 50
PAUSES_S: Final = (5, 30, 120, 600, 3600, 4 * 3600, 12 * 3600)
"""Before each further try: a day in all."""
LEASE_MS: Final = 60_000
KEPT_MS: Final = 7 * 24 * 3_600_000
PRUNE_BATCH: Final = 1000
EVENT: Final = "Entryphone-Event"
DELIVERY: Final = "Entryphone-Delivery"
_SUCCESS: Final = range(200, 300)
_log = structlog.get_logger("crm_api.webhooks")


class Telling:
    """One pass at a time; deliveries of a pass go out side by side."""

    def __init__(
        self,
        context: Context,
        client: httpx.AsyncClient,
        pauses_s: tuple[float, ...],
        pictures: MessagePictures,
    ) -> None:
        self._context = context
        self._pictures = pictures
        self._client = client
        self._pauses_s = pauses_s

    async def deliver(self) -> int:
        """Deliver what is due; return how many were tried."""
        due = await self._context.database.in_thread(self._take)
        await asyncio.gather(*(self._deliver(row) for row in due))
        return len(due)

    def prune(self) -> None:
        """Forget what was delivered a week ago."""
        limit = (self._context.now_ms() - KEPT_MS, PRUNE_BATCH)
        with self._context.database.transaction():
            self._context.database.rows(webhook_rows.PRUNE, limit)

    def _take(self) -> list[tuple[Any, ...]]:
        """Return due rows, leased: a process that dies with them gives them back in a minute."""
        database, now_ms = self._context.database, self._context.now_ms()
        with database.transaction():
            rows = database.rows(webhook_rows.DUE, (now_ms, True, BATCH))
            database.many(webhook_rows.LEASE, [(now_ms + LEASE_MS, row[0]) for row in rows])
        return rows

    async def _deliver(self, row: tuple[Any, ...]) -> None:
        key, event, subject, attempts, created_at_ms, company_id, url, secret = row
        data = await self._context.database.in_thread(self._said, event, subject)
        if data is None:
            await self._context.database.in_thread(self._failed, key, len(self._pauses_s), "it is on record no more")
            return
        told = {"id": key, "event": event, "created_at_ms": created_at_ms, "company_id": company_id, "data": data}
        body = json.dumps(told, separators=(",", ":")).encode()
        headers = {
            "Content-Type": "application/json",
            EVENT: event,
            DELIVERY: str(key),
            SIGNATURE: signature(self._context.encryption.decrypted(secret), self._context.now_ms() // 1000, body),
        }
        try:
            response = await self._client.post(url, content=body, headers=headers)
        except (httpx.HTTPError, httpx.InvalidURL) as error:
            await self._context.database.in_thread(self._failed, key, attempts, str(error) or type(error).__name__)
            return
        if response.status_code in _SUCCESS:
            await self._context.database.in_thread(self._delivered, key, attempts)
        else:
            await self._context.database.in_thread(self._failed, key, attempts, f"HTTP {response.status_code}")

    def _said(self, event: str, subject: str) -> dict[str, Any] | None:
        data = webhook_rows.said(self._context.database, event, subject)
        if data is not None and event == "message.left":
            return {**data, "picture_url": self._pictures.link(data["id"]) or None}
        return data

    def _delivered(self, key: int, attempts: int) -> None:
        with self._context.database.transaction():
            done = (attempts + 1, self._context.now_ms(), key)
            self._context.database.rows(webhook_rows.DELIVERED, done)

    def _failed(self, key: int, attempts: int, reason: str) -> None:
        now_ms = self._context.now_ms()
        dead = attempts >= len(self._pauses_s)
        due_at_ms = now_ms if dead else now_ms + int(self._pauses_s[attempts] * 1000)
        with self._context.database.transaction():
            state = "dead" if dead else "waiting"
            self._context.database.rows(webhook_rows.FAILED, (state, attempts + 1, due_at_ms, reason[:200], key))
        if dead:
            _log.error("webhook delivery given up", delivery=key, reason=reason)
