"""What an operator's search reads: words of addresses and names, ends of phone numbers, beginnings of accounts.

Houses and panels are few (a city has ten thousand and twenty thousand), so their words are simply read through. Phones
and accounts are many and have an index.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from crm_api.domain.search_text import search_text

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

SEARCHED: Final = {"houses": "address", "panels": "name"}


def fill(database: CrmDatabase) -> None:
    """Write the words of every house and panel that is there; SQL alone knows no lower case beyond ASCII everywhere."""
    for table, column in SEARCHED.items():
        rows = database.rows(f"SELECT id, {column} FROM {table}")  # noqa: S608 - constants
        database.many(
            f"UPDATE {table} SET search_text = ? WHERE id = ?",  # noqa: S608 - constants
            [(search_text(text), row_id) for row_id, text in rows],
        )


STATEMENTS = (
    *(f"ALTER TABLE {table} ADD COLUMN search_text TEXT NOT NULL DEFAULT ''" for table in SEARCHED),
    fill,
    # The last four digits leave some dozens of a city's phones.
    {
        "sqlite": "CREATE INDEX resident_phones_end ON resident_phones (substr(phone, -4))",
        "postgresql": "CREATE INDEX resident_phones_end ON resident_phones (right(phone, 4))",
    },
    {
        "sqlite": "CREATE INDEX accounts_phone_end ON accounts (substr(phone, -4)) WHERE phone IS NOT NULL",
        "postgresql": "CREATE INDEX accounts_phone_end ON accounts (right(phone, 4)) WHERE phone IS NOT NULL",
    },
    # Beginnings of names are a range in the order of bytes, which SQLite has anyway.
    {"sqlite": None, "postgresql": 'CREATE INDEX accounts_begin ON accounts (account COLLATE "C")'},
    {
        "sqlite": "CREATE INDEX accounts_begin_of_company ON accounts (company_id, account)",
        "postgresql": 'CREATE INDEX accounts_begin_of_company ON accounts (company_id, account COLLATE "C")',
    },
    # Lists in the order of names.
    "CREATE INDEX panels_name ON panels (name, id)",
    "CREATE INDEX panels_name_of_company ON panels (company_id, name, id)",
    "CREATE INDEX residents_name_of_company ON residents (company_id, name, id)",
)
