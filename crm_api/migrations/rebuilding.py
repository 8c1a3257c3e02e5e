"""Making a table of SQLite anew, to change a CHECK (https://www.sqlite.org/lang_altertable.html, section 7)."""

from __future__ import annotations

from typing import Any


def sqlite_only(*statements: str) -> tuple[dict[str, Any], ...]:
    """Return statements for SQLite alone."""
    return tuple({"sqlite": statement, "postgresql": None} for statement in statements)


def postgresql_only(*statements: str) -> tuple[dict[str, Any], ...]:
    """Return statements for PostgreSQL alone."""
    return tuple({"sqlite": None, "postgresql": statement} for statement in statements)


def rebuilt(table: str, body: str, columns: str) -> tuple[dict[str, Any], ...]:
    """Return the statements that make a table of SQLite anew with the same rows and ids.

    Args:
        table: its name; views that read it must be dropped before and made after, its indexes made after.
        body: what stands between the parentheses of CREATE TABLE.
        columns: the columns that are copied, separated by commas.
    """
    fresh = f"{table}_new"
    return sqlite_only(
        f"CREATE TABLE {fresh} ({body}){{strict}}",
        f"INSERT INTO {fresh} ({columns}) SELECT {columns} FROM {table}",  # noqa: S608 - names of a migration
        # Ids that were given once are not given again: the counter moves with the rows.
        f"DELETE FROM sqlite_sequence WHERE name = '{fresh}'",  # noqa: S608
        f"INSERT INTO sqlite_sequence (name, seq) SELECT '{fresh}', seq FROM sqlite_sequence WHERE name = '{table}'",  # noqa: S608
        f"DROP TABLE {table}",
        f"ALTER TABLE {fresh} RENAME TO {table}",
    )
