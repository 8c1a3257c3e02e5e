"""Records of calls once they tell what a story asks for: whoever has a part in a call tells it alone, in no order.

That a record has its result says nothing of the branches (Kamailio's), stages, keys, phones (each of a worker of
FastAGI) and pushes in it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from lab.peers.office import OfficeError
from tests.sip.emergency_scene import until

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.sip.scene import Scene

Record = dict[str, Any]


async def record_with(scene: Scene, call_id: str, told: Callable[[Record], bool]) -> Record:
    """The complete record of a call, once it tells this, too."""

    async def read() -> Record:
        return await scene.office.call_record(call_id)

    record: Record = await until(read, told)
    return record


async def record_so_far(scene: Scene, call_id: str, told: Callable[[Record], bool]) -> Record:
    """The record of a call that goes on, once it tells this."""
    path = f"/v1/calls/{quote(call_id, safe='')}"

    async def read() -> Record | None:
        with contextlib.suppress(OfficeError):  # nothing is recorded yet
            found: Record = await scene.office.get(path)
            return found
        return None

    record: Record = await until(read, lambda found: found is not None and told(found))
    return record


async def outcomes(scene: Scene, call_id: str, count: int) -> dict[str, tuple[int, str]]:
    """Of each account of a call that is over, which has so many branches: its stage, and what came of it."""
    record = await scene.office.call_record(call_id, branches=count)
    return {branch["account"]: (branch["stage"], branch["outcome"]) for branch in record["branches"]}


async def record_with_keys(scene: Scene, call_id: str, count: int = 1) -> Record:
    """The complete record of a call, once it tells of so many keys, and of each what came of it."""
    await scene.office.access_records(call_id, count)
    return await scene.office.call_record(call_id)


async def answer_recorded(scene: Scene, call_id: str) -> None:
    """Wait until the record of a call that goes on says who has answered: what follows comes in later batches."""

    async def read() -> list[Record]:
        calls = (await scene.office.get("/v1/calls"))["items"]
        return [call for call in calls if call["call_id"] == call_id and call["dialled"] and call["answered_by"]]

    await until(read, bool)


async def opening_recorded(scene: Scene, call_id: str) -> Record:
    """The only opening in a call that goes on, once it is recorded: before anybody has told that the call has ended."""

    async def read() -> list[Record]:
        found = (await scene.office.get("/v1/access-records"))["items"]
        return [record for record in found if record["call_id"] == call_id]

    (opening,) = await until(read, bool)
    record: Record = opening
    return record


async def record_with_pushes(scene: Scene, call_id: str, last: str) -> Record:
    """The complete record of a call, once its story tells that a push has come to this."""
    return await record_with(
        scene,
        call_id,
        lambda record: any(line["event"] == "push" and line["outcome"] == last for line in record["story"]),
    )
