"""Access records know their house also without an apartment.

It is filled in where it was left out: of entries by codes, and of openings from the CRM. Those have neither an account
nor a key; of the others a house may be missing because it was removed, and is not to become its neighbour.

In a transaction of its own: beside a change of the table (m0041_openings_told_whole), which waits for whoever writes to
it, whoever then writes to a row that is filled in here would wait for that in turn. What the release before writes
after this stays without a house.
"""

from typing import Final

_LEFT_OUT: Final = """r.house_id IS NULL AND r.apartment_id IS NULL AND r.account IS NULL
    AND r.key_id IS NULL AND coalesce(r.method, '') <> 'key'"""


def _fill(found: str, column: str) -> str:
    """Fill in the houses of all rows at once; `found` yields the column's values with a house each."""
    return (
        f"UPDATE access_records AS r SET house_id = found.house_id FROM ({found}) AS found "  # noqa: S608 - constants
        f"WHERE found.id = r.{column} AND {_LEFT_OUT}"
    )


def _only_house(places: str, place: str) -> str:
    return (
        f"SELECT {place} AS id, min(house_id) AS house_id FROM {places} "  # noqa: S608 - constants
        f"GROUP BY {place} HAVING min(house_id) = max(house_id)"
    )


def _of_gate(table: str) -> str:
    """Return the only house of the gate of each row of a table."""
    gates = _only_house("gate_houses", "gate_id")
    return f"SELECT t.id, g.house_id FROM {table} t JOIN ({gates}) AS g ON g.id = t.gate_id"  # noqa: S608 - constants


def _of_entrance(table: str) -> str:
    return f"SELECT t.id, e.house_id FROM {table} t JOIN entrances e ON e.id = t.entrance_id"  # noqa: S608 - constants


STATEMENTS = (
    _fill(_of_entrance("access_codes"), "access_code_id"),
    _fill(_of_entrance("doors"), "door_id"),
    _fill(_of_gate("access_codes"), "access_code_id"),
    _fill(_of_gate("doors"), "door_id"),
    _fill(_only_house("panel_places", "panel_id"), "panel_id"),
)
