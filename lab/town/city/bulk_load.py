"""Writes tables in bulk: `executemany` on SQLite, `COPY` on PostgreSQL; indexes are made after the rows."""

from __future__ import annotations

from contextlib import contextmanager
from itertools import islice
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    import psycopg

    from crm_api.tables.database import CrmDatabase
    from lab.town.city.rows import Table

_CHUNK: Final = 5000
UNCHECKED: Final = frozenset({"call_records", "call_branches", "access_records"})
"""Too many rows to look up each of their references; a test of a small town does."""


class SqliteLoad:
    """Foreign keys are checked once at the end, the file is synchronised once at the end."""

    def __init__(self, database: CrmDatabase) -> None:
        self._database = database

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Write in one transaction without a journal of what was there: the database is a new one."""
        rows = self._database.rows
        for pragma in ("foreign_keys = off", "synchronous = off", "cache_size = -600000", "temp_store = memory"):
            rows(f"PRAGMA {pragma}")
        indexes = rows("SELECT name, sql FROM sqlite_master WHERE type = 'index' AND sql IS NOT NULL")
        try:
            with self._database.transaction():
                for name, _ in indexes:
                    rows(f"DROP INDEX {name}")
                yield
                for _, sql in indexes:
                    rows(sql)
                for (table,) in rows("SELECT name FROM sqlite_master WHERE type = 'table'"):
                    wrong = [] if table in UNCHECKED else rows(f"PRAGMA foreign_key_check({table})")
                    if wrong:
                        raise ValueError(f"{len(wrong)} rows of {table} refer to nothing, the first: {wrong[0]}")
                rows("ANALYZE")
        finally:
            for pragma in ("foreign_keys = on", "synchronous = normal", "cache_size = -32768"):
                rows(f"PRAGMA {pragma}")

    def write(self, table: Table, advance: Callable[[int], None]) -> None:
        """Insert with `executemany`."""
        marks = ", ".join("?" * len(table.columns))
        sql = f"INSERT INTO {table.name} ({', '.join(table.columns)}) VALUES ({marks})"  # noqa: S608 - names of ours
        cursor, rows = self._database.peewee.cursor(), iter(table.rows)
        while chunk := list(islice(rows, _CHUNK)):
            cursor.executemany(sql, chunk)
            advance(len(chunk))


class PostgresLoad:
    """Foreign keys are not checked for a superuser (`session_replication_role`); others wait for the checks."""

    def __init__(self, database: CrmDatabase) -> None:
        self._database = database

    @contextmanager
    def loading(self) -> Iterator[None]:
        """Write in one transaction; growing ids go on after the greatest."""
        rows = self._database.rows
        indexes = rows(
            "SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid), i.indrelid::regclass::text "
            "FROM pg_index i JOIN pg_class c ON c.oid = i.indrelid "
            "WHERE c.relnamespace = 'public'::regnamespace "
            "AND NOT EXISTS (SELECT 1 FROM pg_constraint k WHERE k.conindid = i.indexrelid)"
        )
        with self._database.transaction():
            rows("SET LOCAL synchronous_commit = off")
            rows("SET LOCAL maintenance_work_mem = '256MB'")
            if rows("SELECT rolsuper FROM pg_roles WHERE rolname = current_user")[0][0]:
                rows("SET LOCAL session_replication_role = replica")
            for name, _, _ in indexes:
                rows(f"DROP INDEX {name}")
            yield
            for _, definition, _ in indexes:
                rows(definition)
            for (table,) in rows(
                "SELECT table_name FROM information_schema.columns "
                "WHERE table_schema = 'public' AND column_name = 'id' AND is_identity = 'YES'"
            ):
                rows(
                    f"SELECT setval(pg_get_serial_sequence('{table}', 'id'), coalesce(max(id), 0) + 1, false) "  # noqa: S608
                    f"FROM {table}"
                )
        connection = self._database.peewee.connection()
        connection.commit()
        self._vacuum(connection)

    @staticmethod
    def _vacuum(connection: psycopg.Connection[Any]) -> None:
        """Statistics and visibility, which index-only scans need; autovacuum would come when it likes."""
        autocommit = connection.autocommit
        connection.autocommit = True
        try:
            connection.execute("VACUUM (ANALYZE)")
        finally:
            connection.autocommit = autocommit

    def write(self, table: Table, advance: Callable[[int], None]) -> None:
        """Insert with `COPY ... FROM STDIN` (text format)."""
        copy_from = f"COPY {table.name} ({', '.join(table.columns)}) FROM STDIN".encode()
        cursor, rows = self._database.peewee.cursor(), iter(table.rows)
        with cursor.copy(copy_from) as copy:
            while chunk := list(islice(rows, _CHUNK)):
                for row in chunk:
                    copy.write_row(row)
                advance(len(chunk))


def bulk_load(database: CrmDatabase) -> SqliteLoad | PostgresLoad:
    """How this database is loaded."""
    return PostgresLoad(database) if database.dialect == "postgresql" else SqliteLoad(database)
