"""Indexes with which every list and every look-up stays quick at the size of a city (docs/measuring.md).

A page is read in the order of an index that begins with what the rows are limited to and ends with the id: SQLite puts
the id at the end of every index by itself, PostgreSQL is told.
"""

from typing import Final

# Everything that a company's operator lists.
OF_A_COMPANY: Final = (
    "houses",
    "entrances",
    "apartments",
    "panels",
    "rfid_keys",
    "blocks",
    "ring_plans",
    "residents",
    "accounts",
    "call_records",
    "access_records",
)
# Indexes that those above take the place of.
NARROWER: Final = ("accounts_company", "residents_company")

STATEMENTS = (
    *(f"CREATE INDEX {table}_of_company ON {table} (company_id, id)" for table in OF_A_COMPANY),
    *(f"DROP INDEX {name}" for name in NARROWER),
    # Looked up by people who may see every company: by address, by the number of a key, by name.
    "CREATE INDEX houses_address ON houses (address, id)",
    "CREATE INDEX rfid_keys_number ON rfid_keys (number)",
    "CREATE INDEX residents_name ON residents (name, id)",
    # Lists in the order of the number.
    "CREATE INDEX entrances_number ON entrances (number, id)",
    "CREATE INDEX apartments_number ON apartments (number, id)",
    "CREATE INDEX entrances_number_of_company ON entrances (company_id, number, id)",
    "CREATE INDEX apartments_number_of_company ON apartments (company_id, number, id)",
    # Records of one place, newest first, and of a span of time.
    "DROP INDEX call_records_apartment",
    "DROP INDEX access_records_apartment",
    "CREATE INDEX call_records_apartment ON call_records (apartment_id, id) WHERE apartment_id IS NOT NULL",
    "CREATE INDEX access_records_apartment ON access_records (apartment_id, id) WHERE apartment_id IS NOT NULL",
    "CREATE INDEX call_records_panel ON call_records (panel, id)",
    "CREATE INDEX access_records_panel ON access_records (panel, id)",
    "CREATE INDEX call_records_started ON call_records (started_at_ms, id)",
    "CREATE INDEX access_records_at ON access_records (at_ms, id)",
    "CREATE INDEX call_records_company_started ON call_records (company_id, started_at_ms, id)",
    "CREATE INDEX access_records_company_at ON access_records (company_id, at_ms, id)",
)
