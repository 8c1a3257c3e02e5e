"""Databases of earlier releases, for tests of migrations."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

from crm_api import migrations

if TYPE_CHECKING:
    from collections.abc import Iterable

    from crm_api.tables.database import CrmDatabase


def make_release_before(database: CrmDatabase, migration: str, filled: Iterable[str]) -> None:
    """Make the tables that an empty database had before a migration, and put something in them."""
    database.peewee.execute_sql("CREATE TABLE migrations (name TEXT PRIMARY KEY)")
    for name in migrations.names():
        if name < migration:
            module = importlib.import_module(f"crm_api.migrations.{name}")
            off = database.dialect == "sqlite" and getattr(module, "FOREIGN_KEYS_OFF", False)
            with migrations._foreign_keys(database, off=off), database.peewee.atomic():
                migrations._apply(database, name, module.STATEMENTS)
    for statement in filled:
        database.rows(migrations.spelled(statement, database.dialect))
