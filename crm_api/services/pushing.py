"""Pushes of calls: who is woken, with what, how long it is tried, and the push that says that the call is over."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Literal

import httpx
import msgspec
import structlog

from crm_api.adapters.push_services.push import Push, Verdict
from crm_api.domain.push_texts import alert_of
from crm_api.services.changes import Changes
from crm_api.tables import push_facts

if TYPE_CHECKING:
    from collections.abc import Mapping

    from crm_api.adapters.push_services.push import PushService
    from crm_api.services.context import Context
    from crm_api.services.visitor_pictures import VisitorPictures
    from crm_api.tables.database_thread import DatabaseThread
    from crm_api.tables.push_facts import Device

FIRST_PAUSE_S: Final = 0.5
LONGEST_PAUSE_S: Final = 4.0
MOST_AT_ONCE: Final = 2000
"""Pushes of one service on their way; more are given up at once: the service hangs."""
CANCEL_LASTS_S: Final = 30
_log = structlog.get_logger("crm_api.pushes")
PushEvent = dict[str, Any]
Tell = Callable[[PushEvent], None]


class Wanted(msgspec.Struct, frozen=True):
    """An entry of the stream `ep:pushes`: these accounts are to be woken for a stage (docs/contracts.md, 7).

    One that `wants` a `message_picture` names the call and its panel only.
    """

    call_id: str
    at_ms: int
    panel: str
    dialled: str
    stage: int = 0
    ring_timeout_s: int = 0
    caller_name: str = ""
    accounts: list[str] = msgspec.field(default_factory=list)
    confirm: bool = True
    """Who answers a phone of the stage is asked for a key first, or nobody says (FastAGI of the release before)."""
    wants: Literal["pushes", "message_picture"] = "pushes"


@dataclass
class _Ringing:
    """A call whose apps were pushed and must be told that it is over."""

    wanted: Wanted
    devices: list[Device]
    until_ms: int
    """When the stage stops ringing, by the clock here: `wanted.at_ms` is of another host's."""
    sending: set[asyncio.Task[None]] = field(default_factory=set)
    ends: asyncio.TimerHandle | None = None


class Pushing:
    """Sends pushes in parallel; one slow service delays nobody else's."""

    def __init__(
        self,
        context: Context,
        services: Mapping[str, PushService],
        pictures: VisitorPictures,
        tell: Tell,
        reading: DatabaseThread | None = None,
    ) -> None:
        """Take what it works with; devices are looked up in the thread `reading`, which its owner closes."""
        self._context = context
        self._services = services
        self._pictures = pictures
        self._tell = tell
        self._reading = reading
        self._ringing: dict[str, list[_Ringing]] = {}
        self._on_their_way: dict[str, int] = dict.fromkeys(services, 0)
        self._tasks: set[asyncio.Task[None]] = set()

    def begin(self, wanted: Wanted, age_ms: int = 0) -> None:
        """Wake the devices of these accounts; the stage began so long ago.

        From now on `over` is believed, also before they are known.
        """
        ringing = _Ringing(wanted, [], self._context.now_ms() + wanted.ring_timeout_s * 1000 - age_ms)
        self._ringing.setdefault(wanted.call_id, []).append(ringing)
        self._start(self._begin(ringing)).add_done_callback(lambda _: self._forget_without_devices(ringing))

    def tell(self, call_id: str, device: Device, push: Push) -> None:
        """Send a push that rings nothing: a visitor has left a message."""
        wanted = Wanted(call_id, self._context.now_ms(), "", "", 0, 0, "", [device.account])
        self._start(self._send(_Ringing(wanted, [device], push.expires_at_ms), device, push))

    def over(self, call_id: str, answered_by: str | None) -> None:
        """Tell the devices that the call is answered or over; the only one of the account that answered knows."""
        for ringing in self._ringing.pop(call_id, []):
            self._cancel(ringing, answered_by)

    def phone_answered(self, call_id: str, stage: int, account: str | None) -> None:
        """A phone of a stage has been answered: the call is, unless a key is asked for, which no machine presses."""
        stages = [ringing.wanted for ringing in self._ringing.get(call_id, []) if ringing.wanted.stage == stage]
        if stages and not any(wanted.confirm for wanted in stages):
            self.over(call_id, account)

    @property
    def rings(self) -> bool:
        """Whether a device has been woken for a call that may still ring."""
        return bool(self._ringing)

    async def idle(self) -> None:
        """Wait until nothing is on its way."""
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)

    def _start(self, work: Any) -> asyncio.Task[None]:
        task: asyncio.Task[None] = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return task

    def _forget_without_devices(self, ringing: _Ringing) -> None:
        if not ringing.devices and self._is_ringing(ringing):
            self._stage_over(ringing)

    def _is_ringing(self, ringing: _Ringing) -> bool:
        return any(other is ringing for other in self._ringing.get(ringing.wanted.call_id, []))

    async def _begin(self, ringing: _Ringing) -> None:
        wanted = ringing.wanted
        now_ms = self._context.now_ms()
        if now_ms >= ringing.until_ms:
            return
        in_thread = self._context.database.in_thread if self._reading is None else self._reading.run
        known = await in_thread(push_facts.devices, self._context.database, wanted.panel, wanted.accounts)
        if not known.devices or not self._is_ringing(ringing):
            return
        link = self._pictures.link(wanted.call_id, known.apartment_id, now_ms)
        if link:
            self._start(self._take_picture(wanted, known.apartment_id))
        ringing.devices = known.devices
        loop = asyncio.get_running_loop()
        ringing.ends = loop.call_later((ringing.until_ms - now_ms) / 1000, self._stage_over, ringing)
        for device in known.devices:
            self._tell(self._event(ringing, device, "queued", at_ms=wanted.at_ms))
            data = {
                "type": "call",
                "call_id": wanted.call_id,
                "account": device.account,
                "caller_name": wanted.caller_name,
                "panel": known.panel_name,
                "house": known.house,
                "entrance": known.entrance,
                "picture_url": link,
                "expires_at_ms": str(ringing.until_ms),
            }
            alert = alert_of(data, known.language, from_panel=known.is_panel)
            task = self._start(self._send(ringing, device, Push(data, ringing.until_ms, alert)))
            ringing.sending.add(task)
            task.add_done_callback(ringing.sending.discard)

    async def _take_picture(self, wanted: Wanted, apartment_id: int | None) -> None:
        await self._context.database.in_thread(self._pictures.take, wanted.call_id, wanted.panel, apartment_id)

    def _stage_over(self, ringing: _Ringing) -> None:
        others = [other for other in self._ringing.get(ringing.wanted.call_id, []) if other is not ringing]
        if others:
            self._ringing[ringing.wanted.call_id] = others
        else:
            self._ringing.pop(ringing.wanted.call_id, None)
        self._cancel(ringing, None)

    def _cancel(self, ringing: _Ringing, answered_by: str | None) -> None:
        if ringing.ends is not None:
            ringing.ends.cancel()
        for task in list(ringing.sending):
            task.cancel()
        data = {
            "type": "cancel",
            "call_id": ringing.wanted.call_id,
            "reason": "over" if answered_by is None else "answered",
        }
        expires_at_ms = self._context.now_ms() + CANCEL_LASTS_S * 1000
        # Which of several devices of an account has answered nobody knows by its token: the others would ring on.
        of_answerer = [device for device in ringing.devices if device.account == answered_by]
        for device in ringing.devices:
            if [device] != of_answerer:
                self._start(self._send(ringing, device, Push({**data, "account": device.account}, expires_at_ms)))

    async def _send(self, ringing: _Ringing, device: Device, push: Push) -> None:
        """Try until the service has an answer or nobody wants it any more; tell what came of it."""
        is_call = push.data["type"] == "call"
        service = self._services.get(device.platform)
        if service is None:
            verdict = Verdict("refused", f"no push service is configured for {device.platform}")
        elif self._on_their_way[device.platform] >= MOST_AT_ONCE:
            verdict = Verdict("refused", "the push service does not answer, too many wait already")
        else:
            self._on_their_way[device.platform] += 1
            try:
                if is_call:
                    self._tell(self._event(ringing, device, "sent"))
                verdict = await self._try(service, device, push)
            except asyncio.CancelledError:
                if is_call:
                    reason = "the ringing was over before the push service had an answer"
                    self._tell(self._event(ringing, device, "failed", reason=reason))
                raise
            finally:
                self._on_their_way[device.platform] -= 1
        outcome = {"accepted": "accepted", "try_again": "failed"}.get(verdict.outcome, "refused")
        if is_call:
            self._tell(self._event(ringing, device, outcome, reason=verdict.reason))
        elif outcome == "accepted" and push.data["type"] == "cancel":
            self._tell(self._event(ringing, device, "cancelled"))
        if verdict.outcome == "dead_token":
            await self._context.database.in_thread(
                self._invalidate, device, verdict.reason or "refused by the push service"
            )
            _log.info("push token disabled", account=device.account, device=device.device, reason=verdict.reason)

    def _invalidate(self, device: Device, reason: str) -> None:
        """Stop using a token that its service calls dead; calls of the household know from now on."""
        database = self._context.database
        with database.transaction():
            changed = (self._context.now_ms(), reason[:200], device.id, device.token)
            database.rows(push_facts.INVALIDATE, changed)
            row = database.row("SELECT id, apartment_id FROM accounts WHERE account = ?", (device.account,))
            if row is not None:
                Changes(self._context).account_rings(*row)

    async def _try(self, service: PushService, device: Device, push: Push) -> Verdict:
        deadline_s = time.monotonic() + (push.expires_at_ms - self._context.now_ms()) / 1000
        pause_s = FIRST_PAUSE_S
        verdict = Verdict("try_again", "no answer in time")
        while True:
            try:
                async with asyncio.timeout(max(0.0, deadline_s - time.monotonic())):
                    verdict = await service.send(device.token, push)
            except (httpx.HTTPError, httpx.InvalidURL, TimeoutError) as error:
                verdict = Verdict("try_again", str(error) or type(error).__name__)
            wait_s = max(pause_s, verdict.after_s or 0.0)
            if verdict.outcome != "try_again" or time.monotonic() + wait_s >= deadline_s:
                return verdict
            await asyncio.sleep(wait_s)
            pause_s = min(pause_s * 2, LONGEST_PAUSE_S)

    def _event(
        self, ringing: _Ringing, device: Device, outcome: str, *, reason: str = "", at_ms: int | None = None
    ) -> PushEvent:
        return {
            "event": "push", "call_id": ringing.wanted.call_id,
            "at_ms": self._context.now_ms() if at_ms is None else at_ms, "stage": ringing.wanted.stage,
            "account": device.account, "device": device.device, "platform": device.platform,
            "outcome": outcome, "reason": reason or None,
        }  # fmt: skip
