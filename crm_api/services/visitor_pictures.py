"""Pictures of visitors: taken from the panel when its call wakes an app, shown for minutes to the household alone."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final, NamedTuple

import structlog

from crm_api.adapters.panel_drivers import PanelAccess, PanelRefusedError
from crm_api.domain.problems import NotFoundError
from crm_api.services.panels import login_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crm_api.adapters.panel_drivers import PanelDriver
    from crm_api.services.context import Context

LINK_LASTS_MS: Final = 5 * 60_000
KEPT_MS: Final = 60 * 60_000
_log = structlog.get_logger("crm_api.pictures")
PANEL: Final = """
SELECT p.id, p.company_id, p.driver, p.address, p.credentials
FROM panels p JOIN accounts a ON a.id = p.account_id WHERE a.account = ?
"""
KEEP: Final = """
INSERT INTO visitor_pictures (call_hash, call_id, apartment_id, company_id, taken_at_ms, content)
VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (call_hash) DO NOTHING
"""
PICTURE: Final = "SELECT content FROM visitor_pictures WHERE call_hash = ? AND apartment_id = ?"

_OLD: Final = "DELETE FROM visitor_pictures WHERE taken_at_ms < ?"


class Picture(NamedTuple):
    """What a panel's camera saw, and whose panel it is."""

    company_id: int
    content: bytes


def picture_of(context: Context, drivers: Mapping[str, PanelDriver], panel: str, call_id: str) -> Picture | None:
    """Have the panel of an account take a picture now; None when it gives none."""
    row = context.database.row(PANEL, (panel,))
    if row is None or row[3] is None:
        return None
    panel_id, company_id, driver, address, credentials = row
    user, password = login_of(context, credentials)
    try:
        content = drivers[driver].picture(PanelAccess(address, user, password, company_id))
    except PanelRefusedError as error:
        _log.info("no picture", call_id=call_id, panel_id=panel_id, reason=str(error))
        return None
    return Picture(company_id, content)


class VisitorPictures:
    """Takes, keeps and shows pictures.

    A link is its own permission: signed, for one call and one household, for minutes.
    """

    def __init__(self, context: Context, drivers: Mapping[str, PanelDriver], public_url: str) -> None:
        self._context = context
        self._drivers = drivers
        self._public_url = public_url.rstrip("/")

    def link(self, call_id: str, apartment_id: int | None, now_ms: int) -> str:
        """Return the link to the picture of a call; empty when this host has no public address."""
        if not self._public_url or apartment_id is None:
            return ""
        until_ms = now_ms + LINK_LASTS_MS
        call_hash = self._hash(call_id, apartment_id)
        signed = self._signature(call_hash, str(apartment_id), str(until_ms))
        return f"{self._public_url}/v1/visitor-pictures/{call_hash}-{apartment_id}-{until_ms}-{signed}"

    def take(self, call_id: str, panel: str, apartment_id: int | None) -> bool:
        """Take the picture now; whether there is one. A panel that gives none is no fault of the call."""
        found = picture_of(self._context, self._drivers, panel, call_id)
        if found is None:
            return False
        database, now_ms = self._context.database, self._context.now_ms()
        with database.transaction():
            call_hash = self._hash(call_id, apartment_id)
            database.rows(KEEP, (call_hash, call_id, apartment_id, found.company_id, now_ms, found.content))
        self.forget()
        return True

    def forget(self) -> None:
        """Remove what nobody may see any more."""
        with self._context.database.transaction():
            self._context.database.rows(_OLD, (self._context.now_ms() - KEPT_MS,))

    def shown(self, key: str) -> bytes:
        """Return the picture that a link leads to.

        Raises:
            NotFoundError: a wrong or old link, or no picture (yet): nobody learns which.
        """
        call_hash, _, rest = key.partition("-")
        apartment, _, rest = rest.partition("-")
        until, _, signed = rest.partition("-")
        numbers = apartment.isascii() and apartment.isdecimal() and until.isascii() and until.isdecimal()
        right = self._signature(call_hash, apartment, until)
        if (
            not (numbers and hmac.compare_digest(right.encode(), signed.encode()))
            or int(until) < self._context.now_ms()
        ):
            raise NotFoundError.of("picture", key)
        found = self._context.database.row(PICTURE, (call_hash, int(apartment)))
        if found is None:
            raise NotFoundError.of("picture", key)
        return bytes(found[0])

    def _hash(self, call_id: str, apartment_id: int | None) -> str:
        """Return what a picture is kept under: a call may be passed on, and each household has a picture of its own."""
        return self._context.encryption.keyed_hash(f"{call_id} {apartment_id}")

    def _signature(self, call_hash: str, apartment: str, until: str) -> str:
        return self._context.encryption.keyed_hash(f"visitor picture {call_hash} {apartment} {until}")
