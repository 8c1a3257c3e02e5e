"""Call events in a real Redis stream: recorded once, whoever dies in between, and spooled while Redis is away."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest
import redis as redis_py
from cryptography.fernet import Fernet

from crm_api.adapters import call_event_stream, redis_keys
from crm_api.adapters.call_event_stream import CallEventStream
from crm_api.adapters.encryption import Encryption
from crm_api.adapters.push_stream import PushStream
from crm_api.call_records import recorder
from crm_api.migrations import migrate
from crm_api.services.call_recording import CallRecording
from crm_api.services.context import Context
from tests.sip.households import family
from tests.sip.ordinary import a_good_call
from tests.sip.scene import Scene
from tests.unit.crm.conftest import empty_database
from tests.unit.crm.test_call_records import story

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from crm_api.tables.database import CrmDatabase
    from lab.stack import Stack


@pytest.fixture
def database(tmp_path: Path) -> Iterator[CrmDatabase]:
    for database in empty_database(tmp_path):
        migrate(database)
        yield database


@pytest.fixture
def end_of_following(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[], None]]:
    """Recorded entries stay in the stream, however long this machine stands still, until the test calls this."""
    with monkeypatch.context() as patched:
        patched.setattr(call_event_stream, "FOLLOWED_S", 600.0)

        def no_more() -> None:
            patched.setattr(call_event_stream, "FOLLOWED_S", 0.05)

        yield no_more


def _recording(database: CrmDatabase) -> CallRecording:
    return CallRecording(Context(database, "entryphone.test", Encryption(Fernet.generate_key()), lambda: 1))


def _send(client: redis_py.Redis, events: list[dict[str, Any]]) -> None:
    client.xadd(redis_keys.CALL_EVENTS, {"source": "agi", "events": json.dumps(events)})


def _calls(database: CrmDatabase) -> list[Any]:
    return [row[0] for row in database.rows("SELECT call_id FROM call_records ORDER BY call_id", ())]


def _openings(database: CrmDatabase) -> int:
    return int(database.rows("SELECT count(*) FROM access_records", ())[0][0])


def _until_the_stream_is_empty(stream: CallEventStream, client: redis_py.Redis) -> None:
    deadline_s = time.monotonic() + call_event_stream.FOLLOWED_S + 60
    while client.xlen(redis_keys.CALL_EVENTS):
        assert time.monotonic() < deadline_s
        assert stream.read(10, 50) == []


def test_events_are_recorded_and_leave_the_stream(
    url: str, client: redis_py.Redis, database: CrmDatabase, end_of_following: Callable[[], None]
) -> None:
    stream = CallEventStream(url, "one")
    work = recorder(stream, _recording(database), Event())
    work()  # makes the group
    for number in range(5):
        _send(client, story(f"call-{number}"))
    work()
    work()
    assert _calls(database) == [f"call-{number}" for number in range(5)]
    assert client.xlen(redis_keys.CALL_EVENTS) == 5, "pushes follow calls in the same stream"
    end_of_following()
    _until_the_stream_is_empty(stream, client)


def test_what_a_reader_recorded_and_did_not_delete_before_it_died_leaves_the_stream_too(
    url: str, client: redis_py.Redis, database: CrmDatabase
) -> None:
    died = CallEventStream(url, "one")
    work = recorder(died, _recording(database), Event())
    work()  # makes the group
    _send(client, story("call-1"))
    work()
    work()
    assert _calls(database) == ["call-1"]
    _send(client, story("call-2"))

    again = CallEventStream(url, "one")
    recorder(again, _recording(database), Event())()
    assert _calls(database) == ["call-1", "call-2"]
    assert client.xlen(redis_keys.CALL_EVENTS) == 1, "call-2 alone: it has just been recorded"
    _until_the_stream_is_empty(again, client)


@pytest.mark.usefixtures("end_of_following")
def test_pushes_read_what_is_told_of_calls_from_the_wish_on_also_when_it_is_recorded(
    url: str, client: redis_py.Redis, database: CrmDatabase
) -> None:
    records = CallEventStream(url, "one")
    work = recorder(records, _recording(database), Event())
    work()  # makes the group

    async def follow() -> list[list[bytes]]:
        pushes = PushStream(url, "one")
        try:
            await pushes.wishes(1)  # makes the group
            before = await pushes.told(1)
            client.xadd(redis_keys.PUSHES, {"push": "{}"})
            _send(client, story("call-1"))
            work()
            work()
            assert _calls(database) == ["call-1"]
            assert [body for body, _ in await pushes.wishes(1000)] == [b"{}"]
            told = await pushes.told(1000)
            again = await pushes.told(1)
            pushes.follow_no_more()
            _send(client, story("call-2"))
            return [before, told, again, await pushes.told(1)]
        finally:
            await pushes.close()

    assert asyncio.run(follow()) == [[], [json.dumps(story("call-1")).encode()], [], []]


def test_a_wish_takes_the_reading_back_to_its_own_moment(url: str, client: redis_py.Redis) -> None:
    async def follow() -> tuple[list[bytes], list[bytes]]:
        pushes = PushStream(url, "one")
        try:
            await pushes.wishes(1)  # makes the group
            client.xadd(redis_keys.PUSHES, {"push": "1"})
            await pushes.wishes(1000)
            client.xadd(redis_keys.PUSHES, {"push": "2"})
            _send(client, story("call-2"))
            told = await pushes.told(1000)
            await pushes.wishes(1000)
            return told, await pushes.told(1000)
        finally:
            await pushes.close()

    told, again = asyncio.run(follow())
    assert told == again == [json.dumps(story("call-2")).encode()]


def test_a_reader_that_died_between_writing_and_acknowledging_records_nothing_twice(
    url: str, client: redis_py.Redis, database: CrmDatabase
) -> None:
    first = CallEventStream(url, "one")
    first.read(10, 1)  # makes the group
    _send(client, story("call-1"))
    taken = first.read(10, 1000) or first.read(10, 1000)
    assert len(taken) == 1
    _recording(database).record(taken)  # written; and here the process dies
    assert (_calls(database), _openings(database)) == (["call-1"], 1)

    again = CallEventStream(url, "one")
    assert again.read(10, 1) == taken  # taken before and never acknowledged: given again first
    _recording(database).record(taken)
    again.done([entry_id for entry_id, _ in taken])

    assert (_calls(database), _openings(database)) == (["call-1"], 1)
    _until_the_stream_is_empty(again, client)


def test_a_reader_that_died_before_writing_loses_nothing(
    url: str, client: redis_py.Redis, database: CrmDatabase
) -> None:
    first = CallEventStream(url, "one")
    first.read(10, 1)
    _send(client, story("call-1"))
    assert first.read(10, 1000) or first.read(10, 1000)  # and here the process dies

    recorder(CallEventStream(url, "one"), _recording(database), Event())()

    assert _calls(database) == ["call-1"]


def test_what_a_reader_of_another_name_took_and_did_not_record_is_taken_over(
    url: str, client: redis_py.Redis, database: CrmDatabase, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On another host, or the same one under a new name: it was begun anew before its entries counted as left."""
    monkeypatch.setattr(call_event_stream, "CLAIM_EVERY_S", 0.0)
    died = CallEventStream(url, "one")
    died.read(10, 1)
    _send(client, story("call-1"))
    assert died.read(10, 1000) or died.read(10, 1000)  # and here the process dies

    work = recorder(CallEventStream(url, "two"), _recording(database), Event())
    work()
    assert _calls(database) == [], "it may be on its way"
    monkeypatch.setattr(call_event_stream, "CLAIM_IDLE_MS", 1)
    deadline_s = time.monotonic() + 60
    while not _calls(database):
        assert time.monotonic() < deadline_s
        work()
    assert _calls(database) == ["call-1"]


def test_a_database_that_refuses_once_is_given_the_same_entries_again(
    url: str, client: redis_py.Redis, database: CrmDatabase
) -> None:
    recording = _recording(database)

    class Refusing(CallRecording):
        def record(self, entries: Any) -> None:
            del entries
            raise OSError("database is away")

    stream = CallEventStream(url, "one")
    stream.read(10, 1)
    _send(client, story("call-1"))
    failing = recorder(stream, Refusing(Context(database, "x", Encryption(Fernet.generate_key()), lambda: 1)), Event())
    with pytest.raises(OSError, match="away"):
        failing()
    assert _calls(database) == []

    recorder(stream, recording, Event())()
    assert _calls(database) == ["call-1"]


def test_events_of_the_time_before_a_redis_restart_are_gone_but_new_ones_are_read(
    redis_lab: Stack, url: str, client: redis_py.Redis, database: CrmDatabase
) -> None:
    """Redis keeps nothing on disk here: its consumer group must be made anew by itself."""
    work = recorder(CallEventStream(url, "one"), _recording(database), Event())
    work()
    redis_lab.restart("redis")
    _send(client, story("call-2"))
    deadline_s = time.monotonic() + 60
    while not _calls(database):
        assert time.monotonic() < deadline_s
        with contextlib.suppress(redis_py.ConnectionError):  # one failure of the old connection is allowed
            work()
    assert _calls(database) == ["call-2"]


@pytest.mark.stack
def test_the_record_of_a_call_made_without_redis_arrives_when_it_is_back(stack: Stack) -> None:
    async def play() -> None:
        scene = Scene(stack)
        try:
            await a_good_call(scene)  # so that the plan is known
            await scene.kill("redis")
            apartment, at, number = family(scene.town)
            began_s = time.monotonic()
            home = await scene.home(apartment)
            visitor = await scene.visitor(at)
            call = await visitor.call(at.credentials, number)
            ring, *_ = await home.all_ring(since_s=began_s)
            ring.answer()
            await call.answered()
            await ring.established()
            await call.bye()
            await ring.wait_request("BYE", 3)
            await scene.revive()
            record = await scene.office.call_record(call.call_id, timeout_s=15)
            assert (record["result"], record["answered_by"]) == ("answered", home.phones[0][0].credentials.username)
        finally:
            await scene.close()

    asyncio.run(play())
