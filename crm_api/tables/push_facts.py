"""Devices that a call wakes, and where the visitor stands."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from crm_api.tables.database import CrmDatabase

DEVICES = """
SELECT t.id, a.account, t.device, t.platform, t.token, a.apartment_id, h.address, e.number, c.language
FROM push_tokens t
JOIN accounts a ON a.id = t.account_id
LEFT JOIN companies c ON c.id = a.company_id
LEFT JOIN apartments ap ON ap.id = a.apartment_id
LEFT JOIN houses h ON h.id = ap.house_id
LEFT JOIN entrances e ON e.id = ap.entrance_id
WHERE t.invalidated_at_ms IS NULL AND a.enabled = ? AND a.account IN ({accounts})
ORDER BY t.id
"""
PANEL = """
SELECT p.name, h.address, e.number FROM panels p JOIN accounts a ON a.id = p.account_id
LEFT JOIN panel_places pp ON pp.panel_id = p.id
LEFT JOIN houses h ON h.id = pp.house_id
LEFT JOIN entrances e ON e.id = pp.entrance_id
WHERE a.account = ?
"""
# Only the token that was refused: the device may have sent another meanwhile.
INVALIDATE = """
UPDATE push_tokens SET invalidated_at_ms = ?, invalid_reason = ?, version = version + 1
WHERE id = ? AND token = ? AND invalidated_at_ms IS NULL
"""


@dataclass(frozen=True)
class Device:
    """A device with a valid push token."""

    id: int
    account: str
    device: str
    platform: str
    token: str
    apartment_id: int | None


@dataclass(frozen=True)
class Devices:
    """Devices to wake, and what they are told of the visitor."""

    devices: list[Device]
    apartment_id: int | None
    panel_name: str
    house: str
    entrance: str
    language: str
    """Of the company whose accounts these are."""
    is_panel: bool
    """A panel calls; else a desk or a neighbour."""


def devices(database: CrmDatabase, panel: str, accounts: Sequence[str]) -> Devices:
    """Return the devices of these accounts.

    A resident is told of his own house and entrance; a desk, which has none, where the panel stands if it serves one.
    """
    sql = DEVICES.format(accounts=", ".join("?" * len(accounts)))
    rows = database.rows(sql, (True, *accounts)) if accounts else []
    places = database.rows(PANEL, (panel,))
    # A desk may ring beside the household; where the apartment is known, all are told of that.
    home = next((row for row in rows if row[5] is not None), rows[0] if rows else (None,) * 9)
    apartment_id, house, entrance, language = home[5:9]
    if apartment_id is None and len(places) == 1:
        _, house, entrance = places[0]
    return Devices(
        [Device(*row[:6]) for row in rows],
        apartment_id,
        places[0][0] if places else panel,
        house or "",
        "" if entrance is None else str(entrance),
        language or "en",
        bool(places),
    )
