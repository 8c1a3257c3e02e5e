"""A round of all panels: which of them are registered now, and have so been seen."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final, NamedTuple

from crm_api.adapters.registrar import MOST_ACCOUNTS
from crm_api.tables.call_record_rows import PANEL_SEEN

if TYPE_CHECKING:
    import threading

    from crm_api.services.account_contacts import Registrar
    from crm_api.services.context import Context

_NEXT: Final = """
SELECT p.id, a.account, a.enabled FROM panels p JOIN accounts a ON a.id = p.account_id
WHERE p.id > ? ORDER BY p.id LIMIT ?
"""


class Round(NamedTuple):
    """What a round has found: panels whose account is enabled, and those of them that are registered."""

    enabled: int
    registered: int


class PanelsSeen:
    """Asks and notes, some hundred panels at a time: each time is a transaction of its own."""

    def __init__(self, context: Context, registrar: Registrar) -> None:
        self._context = context
        self._registrar = registrar

    def go_round(self, stopped: threading.Event) -> Round | None:
        """Ask for every panel; None when it was stopped on the way.

        A panel that is disabled may be registered still: it is seen, and not counted.

        Raises:
            RegistrarSilentError: nobody can tell; those that were not asked for stay as they are.
        """
        database = self._context.database
        last = enabled = registered = 0
        while chunk := database.rows(_NEXT, (last, MOST_ACCOUNTS)):
            if stopped.is_set():
                return None
            found = self._registrar.contacts([account for _, account, _ in chunk])
            now_ms = self._context.now_ms()
            seen = [(panel_id, is_enabled) for panel_id, account, is_enabled in chunk if found[account]]
            with database.transaction():
                database.many(PANEL_SEEN, [(now_ms, panel_id, now_ms) for panel_id, _ in seen])
            enabled += sum(bool(is_enabled) for _, _, is_enabled in chunk)
            registered += sum(bool(is_enabled) for _, is_enabled in seen)
            last = chunk[-1][0]
        return Round(enabled, registered)
