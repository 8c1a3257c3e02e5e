"""Which panel carries the probes of an entrance."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

# One table each, joined here: PostgreSQL joins a city's by going through one of them for each row of the other while it
# thinks them small (just imported, or emptied before), which takes minutes.
_ACCOUNTS: Final = """
SELECT id, account FROM accounts WHERE company_id = ? AND kind = 'panel' AND enabled = ? ORDER BY account
"""
_PANELS: Final = "SELECT id, account_id FROM panels WHERE company_id = ?"
_PLACES: Final = "SELECT entrance_id, panel_id FROM panel_places WHERE company_id = ? AND entrance_id IS NOT NULL"


def panels_of_entrances(database: CrmDatabase, company_id: int) -> dict[int, str]:
    """Return, by entrance, the account of the panel that carries its probes: the first that is enabled.

    The same as where a call begins (services/probe_results.py). A gate has no handsets behind it.
    """
    # Their order is the database's own: which of two names is first depends on its collation.
    accounts = {key: (place, name) for place, (key, name) in enumerate(database.rows(_ACCOUNTS, (company_id, True)))}
    panels = {panel_id: accounts.get(account_id) for panel_id, account_id in database.rows(_PANELS, (company_id,))}
    first: dict[int, tuple[int, str]] = {}
    for entrance_id, panel_id in database.rows(_PLACES, (company_id,)):
        panel = panels.get(panel_id)
        if panel is not None:
            first[entrance_id] = min(panel, first.get(entrance_id, panel))
    return {entrance_id: name for entrance_id, (_, name) in first.items()}
