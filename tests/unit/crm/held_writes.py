"""What an import writes while others wait to write: SQLite has one writer at a time."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from crm_api.tables.database import CrmDatabase
from tests.unit.crm.test_imports import send

if TYPE_CHECKING:
    from crm_api.bootstrap import Services
    from tests.unit.crm.conftest import Town


class Held(NamedTuple):
    """Statements within a transaction: one for each row of those that are given many, and all others."""

    rows: list[str]
    executed: list[str]


def written_while_others_wait(
    town: Town, services: Services, monkeypatch: pytest.MonkeyPatch, file: tuple[str, str, str]
) -> Held:
    """Import a file (kind, text, options) in the background, and return what it held the database for.

    PostgreSQL lets others write meanwhile: the test is skipped there when the file has been taken in.
    """
    database = services.jobs.database
    held = Held([], [])
    many, execute = CrmDatabase.many, database.peewee.execute_sql

    def noted_many(self: CrmDatabase, sql: str, rows: Any) -> None:
        held.rows.extend(sql for _ in rows if self.peewee.in_transaction())
        many(self, sql, rows)

    def noted(sql: str, *arguments: Any) -> Any:
        held.executed.extend([sql] if database.peewee.in_transaction() else [])
        return execute(sql, *arguments)

    kind, text, options = file
    job = send(town, kind, text, f"&background=true{options}", 202)
    if database.dialect == "postgresql":
        pytest.skip("others write meanwhile")
    taken = services.jobs.take(job["id"])
    assert taken is not None
    with monkeypatch.context() as patched:
        patched.setattr(CrmDatabase, "many", noted_many)
        patched.setattr(database.peewee, "execute_sql", noted)
        services.imports.do(taken, threading.Event())
    assert town.platform("GET", f"/v1/jobs/{job['id']}")["state"] == "done"
    return held
