"""How the database reads its tables for some work: what would cost much at a city's size shows in a small one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.tables.database import CrmDatabase


def reads_of(database: CrmDatabase, work: Callable[[], object]) -> set[str]:
    """Do some work; return the lines of EXPLAIN QUERY PLAN of all its statements. Skips the test on PostgreSQL."""
    if database.dialect != "sqlite":
        pytest.skip("how PostgreSQL reads a table depends on what is in it")
    asked: list[tuple[str, Any]] = []
    execute = database.peewee.execute_sql

    def noted(sql: str, parameters: Any = (), *more: Any) -> Any:
        asked.append((sql, parameters))
        return execute(sql, parameters, *more)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(database.peewee, "execute_sql", noted)
        work()
    return {row[3] for sql, given in asked for row in database.rows(f"EXPLAIN QUERY PLAN {sql}", given or ())}
