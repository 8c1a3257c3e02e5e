"""One database, SQLite or PostgreSQL, opened by URL; plain SQL for the call path, transactions for everybody."""

from __future__ import annotations

import asyncio
import contextlib
import select
import sqlite3
import stat
import threading
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, TypeVar, TypeVarTuple
from urllib.parse import parse_qsl, unquote, urlsplit

import peewee
import psycopg
from psycopg.types.numeric import Int8BinaryDumper, Int8Dumper

from crm_api.tables.integrity import conflict_of
from crm_api.tables.models import DATABASE

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from urllib.parse import SplitResult

# psycopg would call an integer smallint, integer or bigint by its value, and each mixture another statement to prepare.
psycopg.adapters.register_dumper(int, Int8Dumper)
psycopg.adapters.register_dumper(int, Int8BinaryDumper)

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")
Dialect = Literal["sqlite", "postgresql"]

SQLITE_FILE_MODE = 0o660
"""Kamailio reads the file as another user of its group, and nobody else does: it has HA1 of every account.

Its -wal and -shm files take over the mode.
"""
_OTHERS = 0o007

_SSL_MODES: Final = ("disable", "allow", "prefer", "require", "verify-ca", "verify-full")
_SSL_FIELDS: Final = ("sslmode", "sslrootcert")

SQLITE_BUSY_MS = 5000
LOCK_AT_ONCE_MS = 20
_REST_S = 0.1
"""After so long without a statement a connection is looked at before it is used."""

SQLITE_PRAGMAS = (
    ("journal_mode", "wal"),
    ("synchronous", "normal"),
    ("foreign_keys", "on"),
    ("cache_size", -32 * 1024),
    ("mmap_size", 256 * 1024 * 1024),
)


class _Postgres(peewee.PostgresqlDatabase):
    """Opens a new connection when the server has closed the one at hand: after its restart no request fails for that.

    A connection at rest has nothing to say but its end. Within a transaction it is not replaced, and no statement is
    ever repeated: whether a server that died has done it, nobody knows. A server does not start anew within `_REST_S`.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._last = _LastUse()

    def cursor(self, named_cursor: str | None = None) -> Any:
        base: Any = super()  # peewee publishes no types
        before_s, self._last.at_s = self._last.at_s, time.monotonic()
        if (
            self._last.at_s - before_s > _REST_S
            and not self.is_closed()
            and self.transaction_depth() == 0
            and _has_something_to_say(base.connection())
        ):
            self.close()
        return base.cursor(named_cursor)


class _LastUse(threading.local):
    """When this thread has used its connection last, by a clock that nobody can set."""

    at_s = 0.0


def _has_something_to_say(connection: psycopg.Connection[Any]) -> bool:
    looks = select.poll()
    looks.register(connection.pgconn.socket, select.POLLIN)
    return bool(looks.poll(0))


def _encryption_in(url: SplitResult) -> dict[str, str]:
    """Return how PostgreSQL is to be reached; raise `ValueError` for anything else in the query of a URL."""
    try:
        fields = parse_qsl(url.query, keep_blank_values=True, strict_parsing=True) if url.query else []
    except ValueError:
        fields = [(url.query, "")]
    known = _SSL_FIELDS if url.scheme == "postgresql" else ()
    for name, value in fields:
        if name not in known:
            raise ValueError(f"database_url ...?{name}=: {_may_have(known)}")
        if name == "sslmode" and value not in _SSL_MODES:
            raise ValueError(f"database_url ...?sslmode={value}: one of {', '.join(_SSL_MODES)}")
        if not value or [other for other, _ in fields].count(name) > 1:
            raise ValueError(f"database_url ...?{name}={value}: give it once, with a value")
    return dict(fields)


def _may_have(known: Sequence[str]) -> str:
    return f"a query may have {' and '.join(known)}, and nothing else" if known else "no query is known here"


class CrmDatabase:
    """The database of one process: a connection for each thread, opened when first used."""

    def __init__(self, url: str) -> None:
        """Choose the database.

        Args:
            url: `sqlite:////absolute/path.db` or `postgresql://user:password@host:port/name`, the latter with
                `?sslmode=verify-full&sslrootcert=/path/ca.pem` or another mode (PostgreSQL's manual, 34.19).

        Raises:
            ValueError: another scheme, no path, or something in the query that is not known.
        """
        parts = urlsplit(url)
        encryption = _encryption_in(parts)
        self.dialect: Dialect
        if parts.scheme == "sqlite" and len(parts.path) > 1:
            self.dialect = "sqlite"
            path = Path(parts.path[1:])
            if not path.exists():
                path.touch(mode=SQLITE_FILE_MODE)
                path.chmod(SQLITE_FILE_MODE)
            self.peewee: Any = peewee.SqliteDatabase(
                str(path),
                pragmas=SQLITE_PRAGMAS,
                timeout=SQLITE_BUSY_MS / 1000,
                lock_type="IMMEDIATE",
                autoconnect=True,
            )
        elif parts.scheme == "postgresql" and len(parts.path) > 1:
            self.dialect = "postgresql"
            self.peewee = _Postgres(
                unquote(parts.path[1:]),
                host=parts.hostname,
                port=parts.port or 5432,
                user=unquote(parts.username or ""),
                password=unquote(parts.password or ""),
                connect_timeout=3,
                prefer_psycopg3=True,
                **encryption,
            )
        else:
            raise ValueError(
                f"database_url {parts.scheme}:...: give sqlite:////absolute/path.db or postgresql://user:password@host/name"
            )
        self._spelled: dict[str, str] = {}
        DATABASE.initialize(self.peewee)

    def keep_from_others(self) -> None:
        """Take SQLite's files from whoever is neither their owner nor of their group: earlier releases let all read.

        Raises:
            PermissionError: they are another user's.
        """
        for suffix in ("", "-wal", "-shm") if self.dialect == "sqlite" else ():
            path = Path(f"{self.peewee.database}{suffix}")
            with contextlib.suppress(FileNotFoundError):
                mode = stat.S_IMODE(path.stat().st_mode)
                if mode & _OTHERS:
                    path.chmod(mode & ~_OTHERS)

    async def in_thread(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Run `work` beside an event loop, and close the connection that it opened: the thread may end at any time."""

        def run() -> Result:
            try:
                return work(*arguments)
            finally:
                self.forget_connection()

        return await asyncio.to_thread(run)

    def rows(self, sql: str, parameters: Sequence[object] = ()) -> list[tuple[Any, ...]]:
        """Run a statement with `?` placeholders; return its rows ([] when it returns none)."""
        if self.dialect == "postgresql":
            sql = self._spelled.get(sql) or self._spelled.setdefault(sql, sql.replace("?", "%s"))
        cursor = self.peewee.execute_sql(sql, parameters)
        if self.dialect == "postgresql":
            # Not `description`: psycopg makes an object for each column of it, a third of what a ring plan costs.
            return cursor.fetchall() if cursor.pgresult is not None and cursor.pgresult.nfields else []
        return cursor.fetchall() if cursor.description else []

    def row(self, sql: str, parameters: Sequence[object] = ()) -> tuple[Any, ...] | None:
        """Return the first row, None when there is none."""
        rows = self.rows(sql, parameters)
        return rows[0] if rows else None

    def many(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one statement for every row of parameters, inside the caller's transaction."""
        if not rows:
            return
        if self.dialect == "postgresql":
            sql = self._spelled.get(sql) or self._spelled.setdefault(sql, sql.replace("?", "%s"))
        self.peewee.cursor().executemany(sql, rows)

    def analyze(self, *tables: str) -> None:
        """Have PostgreSQL look how large tables are (all without names): before much work, or after much came in.

        It plans by what it found last time, and looks again by itself once a minute at most. What it takes for empty it
        reads whole again and again, for every row of another table, and for every foreign key that it checks.
        """
        if self.dialect == "postgresql":
            self.rows(f"ANALYZE {', '.join(tables)}")

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Do everything or nothing; a broken constraint becomes a `ConflictError` that names it."""
        with self.statement(), self.peewee.atomic():
            yield

    @contextmanager
    def statement(self) -> Iterator[None]:
        """A single statement, which is its own transaction; a broken constraint becomes a `ConflictError`."""
        try:
            yield
        except (peewee.IntegrityError, sqlite3.IntegrityError, psycopg.IntegrityError) as error:
            raise conflict_of(error) from error

    @contextmanager
    def transaction_at_once(self) -> Iterator[None]:
        """As `transaction`, but raise one of `DatabaseErrors` instead of waiting for another writer."""
        if self.dialect == "postgresql":
            with self.transaction():
                self.rows(f"SET LOCAL lock_timeout = {LOCK_AT_ONCE_MS}")
                yield
            return
        self.rows("PRAGMA busy_timeout = 0")
        try:
            with self.transaction():
                yield
        finally:
            self.rows(f"PRAGMA busy_timeout = {SQLITE_BUSY_MS}")

    @contextmanager
    def snapshot(self) -> Iterator[None]:
        """Read from one state of the database (SQLite). PostgreSQL reads each statement from its own state.

        A plan mixed from two states cannot stay: the change that fell in between is delivered after its commit.
        """
        if self.dialect == "postgresql" or self.peewee.in_transaction():
            yield
            return
        connection = self.peewee.connection()
        connection.execute("BEGIN")
        try:
            yield
        finally:
            connection.execute("COMMIT")

    @contextmanager
    def unlocked(self) -> Iterator[None]:
        """Write to tables of this connection's own, all or nothing, while others write (SQLite)."""
        connection = self.peewee.connection()
        connection.execute("BEGIN")  # not IMMEDIATE: no lock until a table of the file is written
        try:
            yield
        except BaseException:
            connection.execute("ROLLBACK")
            raise
        connection.execute("COMMIT")

    def ping(self) -> None:
        """Raise when the database cannot be reached."""
        self.rows("SELECT 1")

    def forget_connection(self) -> None:
        """Close this thread's connection, so that the next use opens a new one (after a lost server)."""
        if not self.peewee.is_closed():
            self.peewee.close()


DatabaseErrors = (peewee.OperationalError, peewee.InterfaceError, sqlite3.OperationalError, psycopg.OperationalError)
"""What a lost or locked database raises."""

ValueErrors = (peewee.DataError, sqlite3.DataError, psycopg.DataError, OverflowError, UnicodeError)
"""What a value raises that the database cannot hold: too big, a NUL in a text, half a surrogate pair."""


def reason_of(error: BaseException) -> str:
    """Say what has gone wrong first.

    A full disk ends SQLite's transaction, so that the rollback after it fails, too, and hides the reason.
    """
    first, before = error, error.__context__
    while before is not None:
        if isinstance(before, DatabaseErrors):
            first = before
        before = before.__context__
    return str(first).strip() or type(first).__name__
