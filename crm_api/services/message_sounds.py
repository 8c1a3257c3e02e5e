"""The sound of a message as residents hear it: by the link of a push, without a token."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.problems import NotFoundError
from crm_api.services.message_links import MessageLinks

if TYPE_CHECKING:
    from crm_api.services.context import Context

_UNTIL: Final = "SELECT expires_at_ms FROM call_sounds WHERE id = ? AND kind = 'message'"
_CONTENT: Final = """
SELECT f.content FROM call_sound_files f JOIN call_sounds s ON s.id = f.sound_id
WHERE s.id = ? AND s.kind = 'message' AND s.expires_at_ms > ?
"""


class MessageSounds:
    """Gives links to sounds of messages, and what they lead to; a recorded talk has none."""

    def __init__(self, context: Context, public_url: str) -> None:
        self._context = context
        self._links = MessageLinks(context, public_url, "/v1/message-sounds/", "message sound")

    def link(self, message_id: int) -> str:
        """Return the link to a message's sound; empty without a public address of this host."""
        row = self._context.database.row(_UNTIL, (message_id,))
        return "" if row is None else self._links.link(message_id, int(row[0]))

    def heard(self, key: str) -> bytes:
        """Return the sound (WAV, µ-law) that a link leads to.

        Raises:
            NotFoundError: a wrong or old link, or the message is gone: nobody learns which.
        """
        row = self._context.database.row(_CONTENT, (self._links.message_of(key), self._context.now_ms()))
        if row is None:
            raise NotFoundError.of("message sound", key)
        return bytes(row[0])
