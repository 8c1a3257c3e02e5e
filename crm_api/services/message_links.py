"""Links to what belongs to a message of a visitor: each is its own permission, for one message, while it is kept."""

from __future__ import annotations

import hmac
from typing import TYPE_CHECKING, Final

from crm_api.domain.problems import NotFoundError

if TYPE_CHECKING:
    from crm_api.services.context import Context

_LONGEST: Final = 19
"""Digits of a 64-bit integer."""


class MessageLinks:
    """Links of one kind.

    Args:
        context: whose key signs them.
        public_url: address of this API as apps reach it; empty: there are no links.
        path: where they lead, such as `/v1/message-pictures/`.
        what: named by the signature, so that a link of one kind is none of another.
    """

    def __init__(self, context: Context, public_url: str, path: str, what: str) -> None:
        self._context = context
        self._address = public_url.rstrip("/") + path if public_url else ""
        self._what = what

    def link(self, message_id: int, until_ms: int) -> str:
        """Return the link that holds until then; empty without a public address."""
        if not self._address:
            return ""
        return f"{self._address}{message_id}-{until_ms}-{self._signature(message_id, until_ms)}"

    def message_of(self, key: str) -> int:
        """Return the id of the message that a link's last part leads to.

        Raises:
            NotFoundError: it is none of ours.
        """
        message, _, rest = key.partition("-")
        until, _, signed = rest.partition("-")
        numbers = all(text.isascii() and text.isdecimal() and len(text) < _LONGEST for text in (message, until))
        right = self._signature(int(message), int(until)) if numbers else ""
        if not numbers or not hmac.compare_digest(right.encode(), signed.encode()):
            raise NotFoundError.of(self._what, key)
        return int(message)

    def _signature(self, message_id: int, until_ms: int) -> str:
        return self._context.encryption.keyed_hash(f"{self._what} {message_id} {until_ms}")
