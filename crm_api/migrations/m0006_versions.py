"""A version for each kept row, growing with each change: two operators do not overwrite each other.

It comes after the migrations that make tables of SQLite anew, so that it is nobody else's concern.
"""

from typing import Final

VERSIONED: Final = (
    "cities",
    "companies",
    "houses",
    "entrances",
    "apartments",
    "accounts",
    "panels",
    "block_kinds",
    "blocks",
    "ring_plans",
)

STATEMENTS = tuple(f"ALTER TABLE {table} ADD COLUMN version {{int}} NOT NULL DEFAULT 1" for table in VERSIONED)
