"""A thread beside an event loop that keeps its connection: opening one costs more than most statements."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, TypeVar, TypeVarTuple

from crm_api.tables.database import DatabaseErrors

if TYPE_CHECKING:
    from collections.abc import Callable

    from crm_api.tables.database import CrmDatabase

Result = TypeVar("Result")
Arguments = TypeVarTuple("Arguments")


class DatabaseThread:
    """Does one thing after the other: nothing that waits for anybody else, or what comes next is late."""

    def __init__(self, database: CrmDatabase, name: str) -> None:
        self._database = database
        self._thread = ThreadPoolExecutor(1, name)

    async def run(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        """Do `work` in the thread. After a failure of the database the next work opens a new connection."""
        return await asyncio.get_running_loop().run_in_executor(self._thread, self._do, work, *arguments)

    async def close(self) -> None:
        """Finish what is begun, and close the connection."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._database.forget_connection)
        self._thread.shutdown()

    def _do(self, work: Callable[[*Arguments], Result], *arguments: *Arguments) -> Result:
        try:
            return work(*arguments)
        except DatabaseErrors:
            self._database.forget_connection()
            raise
