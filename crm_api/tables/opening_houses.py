"""The house that an opening is of when nobody's apartment tells it: reports and lists of a house have it, too."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

# In the order of what is surest: an apartment, the entrance of a code or of a relay's door, then places that may have
# several houses: a gate, a panel.
_HOUSE: Final = """
SELECT coalesce(
    (SELECT house_id FROM apartments WHERE id = ?),
    (SELECT e.house_id FROM access_codes c JOIN entrances e ON e.id = c.entrance_id WHERE c.id = ?),
    (SELECT e.house_id FROM doors d JOIN entrances e ON e.id = d.entrance_id WHERE d.id = ?),
    (SELECT min(g.house_id) FROM access_codes c JOIN gate_houses g ON g.gate_id = c.gate_id WHERE c.id = ?
        HAVING min(g.house_id) = max(g.house_id)),
    (SELECT min(g.house_id) FROM doors d JOIN gate_houses g ON g.gate_id = d.gate_id WHERE d.id = ?
        HAVING min(g.house_id) = max(g.house_id)),
    (SELECT min(house_id) FROM panel_places WHERE panel_id = ? HAVING min(house_id) = max(house_id)))
"""


def house_of(
    database: CrmDatabase,
    *,
    apartment_id: int | None = None,
    access_code_id: int | None = None,
    door_id: int | None = None,
    panel_id: int | None = None,
) -> int | None:
    """Return the house of an opening; None when nothing that is known of it names one, or when it may be of several."""
    places = (apartment_id, access_code_id, door_id, access_code_id, door_id, panel_id)
    row = database.row(_HOUSE, places)
    return None if row is None else row[0]
