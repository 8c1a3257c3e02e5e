"""Foreign keys are everywhere: each column that names a row of another table is one, or stands here with its reason."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase

OF_OTHERS = {"call_id", "fias_id", "billing_id"}
"""Names that SIP, the address register and billing have given."""
OUTLIVES = {
    "access_records": {"door_id"},
    "audit_log": {"company_id", "principal_id"},
    "emergency_calls": {"company_id", "city_id"},
    "emergency_findings": {"city_id"},
    "emergency_notices": {"company_id", "city_id"},
    "number_leases": {"city_id", "company_id"},
    "phone_legs": {"company_id", "apartment_id"},
    "probe_calls": {"campaign_id"},
}
"""Records of what happened: they tell of what may be no more."""


def columns(database: CrmDatabase) -> dict[str, set[str]]:
    if database.dialect == "sqlite":
        tables = [name for (name,) in database.rows("SELECT name FROM sqlite_master WHERE type = 'table'")]
        return {table: {row[1] for row in database.rows(f"PRAGMA table_info({table})")} for table in tables}
    found: dict[str, set[str]] = {}
    for table, column in database.rows(
        "SELECT c.table_name, c.column_name FROM information_schema.columns c JOIN information_schema.tables t "
        "USING (table_schema, table_name) WHERE table_schema = current_schema() AND t.table_type = 'BASE TABLE'"
    ):
        found.setdefault(table, set()).add(column)
    return found


def references(database: CrmDatabase, table: str) -> set[str]:
    if database.dialect == "sqlite":
        return {row[3] for row in database.rows(f"PRAGMA foreign_key_list({table})")}
    rows = database.rows(
        "SELECT a.attname FROM pg_constraint c "
        "JOIN pg_attribute a ON a.attrelid = c.conrelid AND a.attnum = ANY(c.conkey) "
        "WHERE c.contype = 'f' AND c.conrelid = CAST(CAST(? AS TEXT) AS regclass)",
        (table,),
    )
    return {name for (name,) in rows}


def test_each_column_that_names_a_row_is_a_foreign_key(database: CrmDatabase) -> None:
    without = {}
    for table, names in columns(database).items():
        named = {name for name in names if name.endswith("_id")} - OF_OTHERS
        if missing := named - references(database, table):
            without[table] = missing
    assert without == OUTLIVES


def test_sqlite_is_told_to_hold_them_and_keeps_a_log_ahead(database: CrmDatabase) -> None:
    if database.dialect == "sqlite":
        assert database.row("PRAGMA foreign_keys") == (1,)
        assert database.row("PRAGMA journal_mode") == ("wal",)
    assert len(columns(database)) > 50
