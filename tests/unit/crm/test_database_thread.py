"""A thread beside an event loop keeps its connection, but not one that has failed."""

from __future__ import annotations

import asyncio
import threading
from typing import TYPE_CHECKING

import peewee
import pytest

from crm_api.tables.database_thread import DatabaseThread

if TYPE_CHECKING:
    from crm_api.tables.database import CrmDatabase


def test_all_work_has_one_thread_and_one_connection(database: CrmDatabase) -> None:
    def look(marked: str) -> tuple[int, int, str]:
        database.ping()
        return threading.get_ident(), id(database.peewee.connection()), marked

    async def run() -> list[tuple[int, int, str]]:
        thread = DatabaseThread(database, "test")
        found = [await thread.run(look, "a"), await thread.run(look, "b")]
        await thread.close()
        return found

    first, second = asyncio.run(run())
    assert first[:2] == second[:2]
    assert first[0] != threading.get_ident()
    assert (first[2], second[2]) == ("a", "b")


def test_a_connection_that_failed_is_not_used_again(database: CrmDatabase) -> None:
    def fail() -> None:
        database.ping()
        raise peewee.OperationalError("away")

    async def run() -> bool:
        thread = DatabaseThread(database, "test")
        with pytest.raises(peewee.OperationalError):
            await thread.run(fail)
        was_closed: bool = await thread.run(database.peewee.is_closed)
        await thread.close()
        return was_closed

    assert asyncio.run(run())


def test_closing_finishes_what_is_begun(database: CrmDatabase) -> None:
    done: list[str] = []

    async def run() -> None:
        thread = DatabaseThread(database, "test")
        work = asyncio.create_task(thread.run(lambda: done.append("work")))
        await asyncio.sleep(0)
        await thread.close()
        await work

    asyncio.run(run())
    assert done == ["work"]
