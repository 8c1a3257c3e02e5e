"""Builds a city in an empty, migrated database, with a progress bar for each table."""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from functools import partial
from typing import TYPE_CHECKING, Final

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn

from lab.town.city.bulk_load import bulk_load
from lab.town.city.history import History
from lab.town.city.layout import make_layout
from lab.town.city.people import People
from lab.town.city.rows import CityRows

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase
    from lab.town.city.layout import Layout
    from lab.town.city.sizes import CitySize

UNTIL: Final = datetime(2026, 11, 1, tzinfo=timezone(timedelta(hours=3)))
"""End of the year of records: fixed, so that a seed makes the same city whenever it is asked."""
SEED: Final = 1


class NotEmptyError(Exception):
    """There are houses in the database already."""


def build_city(database: CrmDatabase, size: CitySize, realm: str, seed: int = SEED, *, quiet: bool = False) -> Layout:
    """Build a city and return its layout.

    Args:
        database: migrated, without houses.
        size: how much there is.
        realm: SIP domain, part of every HA1.
        seed: the same seed makes the same rows.
        quiet: no progress bar.

    Raises:
        NotEmptyError: there are houses already.
    """
    if database.row("SELECT 1 FROM houses LIMIT 1") is not None:
        raise NotEmptyError("the database has houses already: name an empty one")
    layout = make_layout(size, seed)
    columns = (TextColumn("{task.description:<18}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    load, until_ms = bulk_load(database), int(UNTIL.timestamp() * 1000)
    with Progress(*columns, disable=quiet) as progress:
        with load.loading():
            people = People(layout, seed, until_ms)
            for source in (
                CityRows(layout, realm, seed, until_ms),
                people,
                History(layout, seed, UNTIL, people.key_homes),
            ):
                for table in source.tables():
                    task = progress.add_task(table.name, total=table.total)
                    load.write(table, partial(progress.advance, task))
            task = progress.add_task("indexes, checks", total=None)
        progress.update(task, total=1, completed=1)
    return layout
