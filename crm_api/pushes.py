"""`python -m crm_api.pushes --config <crm.json>`: wakes apps, tells of messages and emergency calls, takes pictures."""

from __future__ import annotations

import asyncio
import signal
import socket
from typing import TYPE_CHECKING, Any, Final

import msgspec
import structlog

from crm_api.adapters.panel_drivers import panel_drivers
from crm_api.adapters.plan_cache import RedisErrors
from crm_api.adapters.push_services import push_services
from crm_api.adapters.push_stream import PushStream
from crm_api.background import FIRST_RETRY_S, LAST_RETRY_S, start
from crm_api.bootstrap import make_context
from crm_api.domain.network_addresses import networks_of
from crm_api.services.desk_pushes import DeskPushes
from crm_api.services.message_pictures import MessagePictures
from crm_api.services.message_pushes import MessagePushes
from crm_api.services.message_sounds import MessageSounds
from crm_api.services.pushing import Pushing, Wanted
from crm_api.services.visitor_pictures import VisitorPictures
from crm_api.tables.database import DatabaseErrors, reason_of
from crm_api.tables.database_thread import DatabaseThread

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from crm_api.config import CrmConfig

BLOCK_MS: Final = 3000
TELL_EVERY_S: Final = 0.1
FOLLOW_EVERY_S: Final = 0.1
MESSAGES_EVERY_S: Final = 1.0
_log = structlog.get_logger("crm_api.pushes")
_wanted = msgspec.json.Decoder(Wanted)


class _Told(msgspec.Struct, frozen=True):
    """Of a call event, what matters here."""

    event: str
    call_id: str
    outcome: str | None = None
    stage: int = 0
    account: str | None = None
    trunk: str | None = None


_told = msgspec.json.Decoder(list[_Told])


class PushProcess:
    """Reads both streams, and tells what came of the pushes, until stopped."""

    def __init__(self, config: CrmConfig) -> None:
        context = make_context(config)
        self._stream = PushStream(config.redis_url, f"{socket.gethostname()}-pushes")
        self._events: list[dict[str, Any]] = []
        self._noted = asyncio.Event()
        self._wished = asyncio.Event()
        drivers = panel_drivers(networks_of(config.device_networks))
        pictures = VisitorPictures(context, drivers, config.public_url)
        self._database = context.database
        self._message_pictures = MessagePictures(context, drivers, config.public_url)
        sounds = MessageSounds(context, config.public_url)
        self._looking = DatabaseThread(context.database, "messages")
        self._reading = DatabaseThread(context.database, "devices")  # its reads wait for no writer
        self._to_tell = (DeskPushes(context).take, MessagePushes(context, self._message_pictures, sounds).take)
        self._taking: set[asyncio.Task[bool]] = set()
        self._pushing = Pushing(context, push_services(config.push), pictures, self._note, self._reading)

    async def run(self, stopped: asyncio.Event) -> None:
        """Work until stopped, then finish what is on its way for a moment."""
        work = [
            asyncio.create_task(_repeat(step))
            for step in (self._take_wishes, self._follow_calls, self._tell, self._messages)
        ]
        await stopped.wait()
        for task in work:
            task.cancel()
        await asyncio.gather(*work, *self._taking, return_exceptions=True)
        await self._looking.close()
        await self._reading.close()
        await self._stream.close()

    async def _take_wishes(self) -> None:
        for wish, age_ms in await self._stream.wishes(BLOCK_MS):
            try:
                wanted = _wanted.decode(wish)
            except (msgspec.DecodeError, msgspec.ValidationError) as error:
                _log.error("wish left out", reason=str(error), body=wish[:200])
                continue
            if wanted.wants == "message_picture":
                self._take_picture(wanted)
            else:
                self._pushing.begin(wanted, age_ms)
                self._wished.set()

    def _take_picture(self, wanted: Wanted) -> None:
        """Have the panel take the picture beside a message; nobody waits for it."""
        take = self._message_pictures.take
        task = asyncio.create_task(self._database.in_thread(take, wanted.call_id, wanted.panel))
        self._taking.add(task)

        def taken(done: asyncio.Task[bool]) -> None:
            self._taking.discard(done)
            if not done.cancelled() and (error := done.exception()) is not None:
                _log.error("no picture", call_id=wanted.call_id, reason=str(error).strip() or type(error).__name__)

        task.add_done_callback(taken)

    async def _follow_calls(self) -> None:
        """Read what is told of all calls, but only while a device has been woken for one: each look has its price."""
        await self._wished.wait()
        entries = await self._stream.told(BLOCK_MS)
        self._look(entries)
        if not self._pushing.rings:
            self._wished.clear()
            self._stream.follow_no_more()
        elif entries:
            await asyncio.sleep(FOLLOW_EVERY_S)  # a phone rings no longer than that for nothing

    def _look(self, entries: list[bytes]) -> None:
        for entry in entries:
            try:
                events = _told.decode(entry)
            except (msgspec.DecodeError, msgspec.ValidationError):
                continue  # the recorder tells of it
            for event in events:
                if event.event in {"ended", "refused"}:
                    self._pushing.over(event.call_id, None)
                elif event.event == "branch" and event.outcome == "answered":
                    if event.trunk is None:
                        self._pushing.over(event.call_id, event.account)
                    else:
                        self._pushing.phone_answered(event.call_id, event.stage, event.account)

    async def _messages(self) -> None:
        await asyncio.sleep(MESSAGES_EVERY_S)
        try:
            for take in self._to_tell:
                for message in await self._looking.run(take):
                    self._pushing.tell(message.call_id, message.device, message.push)
        except DatabaseErrors as error:
            _log.error("messages to apps and desks wait", reason=reason_of(error))
            await asyncio.sleep(LAST_RETRY_S)

    def _note(self, event: dict[str, Any]) -> None:
        """Have an event told soon, with those that come meanwhile."""
        self._events.append(event)
        self._noted.set()

    async def _tell(self) -> None:
        await self._noted.wait()
        await asyncio.sleep(TELL_EVERY_S)
        events = self._events[:]
        await self._stream.tell(events)
        del self._events[: len(events)]
        if not self._events:
            self._noted.clear()


async def _repeat(step: Callable[[], Awaitable[None]]) -> None:
    """Do a step again and again; while Redis is away, try less often and say so once."""
    retry_s = 0.0
    while True:
        try:
            await step()
        except RedisErrors as error:
            if retry_s == 0.0:
                _log.error("away; trying again", reason=str(error) or type(error).__name__)
            retry_s = min(max(retry_s * 2, FIRST_RETRY_S), LAST_RETRY_S)
            await asyncio.sleep(retry_s)
        except Exception:  # noqa: BLE001 - the one boundary of a step, which must not end while the process goes on
            _log.exception("step failed; trying again")
            await asyncio.sleep(LAST_RETRY_S)
        else:
            retry_s = 0.0


async def _run(config: CrmConfig) -> None:
    stopped = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopped.set)
    await PushProcess(config).run(stopped)


def run(config: CrmConfig) -> None:
    """Push until SIGTERM."""
    asyncio.run(_run(config))


if __name__ == "__main__":
    start("crm_api.pushes", run)
