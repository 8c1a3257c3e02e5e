"""The panel's picture beside a message: taken as the visitor is invited to speak, shown for as long as the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.problems import NotFoundError
from crm_api.services.message_links import MessageLinks
from crm_api.services.visitor_pictures import picture_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crm_api.adapters.panel_drivers import PanelDriver
    from crm_api.services.context import Context

WAITS_MS: Final = 24 * 3600 * 1000
"""A picture waits so long for its message (the CRM may have been away); most visitors leave none."""
_KEEP: Final = """
INSERT INTO message_pictures (company_id, call_id, taken_at_ms, content) VALUES (?, ?, ?, ?)
ON CONFLICT (company_id, call_id) DO NOTHING
"""
REMOVE: Final = "DELETE FROM message_pictures WHERE company_id = ? AND call_id = ?"
_REMOVE_LONELY: Final = """
DELETE FROM message_pictures WHERE taken_at_ms < ? AND NOT EXISTS (
    SELECT 1 FROM call_sounds s
    WHERE s.call_id = message_pictures.call_id AND s.company_id = message_pictures.company_id AND s.kind = 'message')
"""
_CONTENT: Final = """
SELECT p.content FROM message_pictures p JOIN call_sounds s ON s.call_id = p.call_id AND s.company_id = p.company_id
WHERE s.id = ? AND s.kind = 'message' AND s.expires_at_ms > ?
"""
_IS_THERE: Final = """
SELECT s.expires_at_ms FROM message_pictures p
JOIN call_sounds s ON s.call_id = p.call_id AND s.company_id = p.company_id WHERE s.id = ? AND s.kind = 'message'
"""


class MessagePictures:
    """Takes, keeps and shows them.

    A link is its own permission: signed, for one message, until that is removed.
    """

    def __init__(self, context: Context, drivers: Mapping[str, PanelDriver], public_url: str) -> None:
        self._context = context
        self._drivers = drivers
        self._links = MessageLinks(context, public_url, "/v1/message-pictures/", "message picture")

    def take(self, call_id: str, panel: str) -> bool:
        """Take the picture now; whether there is one. A panel that gives none is no fault of the message."""
        found = picture_of(self._context, self._drivers, panel, call_id)
        if found is None:
            return False
        database, now_ms = self._context.database, self._context.now_ms()
        with database.transaction():
            database.rows(_KEEP, (found.company_id, call_id, now_ms, found.content))
        return True

    def content(self, message_id: int) -> bytes:
        """Return the picture of a message that the caller may see.

        Raises:
            NotFoundError: it has none.
        """
        row = self._context.database.row(_CONTENT, (message_id, self._context.now_ms()))
        if row is None:
            raise NotFoundError.of("picture of a message", message_id)
        return bytes(row[0])

    def link(self, message_id: int) -> str:
        """Return the link to the picture of a message; empty without a picture or a public address of this host."""
        row = self._context.database.row(_IS_THERE, (message_id,))
        return "" if row is None else self._links.link(message_id, int(row[0]))

    def shown(self, key: str) -> bytes:
        """Return the picture that a link leads to.

        Raises:
            NotFoundError: a wrong or old link, or the message is gone: nobody learns which.
        """
        return self.content(self._links.message_of(key))


def remove_lonely(context: Context) -> None:
    """Remove pictures whose visitor left no message, or whose message is gone."""
    with context.database.transaction():
        context.database.rows(_REMOVE_LONELY, (context.now_ms() - WAITS_MS,))
